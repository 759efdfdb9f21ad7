"""MovieLens-1M, 10M, 20M, 25M, 32M and latest-small (Harper and Konstan, 2015)."""

from __future__ import annotations

from pathlib import Path

from taskkit import DataModule, Fact, Local, Prepared, fetch
from taskkit_recsys import grouplens, sections
from taskkit_recsys.prepared import prepare
from taskkit_recsys.source import Source

DAT = {"ratings.dat": None, "movies.dat": None}
CSV = {"ratings.csv": None, "movies.csv": None}


class Movielens(DataModule[sections.Movielens]):
    """Ratings of films, from a folder or from GroupLens."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the two files; read, filter, order and split the events."""
        release, root = self.config.release, self.config.root
        in_dat = (Path(root).expanduser() / "ratings.dat").is_file() if root else release in ("ml-1m", "ml-10m")
        folder, origin = fetch(
            f"movielens {release}",
            DAT if in_dat else CSV,
            [Local(root), grouplens.archive(release)],
            licence=grouplens.LICENCE,
            citation=grouplens.CITATION,
        )
        table, columns, films = (grouplens.read_dat if in_dat else grouplens.read_csv)(folder)
        source = Source(f"recsys.{release}", table, columns, (origin,), titles=films)
        return prepare(source, self.config, target)
