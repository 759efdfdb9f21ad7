"""MovieLens-1M, 10M, 20M, 25M, 32M and latest-small (Harper and Konstan, 2015)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from taskkit import DataModule, DataProblem, DataSpec, Download, Example, Fact, Local, Split, fetch
from taskkit_recsys import grouplens, inspection, sections
from taskkit_recsys.prepared import Prepared, Source

DAT = {"ratings.dat": None, "movies.dat": None}
CSV = {"ratings.csv": None, "movies.csv": None}
FOLDERS = {"ml-10m": "ml-10M100K"}
"""The folder inside a set's archive, where it is not called like the set."""


class Movielens(DataModule):
    """Ratings of films, from a folder or from GroupLens."""

    config: sections.Movielens

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Fetch the two files; read, filter, order and split the events."""
        release, root = self.config.release, self.config.root
        in_dat = (Path(root).expanduser() / "ratings.dat").is_file() if root else release in ("ml-1m", "ml-10m")
        folder, origin = fetch(
            f"movielens {release}",
            DAT if in_dat else CSV,
            [
                Local(root),
                Download(
                    f"{grouplens.URL}/{release}.zip",
                    partial(grouplens.download, release),
                    root=FOLDERS.get(release, release),
                ),
            ],
            licence=grouplens.LICENCE,
            citation=grouplens.CITATION,
        )
        table, columns, films = (grouplens.read_dat if in_dat else grouplens.read_csv)(folder)
        source = Source(f"recsys.{release}", table, columns, (origin,), titles=films)
        self.prepared = Prepared(source, self.config, target)
        return self.prepared.spec

    def examples(self, split: Split) -> Sequence[Example]:
        """The histories or the ratings of a split."""
        return self.prepared.splits[split]

    def inspect(self) -> Iterable[DataProblem]:
        """Look for doubled events, odd times, leaks, what training never saw, and skew."""
        return inspection.problems(self.prepared)
