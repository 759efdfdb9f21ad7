import pytest
import torch

from taskkit import DataSpec, Example
from taskkit_recsys.facts import Histories, NextItem
from taskkit_recsys.history import History


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small are quickest on one thread, above all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing that a test remembers outlives it."""
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))


class Cycle:
    """A world in which every item is followed by the one of the next number, and after the last comes the first."""

    items = 12
    users = 24

    def spec(self, most: int = 1) -> DataSpec:
        users, items = (
            tuple(f"{kind}{n}" for n in range(count)) for kind, count in (("u", self.users), ("i", self.items))
        )
        return DataSpec(Histories(users, items), NextItem(items, most=most), "cycle")

    def steps(self, user: int, first: int, count: int) -> list[int]:
        """What a user takes, from step `first` on."""
        return [(user + first + step) % self.items for step in range(count)]

    def train(self) -> list[Example]:
        """Seven items of each user."""
        return [Example(f"u{user}", History(user, self.steps(user, 0, 7))) for user in range(self.users)]

    def test(self) -> list[Example]:
        """The same, and the one that follows."""
        return [
            Example(example.id, example.input, (self.steps(user, 7, 1)[0],))
            for user, example in enumerate(self.train())
        ]


@pytest.fixture(scope="session")
def cycle() -> Cycle:
    return Cycle()


@pytest.fixture
def written(tmp_path):
    """Write a file of a test by its text and name it."""

    def write(text, name="log.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write
