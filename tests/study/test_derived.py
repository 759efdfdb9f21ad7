"""Folds give one estimate with its interval, and averages of predictions are scored as a run is."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import scipy

from taskkit.compare.comparison import compare
from taskkit.compare.declared import written
from taskkit.contracts.statistics import Mean, Of
from taskkit.contracts.weighted import macro_f1, root_mean
from taskkit.errors import TaskkitError
from taskkit.runs.manifest import DataRecord, Manifest, Protocol
from taskkit.runs.record import Record
from taskkit.runs.rows import read_rows
from taskkit.study.derived import CORRECTED, ensemble, pooled
from tests.study.conftest import Bench

CLASSES = {
    "accuracy": written(Mean("correct", ideal=1.0), "max"),
    "loss": written(Mean("cross_entropy", ideal=0.0), "min"),
    "f1": written(Of(macro_f1, ("target", "prediction"), ideal=1.0), "max"),
}
NUMBERS = {"rmse": written(Of(root_mean, ("squared_error",), ideal=0.0), "min")}


def member(path: Path, rows: list[dict[str, Any]], declared: Any, headline: Any, **data: Any) -> Path:
    """A tested run of these rows."""
    path.mkdir(parents=True)
    protocol = Protocol("a.task", "a.data", "sha256:0", headline, statistics=declared, data_protocol=data)
    metrics = {f"test/{headline[0]}": data.pop("value", 0.5)}
    sizes = {"train": 60, "val": 20, "test": len(rows)}
    said = Manifest(
        path.name,
        "finished",
        {"seed": int(path.name[-1]), "loader": {}},
        seed=int(path.name[-1]),
        metrics=metrics,
        protocol=protocol,
        data=DataRecord("a.data", "sha256:0", sizes),
    )
    record = Record(path, said)
    record.update()
    record.rows("predictions", rows)
    return path


def answer(number: int, target: str, probabilities: dict[str, float]) -> dict[str, Any]:
    best = max(probabilities, key=lambda each: probabilities[each])
    return {
        "id": f"e{number}",
        "target": target,
        "prediction": best,
        "probability": probabilities[best],
        "top": probabilities,
        "correct": float(best == target),
        "cross_entropy": -math.log(probabilities[target]),
    }


def test_the_average_of_probabilities_is_scored_as_a_run_is(tmp_path: Path) -> None:
    # Each is wrong alone in one example, surely right in the others.
    first = [
        answer(0, "a", {"a": 0.9, "b": 0.1}),
        answer(1, "b", {"a": 0.55, "b": 0.45}),
        answer(2, "a", {"a": 0.8, "b": 0.2}),
    ]
    second = [
        answer(0, "a", {"a": 0.45, "b": 0.55}),
        answer(1, "b", {"a": 0.1, "b": 0.9}),
        answer(2, "a", {"a": 0.7, "b": 0.3}),
    ]
    for name, rows in (("m/seed=1", first), ("m/seed=2", second)):
        member(tmp_path / name, rows, CLASSES, ("accuracy", "max"))
    made = ensemble(tmp_path, "m/ensemble", ["m/seed=1", "m/seed=2"], ())
    assert (made.value, made.metric, made.method) == (1.0, "accuracy", "exact binomial")
    rows = read_rows(tmp_path / "m/ensemble/predictions.parquet").to_pylist()
    assert [row["prediction"] for row in rows] == ["a", "b", "a"]
    assert json.loads(rows[0]["top"]) == {"a": pytest.approx(0.675), "b": pytest.approx(0.325)}
    assert rows[1]["cross_entropy"] == pytest.approx(-math.log((0.45 + 0.9) / 2))
    found = compare([str(tmp_path)], ())
    assert {line.name: line.value for line in found.lines}["ensemble"] == 1.0


def test_what_a_member_does_not_name_is_no_more_than_its_last(tmp_path: Path) -> None:
    for seed, top in ((1, {"a": 0.5, "b": 0.1}), (2, {"c": 0.6, "a": 0.35})):
        row = {**answer(0, "a", top), "top5_correct": 1.0}
        other = {**answer(1, "a", top), "top5_correct": 1.0}
        member(tmp_path / f"seed={seed}", [row, other], CLASSES, ("accuracy", "max"))
    ensemble(tmp_path, "both", ["seed=1", "seed=2"], ())
    row = read_rows(tmp_path / "both/predictions.parquet").to_pylist()[0]
    top = json.loads(row["top"])
    assert top == {"a": pytest.approx(0.425), "c": pytest.approx((0.6 + 0.1) / 2)}
    assert row["top5_correct"] == 1.0


def test_the_average_of_numbers_has_smaller_errors(tmp_path: Path) -> None:
    for seed, sign in ((1, 1.0), (2, -1.0)):
        rows = [
            {"id": f"e{i}", "target": float(i), "prediction": i + sign, "squared_error": 1.0, "absolute_error": 1.0}
            for i in range(4)
        ]
        member(tmp_path / f"seed={seed}", rows, NUMBERS, ("rmse", "min"))
    assert ensemble(tmp_path, "both", ["seed=1", "seed=2"], ()).value == 0.0


def test_what_has_no_average_is_refused(tmp_path: Path) -> None:
    for seed in (1, 2):
        member(tmp_path / f"seed={seed}", [{"id": "e", "prediction": "words", "errors": 1.0}], {}, ("wer", "min"))
    with pytest.raises(TaskkitError, match="has no average"):
        ensemble(tmp_path, "both", ["seed=1", "seed=2"], ())


def test_folds_share_what_they_learn_from_and_their_interval_knows_it(tmp_path: Path) -> None:
    shares = [0.70, 0.75, 0.80, 0.85, 0.90]
    for fold, share in enumerate(shares):
        rows = [
            {"id": f"e{fold}-{i}", "target": "a", "prediction": "a", "correct": float(i < share * 20)}
            for i in range(20)
        ]
        path = tmp_path / f"m/fold={fold}"
        member(path, rows, CLASSES, ("accuracy", "max"), value=share, folds=5, fold=fold, of="sha256:0")
    made = pooled(tmp_path, "m", [f"m/fold={fold}" for fold in range(5)], ())
    half = scipy.stats.t.ppf(0.975, 4) * statistics.stdev(shares) * math.sqrt(1 / 5 + 20 / 60)
    assert made.method == CORRECTED
    assert made.value == pytest.approx(0.8)
    assert (made.low, made.high) == (pytest.approx(0.8 - half), pytest.approx(min(1.0, 0.8 + half)))
    rows = read_rows(tmp_path / "m/predictions.parquet").to_pylist()
    assert len({row["id"] for row in rows}) == 100
    assert {row["fold"] for row in rows} == set(range(5))


def test_a_cross_validation_gives_one_estimate_of_all_examples(bench: Bench) -> None:
    bench.write("recipes: [one.yaml]\nfolds: 3\nreport: false\nlaunch: {processes: 2}\n")
    ended = bench.study()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (made,) = bench.record.derived
    assert (made.name, made.kind, len(made.members)) == ("one/seed=3", "folds", 3)
    folds = [bench.manifest(f"one/seed=3/fold={fold}") for fold in range(3)]
    assert sum(fold["data"]["sizes"]["test"] for fold in folds) == 60
    assert len(read_rows(bench.path / "one/seed=3/predictions.parquet")) == 60
    assert made.low is not None
    assert made.high is not None
    assert made.low < made.value < made.high
    assert "one/seed=3" in ended.stdout or "mae" in ended.stdout
    (asked,) = bench.record.tests
    assert (asked.times, asked.methods) == (3, 1)
    refused = bench.taskkit("eval", "runs/study/one/seed=3")
    assert refused.returncode == 2
    assert "it was made of other runs (folds) and has no checkpoint. Name one of its members" in refused.stderr
    assert "Traceback" not in refused.stderr
