"""Data sets that torchaudio downloads, by its own names for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torchaudio import datasets

from taskkit import (
    Classes,
    DataError,
    DataModule,
    DataSpec,
    Download,
    Fact,
    Local,
    Origin,
    Prepared,
    Split,
    by_share,
    fetch,
)
from taskkit_speech import inspection, sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.normalise import NORMALISERS
from taskkit_speech.utterances import Utterance, by_split, fingerprint, for_task, prepared

NORMALISER = "letters-v1"
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Known:
    """One of torchaudio's classes and what it does not say itself."""

    sample_rate: int
    language: str
    files: str
    """The files that it reads; `{part}` is a part of the data set."""
    splits: str
    """How it is split, in words."""


KNOWN = {
    "LIBRISPEECH": Known(16000, "en", "LibriSpeech/{part}/*", "the official parts: {train} / {val} / {test}"),
    "SPEECHCOMMANDS": Known(16000, "en", "SpeechCommands/speech_commands_v0.02/*", "the official lists"),
    "YESNO": Known(8000, "he", "waves_yesno/*.wav", "by a hash of the file: val 0.1, test 0.2"),
}


class Read(NamedTuple):
    """A data set as it was read."""

    utterances: list[Utterance]
    origins: tuple[Origin, ...]


class TorchaudioData(DataModule[sections.TorchaudioData]):
    """LibriSpeech and Speech Commands in their official splits, YesNo split by a hash of each file.

    The words of Speech Commands are classes or transcripts, as the task needs; the others have transcripts.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Download what is not there, which torchaudio verifies, and read what it says of each recording."""
        name, known = self.config.dataset, KNOWN[self.config.dataset]
        readers = {"LIBRISPEECH": self._librispeech, "SPEECHCOMMANDS": self._speech_commands, "YESNO": self._yes_no}
        read = readers[name]()
        utterances = [
            replace(one, target=NORMALISERS[NORMALISER](str(one.target), known.language)) for one in read.utterances
        ]
        classes: Classes | None = None
        if issubclass(target, Classes) and name == "SPEECHCOMMANDS":
            classes = Classes.of(str(one.target) for one in utterances if one.split == "train")
            utterances = [replace(one, target=classes.number(str(one.target), one.id)) for one in utterances]
        splits = by_split(for_task(utterances, target))
        parts = {split: "+".join(getattr(self.config, split)) for split in SPLITS}
        spec = DataSpec(
            Audio(known.sample_rate),
            Transcript(known.language) if classes is None else classes,
            fingerprint(f"torchaudio-{name}", splits, "/".join(origin.sha256 for origin in read.origins)),
            read.origins,
            {"splits": known.splits.format(**parts), "normaliser": f"{NORMALISER} ({known.language})"},
        )
        return prepared(spec, splits, partial(inspection.problems, splits, classes=classes))

    def _librispeech(self) -> Read:
        parts = [(split, part, *self._fetch(part)) for split in SPLITS for part in getattr(self.config, split)]
        utterances = [one for split, part, folder, _ in parts for one in self._librispeech_part(split, part, folder)]
        return Read(utterances, tuple(origin for *_, origin in parts))

    def _librispeech_part(self, split: Split, part: str, folder: Path) -> Iterator[Utterance]:
        recordings = self._open(folder, url=part)
        for number in range(len(recordings)):
            path, _, text, speaker, chapter, utterance = recordings.get_metadata(number)
            name = f"{speaker}-{chapter}-{utterance:04d}"
            yield Utterance(name, Clip(folder / "LibriSpeech" / path), text, split, str(speaker))

    def _speech_commands(self) -> Read:
        subsets: Mapping[Split, str] = {"train": "training", "val": "validation", "test": "testing"}
        folder, origin = self._fetch()
        utterances = []
        for split, subset in subsets.items():
            recordings = self._open(folder, subset=subset)
            for number in range(len(recordings)):
                path, _, word, speaker, _ = recordings.get_metadata(number)
                name = Path(path).relative_to("speech_commands_v0.02").as_posix()
                utterances.append(Utterance(name, Clip(folder / "SpeechCommands" / path), word, split, speaker))
        return Read(utterances, (origin,))

    def _yes_no(self) -> Read:
        folder, origin = self._fetch()
        words = {"0": "lo", "1": "ken"}
        utterances = []
        for path in sorted((folder / "waves_yesno").glob("*.wav")):
            text = " ".join(words[digit] for digit in path.stem.split("_"))
            utterances.append(Utterance(path.stem, Clip(path), text, by_share(path.stem, val=0.1, test=0.2)))
        return Read(utterances, (origin,))

    def _fetch(self, part: str = "") -> tuple[Path, Origin]:
        """The folder of a part of the data set, and where it came from."""
        name = self.config.dataset
        download = Download(f"torchaudio {name}", partial(_download, name, part))
        files = {KNOWN[name].files.format(part=part): None}
        return fetch(f"torchaudio-{name}{f'-{part}' if part else ''}", files, [Local(self.config.root), download])

    def _open(self, folder: Path, **arguments: Any) -> Any:
        """The data set as torchaudio reads it."""
        name = self.config.dataset
        try:
            return getattr(datasets, name)(str(folder), **arguments)
        except (RuntimeError, OSError, ValueError) as error:
            raise DataError(
                f"{folder}: torchaudio cannot read {name} from it: {str(error).rstrip('.')}. The files "
                "that torchaudio downloads were expected. Replace them, or leave data.root out."
            ) from None


def _download(name: str, part: str, folder: Path) -> None:
    getattr(datasets, name)(str(folder), download=True, **({"url": part} if part else {}))
