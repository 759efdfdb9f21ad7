"""The settings of this plugin's tasks, models and data in a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from taskkit import TABLE_SUFFIXES, ClassificationSection, Problems, PseudonymSection, setting, table_problems


@dataclass
class TextClassification(ClassificationSection):
    """Choose one class for each text, or for each pair of texts."""


@dataclass
class Lora:
    """Low-rank adapters, which are trained in place of the encoder's own weights (Hu et al., 2022)."""

    rank: int = setting(8, "rank of each adapter", ge=1)
    alpha: float = setting(16.0, "what the adapters add is multiplied by alpha / rank", gt=0)
    dropout: float = setting(0.0, "share of the inputs of each adapter dropped in training", ge=0, lt=1)
    targets: list[str] = setting([], "last names of the layers that get one, as `query`; empty: every linear layer")


@dataclass
class Transformer:
    """Any encoder of Hugging Face transformers, with a head for these classes."""

    weights: str = setting(
        doc="`minilm`, a folder, a run directory, or a name on the model hub as answerdotai/ModernBERT-base"
    )
    pretrained: bool = setting(True, "begin with its weights; false: only with its shape and its tokenizer")
    overrides: dict[str, Any] = setting({}, "changes of its shape, by the names in its config.json")
    max_length: int = setting(256, "tokens of a text at most, those that mark its ends included", ge=8)
    truncate: Literal["head", "head_tail"] = setting(
        "head", "what is kept of a longer text: its beginning, or its beginning and its end"
    )
    max_characters: int = setting(
        100_000, "characters of a text that are looked at, at most; a longer one counts as truncated", ge=1
    )
    pooling: Literal["first", "mean"] = setting("mean", "what the head sees: the first token, or the mean of all")
    dropout: float | None = setting(
        None,
        "share of activations dropped throughout the encoder in training; null: as its config.json says",
        ge=0,
        lt=1,
    )
    head_dropout: float = setting(0.1, "share of what the head sees dropped in training", ge=0, lt=1)
    freeze_layers: int = setting(0, "keep the embeddings and so many of the first layers as they are; 0: none", ge=0)
    lora: Lora | None = setting(None, "train adapters instead of the encoder's own weights; null: none")
    packed: bool = setting(False, "put the texts of a batch one after the other, without padding")
    round_to: int = setting(32, "lengths are padded to multiples of it, so that shapes are few", ge=1)

    def problems(self) -> Problems:
        """A folder that does not exist."""
        path = Path(self.weights).expanduser()
        if (path.is_absolute() or self.weights.startswith(".")) and not path.is_dir():
            yield (
                "weights",
                f"{self.weights} is not a folder. One with a config.json, a tokenizer.json and a model.safetensors was "
                "expected, or that of a run. Correct the path, or give a name on the model hub.",
            )


@dataclass
class Lstm:
    """A bidirectional LSTM over embeddings of its own, from scratch."""

    tokens: Literal["auto", "characters", "words", "wordpiece"] = setting(
        "auto", "what a text is cut into; auto: characters where the script has no blanks, as Chinese, else wordpiece"
    )
    vocabulary: int = setting(8000, "the commonest tokens of the training texts that are known; others are one", ge=16)
    max_length: int = setting(256, "tokens of a text at most, those that mark its ends included", ge=8)
    truncate: Literal["head", "head_tail"] = setting(
        "head", "what is kept of a longer text: its beginning, or its beginning and its end"
    )
    max_characters: int = setting(
        100_000, "characters of a text that are looked at, at most; a longer one counts as truncated", ge=1
    )
    ngrams: int = setting(1, "tokens of the longest n-gram that has an embedding too; 1: none", ge=1, le=5)
    buckets: int = setting(50_000, "embeddings that n-grams share, by a hash of their tokens", ge=1)
    embedding: int = setting(128, "size of the embedding of a token", ge=1)
    width: int = setting(128, "size of the state in each direction", ge=1)
    depth: int = setting(1, "layers", ge=1)
    dropout: float = setting(0.2, "share of activations dropped before each layer and the head in training", ge=0, lt=1)
    round_to: int = setting(32, "lengths are padded to multiples of it, so that shapes are few", ge=1)


@dataclass
class Bag:
    """A linear classifier of the n-grams of a text: the fast and honest baseline."""

    tokens: Literal["auto", "characters", "words"] = setting(
        "auto", "what n-grams are made of; auto: characters where the script has no blanks, as Chinese, else words"
    )
    ngrams: int = setting(2, "tokens of the longest n-gram", ge=1)
    max_characters: int = setting(
        100_000, "characters of a text that are looked at, at most; a longer one counts as truncated", ge=1
    )
    min_count: int = setting(2, "training texts that an n-gram must be in to be known", ge=1)
    vocabulary: int = setting(200_000, "the commonest n-grams of the training texts that are known", ge=1)


