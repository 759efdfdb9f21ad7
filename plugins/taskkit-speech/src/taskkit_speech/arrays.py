"""The ways from recordings to classes and transcripts, in arrays, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskkit import ArrayProcessor, Arrays, ArrayTask, DataSpec, Example, Prediction, TaskkitError
from taskkit_speech import sections
from taskkit_speech.alphabet import Alphabet
from taskkit_speech.audio import read_samples
from taskkit_speech.facts import Transcript
from taskkit_speech.reading import read_audio
from taskkit_speech.windows import Grid, cut

Audio = NDArray[np.int16]


class SpeechArrays(ArrayProcessor):
    """Recordings at one sample rate."""

    predict_options = sections.ReadAudio

    def __init__(self, section: sections.Wav2vec2, spec: DataSpec, state: Mapping[str, Any]) -> None:
        self.config = section
        self.transcripts = isinstance(spec.target, Transcript)
        self.rate = state["sample_rate"]
        self.grid = Grid.of(state["shape"]["conv_kernel"], state["shape"]["conv_stride"])
        self.alphabet = None if state["alphabet"] is None else Alphabet(state["alphabet"])

    def read(self, source: str, options: sections.ReadAudio) -> Sequence[Example]:
        """The examples of an audio file, of a folder of them, or of a table that lists them."""
        return read_audio(source, options)

    def encode(self, example: Example) -> Sequence[Arrays]:
        """`audio`: int16 (samples,); of what is to be transcribed perhaps several, see `windows`."""
        audio = read_samples(example.input, self.rate)
        if not self.transcripts or example.target is not None:
            return [{"audio": audio}]
        size, overlap = (seconds_of(each, self.rate) for each in (self.config.window, self.config.overlap))
        return windows(audio, size, overlap, self.grid)

    def length(self, sample: Arrays) -> int:
        """Its samples."""
        return len(sample["audio"])

    def collate(self, samples: Sequence[Arrays]) -> Arrays:
        """`audio` (batch, samples), padded with zeros, and `audio_length` (batch,)."""
        lengths = np.array([len(sample["audio"]) for sample in samples])
        step = seconds_of(self.config.pad_to, self.rate)
        audio = np.zeros((len(samples), padded_length(int(lengths.max()), self.grid, step)), np.int16)
        for row, sample in zip(audio, samples, strict=True):
            row[: len(sample["audio"])] = sample["audio"]
        others = {name: np.stack([each[name] for each in samples]) for name in samples[0] if name != "audio"}
        return {"audio": audio, "audio_length": lengths, **others}


class CtcArrays(ArrayTask):
    """The most probable character of each frame."""

    predict_options = sections.CtcOptions

    @classmethod
    def answers(cls, section: sections.Ctc) -> bool:
        """Not where a beam is searched, for which torchaudio is needed."""
        return section.beam == 1

    def check_options(self, options: sections.CtcOptions) -> None:
        """Raise TaskkitError for options that need torch."""
        given = [name for name, value in asdict(options).items() if value not in (None, False)]
        if given:
            raise TaskkitError(
                f"--{given[0].replace('_', '-')}: an exported folder in ONNX reads greedily, without times. Ask the "
                "run, or export it with --to torch."
            )

    def predict(
        self, batch: Arrays, outputs: Arrays, examples: Sequence[Example], options: sections.CtcOptions
    ) -> Sequence[Prediction]:
        """The transcript; of one of several windows its characters by frames, since words are read of all together."""
        best, lengths = outputs["logits"].argmax(-1), outputs["lengths"]
        if "target_frames" not in batch:
            return [self._read(path[:length].tolist()) for path, length in zip(best, lengths.tolist(), strict=True)]
        frames = batch["target_frames"].tolist()
        kept = [(path[first:last].tolist(), n) for path, (first, last, n) in zip(best, frames, strict=True)]
        return [{"prediction": "", "path": path} if n > 1 else self._read(path) for path, n in kept]

    def join(self, parts: Sequence[Prediction], options: sections.CtcOptions) -> Prediction:
        """Read the characters of all windows as those of one recording."""
        return self._read([number for part in parts for number in part["path"]])

    def _read(self, path: Sequence[int]) -> Prediction:
        return {"prediction": self.processor.alphabet.read(path)}


def windows(audio: Audio, size: int, overlap: int, grid: Grid) -> list[dict[str, Any]]:
    """`audio` in windows, each with `target_frames`: the first and last frame kept, and how many windows there are."""
    found = cut(len(audio), size, overlap, grid)
    return [
        {"audio": audio[start:stop], "target_frames": np.array([first, last, len(found)])}
        for start, stop, first, last in found
    ]


def seconds_of(seconds: float, rate: int) -> int:
    """How many samples there are in so many seconds, one at least."""
    return max(1, round(seconds * rate))


def padded_length(length: int, grid: Grid, step: int) -> int:
    """The next multiple of a step, and never less than the convolutions need to answer at all."""
    return -(-max(length, grid.field) // step) * step
