"""MovieLens-100K: who liked which film from September 1997 to April 1998 (Harper and Konstan, 2015)."""

from __future__ import annotations

from pathlib import Path

from taskkit import DataModule, Fact, Installed, Local, Prepared, PyPI, TableFile, fetch
from taskkit_recsys import sections
from taskkit_recsys.events import Columns
from taskkit_recsys.grouplens import CITATION, LICENCE, separated
from taskkit_recsys.prepared import prepare
from taskkit_recsys.source import Source, TitleTable

SHA256 = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
FOLDER = "recbole/dataset_example/ml-100k"
WHEEL = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"


class Movielens100k(DataModule[sections.Movielens100k]):
    """100 000 ratings; each user has twenty or more."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the two files; read, filter, order and split the events."""
        folder, origin = fetch(
            "movielens-100k",
            SHA256,
            [
                Local(self.config.root),
                Installed("recbole", root=FOLDER),
                PyPI("recbole==1.2.1", sha256=WHEEL, root=FOLDER),
            ],
            licence=LICENCE,
            citation=CITATION,
        )
        columns = Columns("user_id", "item_id", "timestamp", "rating")
        films = TitleTable(_films(folder / "ml-100k.item"), "item_id", "title")
        events = _atomic(folder / "ml-100k.inter")
        source = Source("recsys.movielens_100k", events, columns, (origin,), titles=films, rating_scale=(1, 5))
        return prepare(source, self.config, target)


def _atomic(path: Path) -> TableFile:
    """One of RecBole's atomic files: tabs, and a header of `name:type`."""
    content = separated(path.read_bytes(), "\t")
    return TableFile(path, content.rename_columns([name.partition(":")[0] for name in content.column_names]))


def _films(path: Path) -> TableFile:
    """The films, each with the year of its release after its title, as GroupLens has them."""
    from pyarrow import compute

    films = _atomic(path).content
    title, year = films.column("movie_title"), films.column("release_year")
    full = compute.binary_join_element_wise(title, " (", year, ")", "")
    return TableFile(path, films.append_column("title", full))
