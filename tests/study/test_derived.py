"""Folds give one estimate with its interval, and averages of predictions are scored as a run is."""

from __future__ import annotations

import json
import math
import random
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


def member(
    path: Path,
    rows: list[dict[str, Any]],
    declared: Any,
    headline: Any,
    task: str = "a.task",
    splits: str = "sha256:0",
    plugin: str = "sha256:a",
    **data: Any,
) -> Path:
    """A tested run of these rows."""
    path.mkdir(parents=True)
    metrics = {f"test/{headline[0]}": data.pop("value", 0.5)}
    protocol = Protocol(task, "a.data", splits, headline, statistics=declared, data_protocol=data)
    sizes = {"train": 60, "val": 20, "test": len(rows)}
    said = Manifest(
        path.name,
        "finished",
        {"seed": int(path.name[-1]), "loader": {}},
        seed=int(path.name[-1]),
        metrics=metrics,
        protocol=protocol,
        data=DataRecord("a.data", "sha256:0", sizes),
        plugins=({"distribution": "a", "version": "1", "sha256": plugin},),
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


def test_members_that_did_not_keep_all_probabilities_are_not_averaged(tmp_path: Path) -> None:
    whole = answer(0, "a", {"a": 0.5, "b": 0.4, "c": 0.1})
    cut = answer(0, "a", {"a": 0.5, "b": 0.4})
    beyond = {**answer(0, "a", {"a": 0.6, "b": 0.4}), "top2_correct": 1.0}
    for number, rows in enumerate(([whole], [cut], [beyond])):
        member(tmp_path / f"seed={number}", rows, CLASSES, ("accuracy", "max"))
    for other in ("seed=1", "seed=2"):
        with pytest.raises(TaskkitError, match=f"both: {other} kept .* Set task.top_k to the number of classes"):
            ensemble(tmp_path, "both", ["seed=0", other], ())
    assert not (tmp_path / "both").exists()


def test_runs_that_were_not_tested_alike_are_not_averaged(tmp_path: Path) -> None:
    rows = [answer(0, "a", {"a": 0.9, "b": 0.1})]
    member(tmp_path / "seed=0", rows, CLASSES, ("accuracy", "max"))
    member(tmp_path / "seed=1", rows, CLASSES, ("accuracy", "max"), task="b.task")
    member(tmp_path / "seed=2", rows, CLASSES, ("accuracy", "max"), splits="sha256:1")
    member(tmp_path / "seed=3", [answer(0, "b", {"a": 0.9, "b": 0.1})], CLASSES, ("accuracy", "max"))
    for number, said in (
        (1, "task: 'a.task' and 'b.task'"),
        (2, "splits: .*sha256:1"),
        (3, "target of 'e0' is 'a' in"),
    ):
        with pytest.raises(TaskkitError, match=said):
            ensemble(tmp_path, "both", ["seed=0", f"seed={number}"], ())


def test_an_average_of_many_classes_is_what_the_mean_of_all_probabilities_is(tmp_path: Path) -> None:
    draw, names = random.Random(0), [f"c{number}" for number in range(20)]
    rows: list[list[dict[str, Any]]] = [[], []]
    right = 0
    for number in range(50):
        both = [[draw.gammavariate(0.3, 1) + 1e-6 for _ in names] for _ in rows]
        both = [[each / sum(values) for each in values] for values in both]
        means = [statistics.fmean(pair) for pair in zip(*both, strict=True)]
        target = draw.choices(names, means)[0]
        right += names[means.index(max(means))] == target
        for member_rows, values in zip(rows, both, strict=True):
            member_rows.append(answer(number, target, dict(zip(names, values, strict=True))))
    for number, ours in enumerate(rows):
        member(tmp_path / f"seed={number}", ours, CLASSES, ("accuracy", "max"))
    assert ensemble(tmp_path, "both", ["seed=0", "seed=1"], ()).value == right / 50


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


def folds_of(path: Path, shares: list[float], grouped: bool = False, **second: Any) -> list[str]:
    """Tested folds with these shares of right answers; `second` is otherwise in the second one."""
    for fold, share in enumerate(shares):
        rows = [
            {"id": f"e{fold}-{i}", "target": "a", "prediction": "a", "correct": float(i < share * 20)}
            for i in range(20)
        ]
        rows = [{**row, "group": f"g{fold}-{i // 2}"} for i, row in enumerate(rows)] if grouped else rows
        said = {"folds": len(shares), "fold": fold, "of": "sha256:0", **(second if fold == 1 else {})}
        member(path / f"m/fold={fold}", rows, CLASSES, ("accuracy", "max"), value=share, **said)
    return [f"m/fold={fold}" for fold in range(len(shares))]


def test_what_compare_does_not_know_of_several_cross_validated_runs_is_said(tmp_path: Path) -> None:
    for name, shares in (("first", [0.7, 0.8, 0.9]), ("second", [0.6, 0.8, 0.7])):
        pooled(tmp_path / name, "m", folds_of(tmp_path / name, shares), ())
    paths = [str(tmp_path / name / "m") for name in ("first", "second")]
    assert not [note for note in compare(paths[:1], ()).notes if "Folds share" in note]
    (note,) = [note for note in compare(paths, ()).notes if "Folds share" in note]
    assert note.endswith("take the networks as they are, and are too sure.")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"of": "sha256:1"}, "m/fold=0 and m/fold=1 were not tested alike.*sha256:0 in 3 folds.*sha256:1 in 3 folds"),
        ({"plugin": "sha256:b"}, r"different code.* a is 1 \(sha256 a\) in m/fold=0 and 1 \(sha256 b\) in m/fold=1"),
    ],
)
def test_folds_of_other_data_or_code_give_no_estimate(tmp_path: Path, second: dict[str, str], said: str) -> None:
    folds = folds_of(tmp_path, [0.7, 0.8, 0.9], **second)
    with pytest.raises(TaskkitError, match=said):
        pooled(tmp_path, "m", folds, ())


@pytest.mark.parametrize("grouped", [False, True])
def test_an_interval_of_folds_ends_where_a_share_does(tmp_path: Path, grouped: bool) -> None:
    made = pooled(tmp_path, "m", folds_of(tmp_path, [0.0, 0.05, 0.5], grouped), ())
    assert (made.low, made.high) == (0.0, 1.0)


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
