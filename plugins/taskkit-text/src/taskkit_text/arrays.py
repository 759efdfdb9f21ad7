"""The ways into text networks in arrays, without torch: what every processor here makes its samples and batches of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from taskkit import ArrayProcessor, Arrays, DataSpec, Example
from taskkit_text import sections, vocabulary
from taskkit_text.facts import Text
from taskkit_text.reading import ReadText, read_texts

Truncate = Literal["head", "head_tail"]


class Tokenised(NamedTuple):
    """Token numbers, which text of a pair each is of, where each lies in its text, whether that was longer, and whether
    any is known."""

    ids: list[int]
    type_ids: list[int]
    spans: list[tuple[int, int]]
    """Where each begins and ends; nowhere, (0, 0), for one that marks an end."""
    truncated: bool
    known: bool


@dataclass(frozen=True)
class Cut:
    """How much of a text, or of each of a pair, counts.

    Cutting characters comes before cutting tokens: a text of megabytes would take minutes and gigabytes.
    """

    pairs: bool
    max_characters: int
    truncate: Truncate = "head"

    def parts(self, text: Any) -> tuple[str, ...]:
        """The one text of an input, or the two of a pair, of each no more than `max_characters`."""
        return tuple(self._shortened(part) for part in (text if self.pairs else (text,)))

    def is_too_long(self, text: Any) -> bool:
        """Whether some of an input has to go before anything is looked at."""
        return any(len(part) > self.max_characters for part in (text if self.pairs else (text,)))

    def _shortened(self, text: str) -> str:
        """Its beginning, or its beginning and its end, as `truncate` says."""
        if self.truncate == "head" or len(text) <= self.max_characters:
            return text[: self.max_characters]
        tail = self.max_characters // 2
        return text[: self.max_characters - tail] + text[len(text) - tail :]


@dataclass
class Tokens:
    """Texts as token numbers of at most `max_length`, padded to a multiple of `round_to` or packed."""

    tokenizer: Tokenizer
    cut: Cut
    max_length: int
    round_to: int
    padding: int
    """The number that stands where there is no token."""
    segments: bool
    """Whether the network takes, with each token, which text of a pair it is of."""

    def sample(self, text: Any) -> Arrays:
        """`input_ids`: int32 (tokens,), for some pairs `token_type_ids`, and `flags`."""
        tokens = tokenise(self.tokenizer, self.cut.parts(text), self.max_length, self.cut.truncate)
        sample = {
            "input_ids": np.array(tokens.ids, np.int32),
            **flags(tokens.truncated or self.cut.is_too_long(text), tokens.known),
        }
        if self.segments:
            sample["token_type_ids"] = np.array(tokens.type_ids, np.int32)
        return sample

    def padded_length(self, length: int) -> int:
        """The next multiple of `round_to`, but not beyond `max_length`."""
        return min(-(-length // self.round_to) * self.round_to, self.max_length)


class TextArrays(ArrayProcessor):
    """Reads texts, or pairs of them, without torch; a subclass says what they become."""

    predict_options = ReadText

    def __init__(self, section: Any, spec: DataSpec, state: Mapping[str, Any]) -> None:
        assert isinstance(spec.input, Text)
        self.pairs = spec.input.pairs

    def read(self, source: str, options: ReadText) -> Sequence[Example]:
        """The examples of a line of text, a file of lines or a table; raises DataError."""
        return read_texts(source, options, self.pairs)


class TokenArrays(TextArrays):
    """Token numbers, padded or packed."""

    def __init__(self, section: sections.Lstm | sections.Transformer, spec: DataSpec, state: Mapping[str, Any]) -> None:
        super().__init__(section, spec, state)
        self.packed = isinstance(section, sections.Transformer) and section.packed
        self.tokens = Tokens(
            Tokenizer.from_str(state["tokenizer"]),
            Cut(self.pairs, section.max_characters, section.truncate),
            section.max_length,
            section.round_to,
            state["padding"],
            state["segments"],
        )

    def encode(self, example: Example) -> Sequence[Arrays]:
        """See `Tokens.sample`."""
        return [self.tokens.sample(example.input)]

    def length(self, sample: Arrays) -> int:
        """Tokens."""
        return len(sample["input_ids"])

    def collate(self, samples: Sequence[Arrays]) -> Arrays:
        """Token numbers (texts, tokens) with a mask of them; or packed, see `pack`."""
        if self.packed:
            return pack(samples)
        batch = pad(samples, self.tokens.padded_length(max(map(self.length, samples))), self.tokens.padding)
        return {"attention_mask": np.ones(batch["input_ids"].shape, bool), **batch}


@dataclass
class Bags:
    """Texts as those of their n-grams that are known, each weighted by how often it is there and how rare elsewhere."""

    cut: Cut
    tokens: vocabulary.Tokens
    ngrams: Sequence[str]
    """In the order of their numbers."""
    rarity: Sequence[float]
    longest: int
    """Tokens of the longest n-gram."""

    def __post_init__(self) -> None:
        self.numbers = {ngram: number for number, ngram in enumerate(self.ngrams)}
        self.pieces = vocabulary.cut(self.tokens)

    def sample(self, text: Any) -> Arrays:
        """`ngrams`, int32, and `weights`, float32, both (n-grams,), and `flags`."""
        counts: Counter[Any] = Counter(map(self.numbers.get, self.of(text)))
        counts.pop(None, None)  # those that are not known
        raw = [(1 + math.log(count)) * self.rarity[number] for number, count in counts.items()]
        weights = np.array(raw, np.float32)
        return {
            "ngrams": np.array(list(counts), np.int32),
            "weights": weights / np.float32(max(float(np.linalg.norm(weights)), 1e-12)),
            **flags(truncated=self.cut.is_too_long(text), known=len(counts) > 0),
        }

    def of(self, text: Any) -> Iterable[str]:
        """All n-grams of a text, known or not; of a pair, those of either text are told apart."""
        return chain.from_iterable(self._of_part(number, part) for number, part in enumerate(self.cut.parts(text)))

    def _of_part(self, number: int, part: str) -> Iterable[str]:
        tokens = self._pieces_of(part)
        if self.cut.pairs:
            tokens = [f"{number}:{token}" for token in tokens]
        sizes = range(2, self.longest + 1)
        return chain(tokens, *(map(" ".join, zip(*(tokens[at:] for at in range(n)), strict=False)) for n in sizes))

    def _pieces_of(self, part: str) -> list[str]:
        if self.tokens != "characters" and part.isascii():
            return vocabulary.ascii_words(part)
        return [piece for piece, _ in self.pieces.pre_tokenize_str(vocabulary.NORMALISE.normalize_str(part))]


class BagArrays(TextArrays):
    """Weighted n-grams, one text after the other."""

    def __init__(self, section: sections.Bag, spec: DataSpec, state: Mapping[str, Any]) -> None:
        super().__init__(section, spec, state)
        cut = Cut(self.pairs, section.max_characters)
        self.bags = Bags(cut, state["tokens"], state["ngrams"], state["rarity"], section.ngrams)

    def encode(self, example: Example) -> Sequence[Arrays]:
        """See `Bags.sample`."""
        return [self.bags.sample(example.input)]

    def length(self, sample: Arrays) -> int:
        """N-grams; a text without a known one is answered by the bias, and counts as one."""
        return max(1, len(sample["ngrams"]))

    def collate(self, samples: Sequence[Arrays]) -> Arrays:
        """See `together`."""
        return together(samples)


def flags(truncated: bool, known: bool) -> dict[str, Any]:
    """What a person should know of a sample: that its text was longer, and that nothing in it is `known`."""
    return {"flag_truncated": np.array(int(truncated)), "flag_without_a_known_token": np.array(int(not known))}


def tokenise(tokenizer: Tokenizer, parts: Sequence[str], max_length: int, truncate: Truncate) -> Tokenised:
    """The tokens of a text or of a pair, with those that mark their ends, and whether some had to go.

    Of a pair, the longer text gives way first.
    """
    encodings = [tokenizer.encode(part, add_special_tokens=False) for part in parts]
    lengths = [len(encoding) for encoding in encodings]
    room = max_length - tokenizer.num_special_tokens_to_add(len(parts) == 2)
    kept = _shares(lengths, room)
    whole = tokenizer.post_process(encodings[0], encodings[1] if len(encodings) == 2 else None)
    unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
    known = any(number != unknown for encoding in encodings for number in encoding.ids)
    if kept == lengths:
        return Tokenised(whole.ids, whole.type_ids, whole.offsets, truncated=False, known=known)
    # The library's own way of cutting keeps all that it cuts off, for a pair in all combinations.
    left = _left(whole.special_tokens_mask, lengths, kept, truncate)
    ids, types = ([column[place] for place in left] for column in (whole.ids, whole.type_ids))
    return Tokenised(ids, types, [whole.offsets[place] for place in left], truncated=True, known=known)


def pad(samples: Sequence[Arrays], length: int, padding: int) -> dict[str, Any]:
    """`input_ids` (texts, length), int64; `attention_mask`, bool, of the same shape, where any is padding."""
    lengths = np.array([len(sample["input_ids"]) for sample in samples])
    batch: dict[str, Any] = {}
    for name, fill in (("input_ids", padding), ("token_type_ids", 0)):
        if name in samples[0]:
            batch[name] = np.full((len(samples), length), fill, np.int64)
            for row, sample in enumerate(samples):
                batch[name][row, : lengths[row]] = sample[name]
    if lengths.min() < length:
        batch["attention_mask"] = np.arange(length) < lengths[:, None]
    return batch


def pack(samples: Sequence[Arrays]) -> dict[str, Any]:
    """`input_ids` and `position_ids` (1, all tokens), int64; positions begin again at 0 with each text.

    `offsets` (texts + 1,), int32, say where each text begins, and where the last one ends.
    """
    names = ("input_ids", "token_type_ids")
    batch = {
        name: np.concatenate([each[name] for each in samples]).astype(np.int64)[None]
        for name in names
        if name in samples[0]
    }
    lengths = [len(sample["input_ids"]) for sample in samples]
    positions = np.concatenate([np.arange(length) for length in lengths])
    return {**batch, "position_ids": positions[None], "offsets": np.cumsum([0, *lengths], dtype=np.int32)}


def together(samples: Sequence[Arrays]) -> dict[str, Any]:
    """One bag after the other; `offsets` (texts + 1,), int32, say where each begins and the last one ends."""
    batch = {name: np.concatenate([sample[name] for sample in samples]) for name in ("ngrams", "weights")}
    return {**batch, "offsets": np.cumsum([0, *(len(sample["ngrams"]) for sample in samples)], dtype=np.int32)}


def _shares(lengths: Sequence[int], room: int) -> list[int]:
    """How many tokens of each text there is room for."""
    if sum(lengths) <= room:
        return list(lengths)
    if len(lengths) == 1:
        return [room]
    shorter = min(*lengths, room // 2)
    return [shorter, room - shorter] if lengths[0] < lengths[1] else [room - shorter, shorter]


def _left(ends: Sequence[int], lengths: Sequence[int], kept: Sequence[int], truncate: Truncate) -> list[int]:
    """The places of the tokens that are left: all that mark `ends`, and of each text the `kept` first ones.

    Or, of each text, half as many of the first ones and of the last ones.
    """
    tails = [share // 2 if truncate == "head_tail" else 0 for share in kept]
    stays = (
        place < share - tail or place >= length - tail
        for length, share, tail in zip(lengths, kept, tails, strict=True)
        for place in range(length)
    )
    return [place for place, end in enumerate(ends) if end or next(stays)]
