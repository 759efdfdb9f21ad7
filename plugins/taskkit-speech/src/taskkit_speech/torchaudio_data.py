"""Data sets that torchaudio downloads, by its own names for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torchaudio import datasets

from taskkit import (
    Classes,
    DataError,
    DataModule,
    DataProblem,
    DataSpec,
    Download,
    Example,
    Fact,
    Local,
    Origin,
    Split,
    by_share,
    fetch,
)
from taskkit_speech import inspection, sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.normalise import NORMALISERS
from taskkit_speech.utterances import Utterance, by_split, examples, fingerprint, for_task

NORMALISER = "letters-v1"


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


class TorchaudioData(DataModule):
    """LibriSpeech and Speech Commands in their official splits, YesNo split by a hash of each file.

    The words of Speech Commands are classes or transcripts, whichever the task asks for; the others have transcripts.
    """

    config: sections.TorchaudioData

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Download what is not there, which torchaudio verifies, and read what it says of each recording."""
        name, known = self.config.dataset, KNOWN[self.config.dataset]
        self.origins: dict[str, Origin] = {}
        read = {"LIBRISPEECH": self._librispeech, "SPEECHCOMMANDS": self._speech_commands, "YESNO": self._yes_no}
        utterances = [
            replace(one, target=NORMALISERS[NORMALISER](str(one.target), known.language)) for one in read[name]()
        ]
        self.classes: Classes | None = None
        fact: Fact = Transcript(known.language)
        if issubclass(target, Classes) and name == "SPEECHCOMMANDS":
            fact = self.classes = Classes.of(str(one.target) for one in utterances if one.split == "train")
            utterances = [replace(one, target=self.classes.number(str(one.target), one.id)) for one in utterances]
        self.splits = by_split(for_task(utterances, target))
        content = "/".join(origin.sha256 for origin in self.origins.values())
        parts = {split: "+".join(getattr(self.config, split)) for split in ("train", "val", "test")}
        return DataSpec(
            Audio(known.sample_rate),
            fact,
            fingerprint(f"torchaudio-{name}", self.splits, content),
            tuple(self.origins.values()),
            {"splits": known.splits.format(**parts), "normaliser": f"{NORMALISER} ({known.language})"},
        )

    def examples(self, split: Split) -> Sequence[Example]:
        """The recordings of a split, as clips."""
        return examples(self.splits[split])

    def inspect(self) -> Iterable[DataProblem]:
        """Listen to all; look for odd ones, duplicates, leaks and skew."""
        return inspection.problems(self.splits, classes=self.classes)

    def _librispeech(self) -> Iterator[Utterance]:
        parts: Mapping[Split, Sequence[str]] = {
            "train": self.config.train,
            "val": self.config.val,
            "test": self.config.test,
        }
        for split, names in parts.items():
            for part in names:
                folder, found = self._open(part, url=part)
                for number in range(len(found)):
                    path, _, text, speaker, chapter, utterance = found.get_metadata(number)
                    name = f"{speaker}-{chapter}-{utterance:04d}"
                    yield Utterance(name, Clip(folder / "LibriSpeech" / path), text, split, str(speaker))

    def _speech_commands(self) -> Iterator[Utterance]:
        subsets: Mapping[Split, str] = {"train": "training", "val": "validation", "test": "testing"}
        for split, subset in subsets.items():
            folder, found = self._open("", subset=subset)
            for number in range(len(found)):
                path, _, word, speaker, _ = found.get_metadata(number)
                name = Path(path).relative_to("speech_commands_v0.02").as_posix()
                yield Utterance(name, Clip(folder / "SpeechCommands" / path), word, split, speaker)

    def _yes_no(self) -> Iterator[Utterance]:
        folder, _ = self._open("")
        words = {"0": "lo", "1": "ken"}
        for path in sorted((folder / "waves_yesno").glob("*.wav")):
            text = " ".join(words[answer] for answer in path.stem.split("_"))
            yield Utterance(path.stem, Clip(path), text, by_share(path.stem, val=0.1, test=0.2))

    def _open(self, part: str, **arguments: Any) -> tuple[Path, Any]:
        """Fetch a part of the data set once; its folder, and torchaudio's own idea of it."""
        name = self.config.dataset
        entry = f"torchaudio-{name}{f'-{part}' if part else ''}"
        local, download = Local(self.config.root), Download(f"torchaudio {name}", partial(_download, name, part))
        folder, self.origins[entry] = fetch(entry, {KNOWN[name].files.format(part=part): None}, [local, download])
        try:
            return folder, getattr(datasets, name)(str(folder), **arguments)
        except (RuntimeError, OSError, ValueError) as error:
            raise DataError(
                f"{folder}: torchaudio cannot read {name} from it: {error}. The files that torchaudio downloads were "
                "expected. Replace them, or leave data.root out."
            ) from None


def _download(name: str, part: str, folder: Path) -> None:
    getattr(datasets, name)(str(folder), download=True, **({"url": part} if part else {}))
