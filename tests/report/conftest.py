"""Run directories as `taskkit run` leaves them, of answers that are drawn by chance."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskkit.compare.declared import written
from taskkit.compare.intervals import intervals
from taskkit.compare.rows import Rows
from taskkit.contracts.statistics import Mean
from taskkit.runs.manifest import Cost, DataRecord, Manifest, Protocol, WeightsTested
from taskkit.runs.record import Record

NAMES = ("cat", "dog", "<script>alert(1)</script>")
LOSS = Mean("cross_entropy", ideal=0.0)
PROTOCOL = Protocol(
    task="points.classification",
    data="points.moons",
    splits="abc",
    headline=("accuracy", "max"),
    metrics={"accuracy": "MulticlassAccuracy"},
    statistics={
        "accuracy": written(Mean("correct", ideal=1.0), "max"),
        "loss": written(LOSS, "min"),
    },
)
MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """Write a run of a classification by its name, how often it is right, and what else is to be otherwise."""
    return _make_run


def _make_run(path: Path, share: float = 0.8, examples: int = 90, draw: int = 0, **changes: Any) -> Path:
    chance = random.Random(draw)
    rows = [_row(number, share, chance) for number in range(examples)]
    kept = Rows.of(rows)
    metrics = {"accuracy": _mean(rows, "correct"), "loss": _mean(rows, "cross_entropy")}
    found = intervals(kept, {"accuracy": Mean("correct", ideal=1.0), "loss": LOSS}, metrics)
    manifest = Manifest(
        id=path.name,
        status="finished",
        command=f"taskkit run {path.name}.yaml",
        resolved={"title": path.name, "seed": 0, "model": {"name": "points.net"}, "optim": {"lr": share}},
        metrics={f"test/{name}": value for name, value in metrics.items()},
        baseline={"test/accuracy": 1 / 3},
        intervals={f"test/{name}": each for name, each in found.items()},
        tested=WeightsTested("best", 100, 4, 0.75),
        protocol=PROTOCOL,
        data=DataRecord("points.moons", "abc", {"train": 300, "val": 40, "test": examples}),
        environment={"python": "3.11.7", "platform": "Linux", "cpu": "2 x Xeon", "packages": {"torch": "2.6.0"}},
        precision="32-true",
        cost=Cost(parameters=1234, train_seconds=3.5, examples_per_second=99.5),
    )
    record = Record.create(path, manifest, "title: a run  # default\noptim:\n  lr: 0.5  # r.yaml:1:1\n")
    record.update(**changes)
    for step in range(0, 100, 10):
        record.metrics({"step": step, "epoch": step // 20, "train/loss": 2 / (step + 1), "lr": 0.1})
        record.metrics({"step": step, "epoch": step // 20, "val/loss": 2 / (step + 2), "val/accuracy": step / 100})
    record.rows("predictions", rows)
    confusion = {
        name: [sum(r["target"] == t and r["prediction"] == name for r in rows) for t in NAMES] for name in NAMES
    }
    record.table("confusion", {"true \\ predicted": list(NAMES), **confusion})
    record.table("classes", {"class": list(NAMES), "f1": [0.5, 0.25, 0.125]})
    return path


def _row(number: int, share: float, chance: random.Random) -> dict[str, Any]:
    target = NAMES[number % len(NAMES)]
    right = chance.random() < share
    answer = target if right else NAMES[(number + 1) % len(NAMES)]
    sure = chance.uniform(0.4, 1)
    entropy = 1 - sure if right else 2 + sure
    said = {"target": target, "prediction": answer, "probability": sure, "top": json.dumps({answer: sure})}
    return {"id": f"{number:04d}", **said, "correct": float(right), "cross_entropy": entropy}


def _mean(rows: list[dict[str, Any]], column: str) -> float:
    return float(sum(row[column] for row in rows) / len(rows))
