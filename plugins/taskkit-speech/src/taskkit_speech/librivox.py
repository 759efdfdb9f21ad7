"""Ten utterances of two readers: enough to try whether everything works, and for nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from taskkit import DataError, DataModule, DataSpec, Debian, Fact, Local, Prepared, Split, fetch
from taskkit_speech import inspection, sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.normalise import NORMALISERS
from taskkit_speech.utterances import Utterance, by_split, fingerprint, for_task, prepared

NORMALISER = "letters-v1"
DEB = "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0"
TRANSCRIPTS = {"librivox": "librivox/transcription", "cards": "cards/cards.transcription"}
"""By the reader: one of an audiobook, one of playing cards."""
SPLITS: tuple[Split, ...] = ("train", "train", "train", "val", "test")


class LibrivoxSample(DataModule[sections.LibrivoxSample]):
    """Of each reader three utterances to train on, one to validate and one to test."""

    def prepare(self, target: type[Fact]) -> Prepared:
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
        splits = by_split(for_task(_utterances(folder), target))
        protocol = {"splits": "fixed: 6 train, 2 val, 2 test", "normaliser": f"{NORMALISER} (en)"}
        name = fingerprint("librivox-sample", splits, origin.sha256)
        spec = DataSpec(Audio(16000), Transcript("en"), name, (origin,), protocol)
        return prepared(spec, splits, partial(inspection.problems, splits))


def _utterances(folder: Path) -> Iterator[Utterance]:
    for reader, file in TRANSCRIPTS.items():
        for line, split in zip((folder / file).read_text().splitlines(), SPLITS, strict=False):
            if not (match := re.fullmatch(r"<s>(.*)</s> \((.+)\)", line.strip())):
                raise DataError(f"{folder / file}: {line!r} was expected to be <s> TEXT </s> (FILE). Fetch it again.")
            clip = Clip(folder / reader / f"{match[2]}.wav")
            yield Utterance(f"{reader}/{match[2]}", clip, NORMALISERS[NORMALISER](match[1], "en"), split, reader)