@dataclass
class Corpus:
    """A named corpus with a standard test split."""

    root: str | None = setting(None, "a folder that holds its files; null: fetch them")
    val_share: float = setting(0.1, "share of each class of the training split held out to validate", ge=0, lt=1)


@dataclass
class ReviewSentimentZh:
    """Chinese reviews, split by a hash of their text."""

    root: str | None = setting(None, "a folder that holds pos.txt and neg.txt; null: fetch them")


@dataclass
class Table(PseudonymSection):
    """Your own labelled texts, a row each."""

    file: str | None = setting(None, "a CSV, TSV, JSON lines, Excel or Parquet file of texts and their labels")
    val_file: str | None = setting(None, "another one, of the val split; null: from `file`")
    test_file: str | None = setting(None, "another one, of the test split; null: from `file`")
    text_column: str = setting("text", "the column of texts")
    pair_column: str | None = setting(None, "for pairs of texts, the column of the second ones")
    label_column: str = setting("label", "the column of classes")
    split_column: str | None = setting(
        None, "the column of train, val and test; null: `split`, `set` or `fold`, where there is one"
    )
    id_column: str | None = setting(None, "the column of ids, by which rows are split; null: split by the text itself")
    author_column: str | None = setting(
        None, "the column of who wrote each text, by which rows are split: nobody is in two splits; null: nobody knows"
    )
    delimiter: str | None = setting(None, "what stands between the cells of a CSV or TSV file; null: what is found")
    encoding: str | None = setting(
        None, "what a CSV, TSV or JSON lines file is in, as windows-1250; null: what is certain"
    )
    val_share: float = setting(0.1, "share held out to validate when there is no val split", ge=0, lt=1)
    test_share: float = setting(0.2, "share held out to test when there is no test split", ge=0, lt=1)

    def problems(self) -> Problems:
        """No file, files that do not exist or are no tables, shares that leave nothing to train on, useless keys."""
        yield from super().problems()
        if self.pseudonymise and not (self.id_column or self.author_column):
            yield (
                "pseudonymise",
                "it is true, but neither id_column nor author_column is set: no name is read. Set the column that "
                "names people, or leave pseudonymise out.",
            )
        if not self.file:
            yield "file", "it is not set. Name the table of your texts: data.file=FILE."
        for key in ("file", "val_file", "test_file"):
            path = getattr(self, key)
            if path and not Path(path).expanduser().is_file():
                yield (
                    key,
                    f"{path} is not a file: looked for {Path(path).expanduser().absolute()}, as a relative path begins "
                    "where taskkit is called. A table of texts and labels was expected. Correct the path.",
                )
            if path and not path.lower().endswith(TABLE_SUFFIXES):
                yield key, f"{path} does not end in {', '.join(TABLE_SUFFIXES)}. Convert or rename the file."
        yield from table_problems(self.delimiter, self.encoding)
        if self.val_share + self.test_share >= 1:
            yield "val_share", "it and test_share leave nothing to train on. Their sum must be below 1."


@dataclass
class HuggingFace:
    """A data set of the Hugging Face hub, by its name there."""

    dataset: str = setting(doc="its name on the hub, such as stanfordnlp/sst2")
    subset: str | None = setting(None, "its configuration, where it has several")
    revision: str | None = setting(None, "a branch, tag or commit of it; null: the newest when it is first fetched")
    root: str | None = setting(
        None, "a folder of SPLIT.parquet files or their shards to read instead; null: ask the hub"
    )
    text_column: str = setting("text", "the column of texts")
    pair_column: str | None = setting(None, "for pairs of texts, the column of the second ones")
    label_column: str = setting("label", "the column of classes")
    train_split: str = setting("train", "its split to train on")
    val_split: str | None = setting(None, "its split to validate on; null: `validation`, else a part of train_split")
    test_split: str | None = setting(None, "its split to test on; null: `test`, else a part of train_split")
    val_share: float = setting(0.1, "share held out to validate when there is no val split", ge=0, lt=1)
    test_share: float = setting(0.2, "share held out to test when there is no test split", ge=0, lt=1)

    def problems(self) -> Problems:
        """A split used twice, shares that leave nothing to train on."""
        named = [split for split in (self.train_split, self.val_split, self.test_split) if split]
        if len(set(named)) < len(named):
            yield "test_split", f"one split is used twice ({', '.join(named)}). Each must be another."
        if self.val_share + self.test_share >= 1:
            yield "val_share", "it and test_share leave nothing to train on. Their sum must be below 1."
