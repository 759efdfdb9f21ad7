"""What all proofs are made of: a small run of each modality, and the packages of strangers."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taskkit.verify.finding import Outcome, Proof

TESTS = Path(__file__).parents[1]
OLD = TESTS / "runs" / "0.1"
DATA = OLD / "data"
PACKAGES = ("contrast", "detection", "gan", "language", "multitask", "retrieval", "segmentation", "stream", "tabular")
HERE = ("trainer.accelerator=cpu", "trainer.precision=32-true")


@dataclass(frozen=True)
class Subject:
    """A recipe with changes, and the proofs of it that do not pass.

    Skipping says what cannot be. The language model fails by its design, which the proofs must find: as in GPT-2 a row
    goes on from one text to the next, so an answer depends on what else is in the batch.
    """

    recipe: str
    changes: Sequence[str] = ()
    others: Mapping[Proof, Outcome] = field(default_factory=dict)


def subjects(folder: Path) -> dict[str, Subject]:
    """All of them by name; a table that one of them needs is written into `folder`."""
    table = _table(folder / "table.csv")
    ours = {
        "image": ("image", [f"data.root={DATA / 'images'}"]),
        "text": ("text", [f"data.file={_texts(folder / 'texts.csv')}", "model.round_to=1"]),
        "speech": ("speech", [f"data.table={DATA / 'recordings' / 'table.csv'}", "model.pad_to=0.02"]),
        "recsys": ("recsys", [f"data.events={DATA / 'log' / 'log.csv'}", f"data.items={DATA / 'log' / 'books.csv'}"]),
    }
    changes = {"tabular": [f"data.path={table}", "data.split=split", "data.categories=[town]", "loader.batch_size=8"]}
    one_by_one: dict[Proof, Outcome] = {"accumulate": "skipped", "devices": "skipped"}
    others: dict[str, dict[Proof, Outcome]] = {
        "contrast": one_by_one,
        "retrieval": one_by_one,
        "gan": one_by_one,
        "language": {
            "accumulate": "fail",
            "devices": "fail",
            "batch-size": "fail",
            "order": "fail",
            "processes": "fail",
        },
        "detection": {"export": "skipped", "onnx": "skipped"},
    }
    return {
        **{
            name: Subject(str(OLD / "recipes" / f"{recipe}.yaml"), [*more, *HERE])
            for name, (recipe, more) in ours.items()
        },
        "series": Subject(str(TESTS.parent / "docs" / "how-to" / "waves.yaml"), HERE),
        **{name: Subject(name, [*changes.get(name, []), *HERE], others.get(name, {})) for name in PACKAGES},
    }


def install(site: Path) -> Path:
    """Let pip install all packages into a directory."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    sources = [str(TESTS / "packages" / f"taskkit-{name}") for name in ("series", *PACKAGES)]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(site), *sources], check=True)
    return site


def _table(path: Path) -> Path:
    chance = random.Random(0)
    rows = [["split", "size", "rooms", "town", "target"]]
    for number in range(96):
        size, rooms, town = chance.uniform(20, 200), chance.randint(1, 6), chance.choice(["Bern", "Genf", "Chur"])
        split = ("train", "train", "val", "test")[number % 4]
        rows.append([split, f"{size:.1f}", str(rooms) if number % 9 else "", town, f"{3 * size + 10 * rooms:.1f}"])
    return _written(path, rows)


def _texts(path: Path) -> Path:
    """Reports of the weather, of lengths that differ."""
    chance = random.Random(0)
    words = {"sun": ["bright", "warm", "clear", "dry"], "rain": ["wet", "grey", "drops", "clouds"]}
    rows = [["split", "text", "label"]]
    for number in range(72):
        label = ("sun", "rain")[number % 2]
        text = " ".join(chance.choices([*words[label], "today", "and", "it", "was"], k=3 + number % 7))
        rows.append([("train", "train", "val", "test")[number // 2 % 4], text, label])
    return _written(path, rows)


def _written(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path
