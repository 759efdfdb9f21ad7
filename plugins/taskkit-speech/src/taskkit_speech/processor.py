"""The way into every speech network: int16 samples at one rate, and their targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from taskkit import Batch, Classes, DataSpec, Example, Processor, Sample, SelfSupervised, TaskkitError, Unit
from taskkit_speech import sections
from taskkit_speech.alphabet import Alphabet, frames_needed
from taskkit_speech.arrays import Audio, padded_length, seconds_of, windows
from taskkit_speech.audio import read_samples
from taskkit_speech.facts import Transcript
from taskkit_speech.reading import read_audio
from taskkit_speech.windows import Grid, parts


class FrontEnd(NamedTuple):
    """What a network is, and what samples it takes."""

    shape: Mapping[str, Any]
    """The configuration of a transformers model, as plain data."""
    sample_rate: int
    normalise: bool
    """Whether each clip is brought to mean 0 and deviation 1."""

    @property
    def grid(self) -> Grid:
        """Where its frames lie."""
        return Grid.of(self.shape["conv_kernel"], self.shape["conv_stride"])


class SpeechProcessor(Processor):
    """Recordings at one sample rate; normalising them is the network's own first layer.

    `describe` says what the network is; `fit` calls it once.
    """

    layout = "padded"
    network_state = ("shape",)
    predict_options = sections.ReadAudio
    front_end: FrontEnd
    alphabet: Alphabet | None = None
    """None: the targets are no transcripts."""

    def __init__(self, spec: DataSpec, config: sections.Wav2vec2, describe: Callable[[], FrontEnd]) -> None:
        self.config = config
        self.describe = describe
        self.transcripts = isinstance(spec.target, Transcript)
        self.classes = isinstance(spec.target, Classes)
        self.unlabelled = isinstance(spec.target, SelfSupervised)

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn the alphabet of the training transcripts, and what the network is to be."""
        if self.transcripts:
            self.alphabet = Alphabet.of(example.target for example in examples)
        self._attach(self.describe())
        self._check_frames()
        if self.transcripts:
            self._check_overlap()

    def read(self, source: str, options: sections.ReadAudio) -> Sequence[Example]:
        """The examples of an audio file, of a folder of them, or of a table that lists them."""
        return read_audio(source, options)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`audio`: int16 (samples,), and what is known of it.

        Of a transcript `target`, the numbers of its characters, and `target_text`, all of its code points; of a class
        `target`, its number. Without any, a recording longer than `model.window` becomes several windows, with
        `target_frames`, the first and last frame kept; unlabelled training data are cut into parts without overlap.
        """
        samples = read_samples(example.input, self.front_end.sample_rate)
        audio = torch.from_numpy(samples)
        if self.unlabelled:
            stretches = parts(len(audio), self._samples(self.config.window))
            return [{"audio": audio[first:last]} for first, last in stretches]
        if example.target is None:
            return self._windows(samples)
        if self.alphabet is not None:
            return [{"audio": audio, **self._transcript(example.target, self.alphabet, len(audio))}]
        return [{"audio": audio, "target": torch.tensor(example.target)}]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """`audio` (batch, samples), padded with zeros, `audio_length` (batch,), and targets, padded with zeros too."""
        lengths = torch.tensor([len(sample["audio"]) for sample in samples])
        audio = torch.zeros(len(samples), self.padded_length(int(lengths.max())), dtype=torch.int16)
        for row, sample in zip(audio, samples, strict=True):
            row[: len(sample["audio"])] = sample["audio"]
        others = {name: _together([sample[name] for sample in samples]) for name in samples[0] if name != "audio"}
        return {"audio": audio, "audio_length": lengths, **others}

    def length(self, sample: Sample) -> int:
        """Its samples."""
        return len(sample["audio"])

    def padded_length(self, length: int) -> int:
        """The next multiple of `model.pad_to`, and never less than the convolutions need to answer at all."""
        step = self._samples(self.config.pad_to)
        return padded_length(length, self.grid, step)

    def padded_size(self, batch: Batch) -> int:
        """The samples of a batch, padding included."""
        return batch["audio"].numel()

    def settings(self) -> Mapping[str, Any]:
        """The kind of target, and what recordings are cut by: seconds and frames; the rest is in the state."""
        if self.classes:
            return {"target": "class"}
        if self.unlabelled:
            return {"target": "none", "window": self.config.window}
        cut = {"window": self.config.window, "overlap": self.config.overlap, "grid": list(self.grid)}
        return {"target": "transcript", **cut}

    def state_dict(self) -> Mapping[str, Any]:
        """What the network is and takes, and the alphabet."""
        alphabet = None if self.alphabet is None else self.alphabet.characters
        return {**self.front_end._asdict(), "alphabet": alphabet}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        facts = dict(state)
        alphabet = facts.pop("alphabet")
        self.alphabet = None if alphabet is None else Alphabet(alphabet)
        self._attach(FrontEnd(**facts))

    def _attach(self, front_end: FrontEnd) -> None:
        self.front_end, self.grid = front_end, front_end.grid
        self.unit = Unit("audio seconds", front_end.sample_rate)

    def _check_frames(self) -> None:
        """Raise TaskkitError when no window would have a frame."""
        rate, window = self.front_end.sample_rate, self._samples(self.config.window)
        if max(self.grid) > window:
            field, hop = self.grid.field / rate, self.grid.hop / rate
            strides = list(self.front_end.shape["conv_stride"])
            raise TaskkitError(
                f"model.conv_strides: with {strides} a frame hears {field:,.6g} s and comes every {hop:,.6g} s; "
                f"model.window is {self.config.window:g} s. Frames of some hundredths of a second were expected. Make "
                "them smaller."
            )

    def _check_overlap(self) -> None:
        """Raise TaskkitError when two windows might not share a frame, so that one between them would be lost."""
        least, rate = self.grid.field + 2 * self.grid.hop, self.front_end.sample_rate
        if self._samples(self.config.overlap) < least:
            seconds = math.ceil(1000 * least / rate) / 1000
            raise TaskkitError(
                f"model.overlap: {self.config.overlap:g} s is too short for windows to share a frame. {seconds:g} s or "
                "more were expected: what a frame of this network hears and two steps from one to the next. Raise it."
            )

    def _samples(self, seconds: float) -> int:
        return seconds_of(seconds, self.front_end.sample_rate)

    def _windows(self, audio: Audio) -> list[Sample]:
        if not self.transcripts:
            return [{"audio": torch.from_numpy(audio)}]
        if len(audio) > self._samples(self.config.window):
            self._check_overlap()
        found = windows(audio, self._samples(self.config.window), self._samples(self.config.overlap), self.grid)
        return [{name: torch.from_numpy(array) for name, array in each.items()} for each in found]

    def _transcript(self, text: str, alphabet: Alphabet, samples: int) -> dict[str, Tensor]:
        numbers = alphabet.spell(text)
        return {
            "target": torch.tensor(numbers, dtype=torch.int64),
            "target_text": torch.tensor([ord(character) for character in text], dtype=torch.int32),
            "flag_unknown_characters": torch.tensor(int(alphabet.unknown(text) > 0)),
            "flag_too_long_target": torch.tensor(int(frames_needed(numbers) > self.grid.frames(samples))),
        }


def _together(values: Sequence[Tensor]) -> Tensor:
    """Stacked, the shorter ones padded with zeros."""
    return torch.stack(list(values)) if values[0].ndim == 0 else pad_sequence(list(values), batch_first=True)
