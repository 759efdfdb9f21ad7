"""Ten utterances of two readers: enough to try whether everything works, and for nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from taskkit import DataError, DataModule, DataProblem, DataSpec, Debian, Example, Fact, Local, Split, fetch
from taskkit_speech import inspection, sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.normalise import NORMALISERS
from taskkit_speech.utterances import Utterance, by_split, examples, fingerprint, for_task

NORMALISER = "letters-v1"
DEB = "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0"
TRANSCRIPTS = {"librivox": "librivox/transcription", "cards": "cards/cards.transcription"}
"""By the reader: one of an audiobook, one of playing cards."""
SPLITS: tuple[Split, ...] = ("train", "train", "train", "val", "test")


class LibrivoxSample(DataModule):
    """Of each reader three utterances to train on, one to validate and one to test."""

    config: sections.LibrivoxSample

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Fetch the recordings and their transcripts."""
        folder, origin = fetch(
            "librivox-sample",
            {**dict.fromkeys(TRANSCRIPTS.values()), "librivox/*.wav": None, "cards/*.wav": None},
            [
                Local(self.config.root),
                Debian(
                    "pocketsphinx-testdata",
                    "0.8+5prealpha+1-15",
                    sha256=DEB,
                    root="usr/share/pocketsphinx/test/data",
                ),
            ],
            licence="BSD-2",
            citation="test data of CMU PocketSphinx, in part from LibriVox",
        )
        utterances = []
        for reader, file in TRANSCRIPTS.items():
            lines = (folder / file).read_text().splitlines()
            for line, split in zip(lines, SPLITS, strict=False):
                if not (said := re.fullmatch(r"<s>(.*)</s> \((.+)\)", line.strip())):
                    raise DataError(
                        f"{folder / file}: {line!r} was expected to be <s> TEXT </s> (FILE). Fetch it again."
                    )
                text = NORMALISERS[NORMALISER](said[1], "en")
                clip = Clip(folder / reader / f"{said[2]}.wav")
                utterances.append(Utterance(f"{reader}/{said[2]}", clip, text, split, reader))
        self.splits = by_split(for_task(utterances, target))
        protocol = {"splits": "fixed: 6 train, 2 val, 2 test", "normaliser": f"{NORMALISER} (en)"}
        name = fingerprint("librivox-sample", self.splits, origin.sha256)
        return DataSpec(Audio(16000), Transcript("en"), name, (origin,), protocol)

    def examples(self, split: Split) -> Sequence[Example]:
        """The utterances of a split, as clips."""
        return examples(self.splits[split])

    def inspect(self) -> Iterable[DataProblem]:
        """Listen to all; look for odd ones, duplicates and leaks."""
        return inspection.problems(self.splits)
