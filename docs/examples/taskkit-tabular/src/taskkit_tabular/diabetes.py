"""The diabetes data of scikit-learn: ten measurements of 442 people, and how their disease went on in a year."""

import gzip
from collections.abc import Iterator
from pathlib import Path

from taskkit import DataModule, Example, Fact, Installed, Local, Prepared, Split, by_share, fetch

from taskkit_tabular import sections
from taskkit_tabular.prepared import prepared
from taskkit_tabular.sections import Rows

INPUTS, TARGETS = "diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"
FILES = {
    INPUTS: "7fc0ded571454b1982210d3bb43f0aca44eae01a0b8654a3b24022bdb6b38009",
    TARGETS: "8e53f65eb811df43c206f3534bb3af0e5fed213bc37ed6ba36310157d6023803",
}
COLUMNS = ("age", "sex", "bmi", "blood pressure", "tc", "ldl", "hdl", "tch", "ltg", "glucose")
FACTS = Rows(tuple(name for name in COLUMNS if name != "sex"), ("sex",))
VAL, TEST = 0.1, 0.25


class Diabetes(DataModule[sections.Diabetes]):
    """A quarter of the people to test and a tenth to validate, by a hash of their number."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Find the files that scikit-learn installs; raises SourceError."""
        folder, origin = fetch(
            "diabetes",
            FILES,
            [Local(self.config.root), Installed("scikit-learn", root="sklearn/datasets/data")],
            licence="BSD-3-Clause",
            citation="Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression, 2004",
        )
        splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
        for example in _people(folder):
            splits[by_share(example.id, VAL, TEST)].append(example)
        protocol = {"splits": f"test {TEST} and val {VAL} of all, by a hash of the number"}
        fingerprint = f"diabetes-{origin.sha256}-val{VAL}-test{TEST}"
        return prepared(splits, FACTS, ["progression"], fingerprint, protocol, (origin,))


def _people(folder: Path) -> Iterator[Example]:
    inputs, targets = (gzip.decompress((folder / name).read_bytes()).decode().splitlines() for name in FILES)
    for number, (line, target) in enumerate(zip(inputs, targets, strict=True), 1):
        cells = dict(zip(COLUMNS, line.split(), strict=True))
        # The file has numbers for the sexes and does not say which is which.
        row = {name: cell if name in FACTS.categories else float(cell) for name, cell in cells.items()}
        yield Example(f"person {number}", row, (float(target),))
