"""The settings of this plugin's tasks, models and data in a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from taskkit import ClassificationSection, Problems, PseudonymSection, setting, table_problems
from taskkit_speech.facts import MAX_SECONDS

LIBRISPEECH = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)


@dataclass
class Ctc:
    """Transcribe each recording by connectionist temporal classification."""

    beam: int = setting(1, "hypotheses that beam search keeps; 1: greedy decoding", ge=1)
    language_model: str | None = setting(None, "an n-gram model of words for the beam search, as .arpa or KenLM's .bin")
    words: str | None = setting(None, "a file of the words that may be said, one a line; null: those of the .arpa file")
    lm_weight: float = setting(2.0, "weight of the language model against the network", ge=0)
    word_score: float = setting(0.0, "what is added to the score for each word; above 0: more and shorter words")

    def problems(self) -> Problems:
        """Files that do not exist, and a language model or words that nothing would ask."""
        for field in ("language_model", "words"):
            path = getattr(self, field)
            if path and not Path(path).expanduser().is_file():
                yield field, f"{path} is not a file: looked for {Path(path).expanduser().absolute()}. Correct the path."
        if (self.language_model or self.words) and self.beam == 1:
            yield "beam", "1 is greedy decoding, which asks no language model and no list of words. Set it to 50."


@dataclass
class CtcOptions:
    """How `taskkit predict` transcribes."""

    times: bool = setting(False, "say when each word begins and ends, in seconds")
    beam: int | None = setting(None, "hypotheses that beam search keeps; null: as the run says", ge=1)
    language_model: str | None = setting(None, "an n-gram model of words, .arpa or KenLM's .bin; null: as the run says")
    words: str | None = setting(None, "a file of the words that may be said, one a line; null: as the run says")
    lm_weight: float | None = setting(None, "weight of the language model; null: as the run says", ge=0)
    word_score: float | None = setting(None, "what is added for each word; null: as the run says")


@dataclass
class ReadAudio:
    """How `taskkit predict` reads what it is asked about."""

    column: str = setting("path", "the column of audio files, where a table lists them")
    delimiter: str | None = setting(None, "what stands between the cells of a CSV or TSV file; null: what is found")
    encoding: str | None = setting(
        None, "what a CSV, TSV or JSON lines file is in, as windows-1250; null: what is certain"
    )
    max_seconds: float = setting(MAX_SECONDS, "a recording that is longer by its header is not decoded", gt=0)


@dataclass
class Pretraining:
    """Learn from recordings without transcripts: tell what is behind a mask from what is not."""

    distractors: int = setting(100, "other masked frames of a recording that each frame is told apart from", ge=1)
    temperature: float = setting(0.1, "divides the similarities", gt=0)
    diversity: float = setting(0.1, "weight of the loss that wants all codes to be used", ge=0)
    penalty: float = setting(0.0, "weight of the mean square of what the convolutions answer", ge=0)


@dataclass
class SpeechClassification(ClassificationSection):
    """Choose one class for each recording."""


@dataclass
class Wav2vec2:
    """Wav2Vec2, HuBERT or WavLM: a small network from scratch, or a pretrained one."""

    weights: str | None = setting(
        None, "begin with a folder of transformers, a name on the model hub, or a run directory; null: from scratch"
    )
    overrides: dict[str, Any] = setting({}, "changes of its configuration, by the names in its config.json")
    family: Literal["wav2vec2", "hubert", "wavlm"] = setting("wav2vec2", "what is built from scratch")
    sample_rate: int | None = setting(
        None, "samples a second that a network from scratch hears; null: as the data", ge=1
    )
    conv_widths: list[int] = setting([128, 192, 192], "channels of each convolution")
    conv_kernels: list[int] = setting([200, 3, 3], "samples or frames that each convolution hears at once")
    conv_strides: list[int] = setting([80, 2, 2], "from one to the next; all multiplied: samples from frame to frame")
    layers: int = setting(4, "layers of the transformer", ge=1)
    width: int = setting(192, "size of a frame in the transformer; must be a multiple of heads", ge=4)
    heads: int = setting(4, "attention heads", ge=1)
    mlp_ratio: float = setting(2.0, "hidden size of a layer's perceptron, in widths", gt=0)
    position_kernel: int = setting(32, "frames that the convolution hears which tells where a frame is", ge=1)
    position_groups: int = setting(4, "groups of channels of that convolution; must divide width", ge=1)
    codebooks: int = setting(2, "codebooks, for speech.pretraining", ge=1)
    codes: int = setting(320, "codes in each codebook, for speech.pretraining", ge=2)
    dropout: float | None = setting(
        None, "share dropped throughout the transformer in training; null: as its configuration says", ge=0, lt=1
    )
    layer_drop: float = setting(0.0, "how often each layer but the first is left out in training", ge=0, lt=1)
    mask_time: float = setting(0.05, "share of frames masked in training, were no span to overlap", ge=0, lt=1)
    mask_time_span: int = setting(10, "frames in a row that are masked together", ge=1)
    mask_channels: float = setting(0.0, "share of channels masked in training, were no span to overlap", ge=0, lt=1)
    mask_channel_span: int = setting(64, "channels in a row that are masked together", ge=1)
    speed: float = setting(0.0, "each training clip is played faster or slower by a share of up to this", ge=0, lt=1)
    feature_gradient: float = setting(1.0, "factor on the gradient that reaches the convolutions", ge=0, le=1)
    pad_to: float = setting(0.5, "batches are padded to a multiple of so many seconds, so that shapes are few", gt=0)
    window: float = setting(
        20.0, "seconds; longer recordings are cut: to transcribe new ones, into windows that overlap", gt=0
    )
    overlap: float = setting(4.0, "seconds that two such windows share", gt=0)

    def problems(self) -> Problems:
        """Shapes that cannot be built, and windows that do not move on."""
        if len({len(self.conv_widths), len(self.conv_kernels), len(self.conv_strides)}) != 1 or not self.conv_widths:
            yield "conv_kernels", "it, conv_widths and conv_strides differ in length. Give one of each a layer."
        for field in ("conv_widths", "conv_kernels", "conv_strides"):
            if any(number < 1 for number in getattr(self, field)):
                yield field, f"{getattr(self, field)} holds a number below 1. Each must be at least 1."
        for field in ("heads", "position_groups"):
            if self.width % getattr(self, field):
                yield field, f"{getattr(self, field)} does not divide a width of {self.width}. Choose one that does."
        if self.overlap >= self.window / 2:
            yield "overlap", f"{self.overlap:g} s is half a window of {self.window:g} s or more. It must be less."


@dataclass
class Prompts:
    """The voice prompts of a telephone exchange: 22 to 29 minutes of one speaker, 8 kHz."""

    language: Literal["en", "es", "fr", "it", "ru"] = setting("en", "of the five languages, which one")
    root: str | None = setting(None, "a folder that holds core-sounds-LANGUAGE.txt.gz and the .wav files; null: fetch")


@dataclass
class Languages:
    """The voice prompts of five languages, with the language of each as its class: 2 hours, one speaker a language."""

    root: str | None = setting(None, "a folder that holds folders en, es, fr, it and ru of these; null: fetch them")


@dataclass
class LibrivoxSample:
    """Ten utterances of two readers, 16 kHz, to try whether everything works."""

    root: str | None = setting(None, "a folder that holds the folders librivox and cards of these; null: fetch them")


@dataclass
class TorchaudioData:
    """A data set that torchaudio can download."""

    dataset: Literal["LIBRISPEECH", "SPEECHCOMMANDS", "YESNO"] = setting(doc="torchaudio's own name of the data set")
    root: str | None = setting(None, "torchaudio's folder for its data sets; null: download")
    train: list[str] = setting(["train-clean-100"], "the parts of LibriSpeech to train on")
    val: list[str] = setting(["dev-clean"], "its parts to validate")
    test: list[str] = setting(["test-clean"], "its parts to test")

    def problems(self) -> Problems:
        """Parts that LibriSpeech does not have, or that are in two splits."""
        parts = [*self.train, *self.val, *self.test]
        for field in ("train", "val", "test"):
            for part in getattr(self, field):
                if part not in LIBRISPEECH:
                    yield field, f"LibriSpeech has no part {part}. Its parts are {', '.join(LIBRISPEECH)}."
                elif parts.count(part) > 1:
                    yield field, f"{part} is there twice. Each part can be in one split."


@dataclass
class Table(PseudonymSection):
    """Your own recordings, listed in a table: WAV, FLAC, MP3 or Ogg files, or spans of them."""

    table: str | None = setting(None, "a CSV, TSV, JSON lines or Parquet file with a row for each recording")
    root: str | None = setting(None, "the folder that its paths are relative to; null: the table's own")
    path_column: str = setting("path", "its column of audio files")
    text_column: str = setting("text", "its column of transcripts, when the task is to transcribe")
    label_column: str = setting("label", "its column of classes, when the task is to classify")
    start_column: str | None = setting(None, "its column of where a span begins, in seconds; null: `start` if there")
    end_column: str | None = setting(None, "its column of where a span ends, in seconds; null: `end` if there")
    split_column: str | None = setting(None, "its column of train, val and test; null: `split` if there")
    speaker_column: str | None = setting(None, "its column of speakers; null: `speaker` if there")
    delimiter: str | None = setting(None, "what stands between the cells of a CSV or TSV file; null: what is found")
    encoding: str | None = setting(
        None, "what a CSV, TSV or JSON lines file is in, as windows-1250; null: what is certain"
    )
    language: str = setting("", "what is spoken, as an ISO 639-1 code, to spell numbers out; empty: they stay digits")
    normaliser: Literal["letters-v1", "plain-v1"] = setting(
        "letters-v1", "letters-v1: lower case, no punctuation, numbers spelled out; plain-v1: as they are written"
    )
    unusable: Literal["error", "skip"] = setting(
        "error", "what to do with recordings that cannot be used: refuse all, or leave them out with a warning"
    )
    max_seconds: float = setting(MAX_SECONDS, "one that is longer by its header cannot be used", gt=0)
    val_share: float = setting(0.1, "share held out to validate when there is no val split", ge=0, lt=1)
    test_share: float = setting(0.2, "share held out to test when there is no test split", ge=0, lt=1)

    def problems(self) -> Problems:
        """A table or a folder that does not exist, shares that leave nothing to train on, a key without use."""
        yield from super().problems()
        if not self.table:
            yield "table", "it is not set. Name the table of your recordings: data.table=FILE."
        elif not Path(self.table).expanduser().is_file():
            yield (
                "table",
                f"{self.table} is not a file: looked for {Path(self.table).expanduser().absolute()}. "
                "A table of recordings was expected. Correct the path.",
            )
        if self.root and not Path(self.root).expanduser().is_dir():
            yield (
                "root",
                f"{self.root} is not a folder: looked for {Path(self.root).expanduser().absolute()}. "
                "The folder of the recordings was expected. Correct the path.",
            )
        yield from table_problems(self.delimiter, self.encoding)
        if self.val_share + self.test_share >= 1:
            yield "val_share", "it and test_share leave nothing to train on. Their sum must be below 1."
