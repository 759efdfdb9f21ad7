"""The fact about rows, and the settings of the models and of the data, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taskkit import Fact, setting


@dataclass(frozen=True)
class Rows(Fact):
    """Each input maps names of columns to a number or, in `categories`, to text; None where the cell is empty."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]

    def tensors(self) -> Mapping[str, str]:
        """Standardised numbers, which of them were missing, and the numbers of the categories."""
        return {
            "numbers": f"float (batch, {len(self.numbers)})",
            "missing": f"float (batch, {len(self.numbers)})",
            "categories": f"int (batch, {len(self.categories)})",
        }


@dataclass
class Table:
    """Settings of tables of one's own."""

    path: Path = setting(doc="the table; what is neither target, category nor split is a column of numbers")
    targets: list[str] = setting(doc="columns to predict; every row has a number in each")
    categories: list[str] = setting([], "columns of categories, not of numbers")
    split: str | None = setting(None, "column that names the split of each row; null: by shares")
    val: float = setting(0.1, "share of the rows for validation", ge=0, lt=1)
    test: float = setting(0.2, "share of the rows for the test", ge=0, lt=1)


@dataclass
class Diabetes:
    """Settings of scikit-learn's diabetes data."""

    root: str | None = setting(None, "a folder that holds its two files; null: that of the installed scikit-learn")


@dataclass
class Mlp:
    """Settings of the network."""

    width: int = setting(64, "units of each hidden layer", ge=1)
    depth: int = setting(2, "hidden layers", ge=1)
    embedding: int = setting(4, "numbers that stand for a category", ge=1)
    dropout: float = setting(0.1, "share of units left out in training", ge=0, lt=1)


@dataclass
class Trees:
    """Settings of the trees."""

    trees: int = setting(200, "trees for each target", ge=1)
    leaves: int = setting(7, "leaves of a tree", ge=2)
    lr: float = setting(0.05, "what each tree adds, as a share of what it found", gt=0)
    smallest: int = setting(10, "examples in a leaf, at least", ge=1)
