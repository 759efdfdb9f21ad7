"""Runs side by side: real run directories, as `taskkit run` leaves them, of answers that are drawn by chance."""

import csv
import io
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskkit.compare import declared, layout, words
from taskkit.compare.comparison import Comparison, Line, compare
from taskkit.compare.cost import Costs
from taskkit.compare.intervals import intervals
from taskkit.compare.rows import Rows
from taskkit.contracts.component import Component
from taskkit.contracts.statistics import Mean, Of, Statistic
from taskkit.contracts.weighted import macro_f1
from taskkit.errors import CheckpointError, TaskkitError
from taskkit.runs import manifest
from taskkit.runs.manifest import Cost, Energy, Inference, Manifest, Protocol
from taskkit.runs.record import Record

OLD = Path(__file__).parents[1] / "runs" / "0.1"
PROTOCOL = Protocol(
    task="digits",
    data="mnist",
    splits="abc",
    headline=("accuracy", "max"),
    metrics={"accuracy": "MulticlassAccuracy"},
    statistics={"accuracy": declared.written(Mean("correct", ideal=1.0), "max")},
    task_protocol={"normaliser": "none"},
)


def write_run(
    path: Path,
    share: float,
    *,
    seed: int = 0,
    recipe: str = "",
    draw: int = 0,
    examples: int = 200,
    protocol: Protocol = PROTOCOL,
    **changes: Any,
) -> Path:
    """A run whose answers to the first examples are right, but for some that chance chooses."""
    random = np.random.default_rng(draw)
    right = (np.arange(examples) < share * examples) ^ (random.random(examples) < 0.02)
    rows = [{"id": str(i), "target": "a", "prediction": "a", "correct": float(each)} for i, each in enumerate(right)]
    metrics = {"accuracy": float(right.mean())}
    found = intervals(Rows.of(rows), {"accuracy": Mean("correct")}, metrics)
    record = Record.create(
        path,
        Manifest(
            id=path.name,
            status="finished",
            resolved={"seed": seed, "model": recipe or path.name},
            seed=seed,
            metrics={"test/accuracy": metrics["accuracy"]},
            intervals={"test/accuracy": found["accuracy"]},
            baseline={"test/accuracy": 0.1},
            protocol=protocol,
        ),
        recipe="",
    )
    record.rows("predictions", rows)
    record.update(**changes)
    return path


def compared(*paths: Path | str, **options: Any) -> Comparison:
    return compare(map(str, paths), (), **options)


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("mlp/2026-11-26T20-14-08_seed=7_lr=0.1", "mlp/2026-11-26T20-14-28_seed=7"), ["seed=7_lr=0.1", "seed=7"]),
        (("mlp/2026-11-26T20-14-08_seed=7", "vit/2026-11-26T20-14-28_seed=7"), ["mlp/seed=7", "vit/seed=7"]),
        (
            ("mlp/2026-11-26T20-14-08_seed=7", "mlp/2026-11-26T20-14-28_seed=7"),
            ["2026-11-26T20-14-08_seed=7", "2026-11-26T20-14-28_seed=7"],
        ),
    ],
)
def test_a_name_says_when_a_run_began_where_only_that_tells_it_from_another(
    tmp_path: Path, folders: tuple[str, str], names: list[str]
) -> None:
    for draw, folder in enumerate(folders):
        write_run(tmp_path / folder, 0.9, recipe=folder, draw=draw)
    assert sorted(line.name for line in compared(tmp_path).lines) == sorted(names)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (("", "_lr=0.1"), ["lr=0.1", "seeds=7,8"]),
        (("_max_epochs=3", "_max_epochs=3_model=a_b"), ["max_epochs=3", "max_epochs=3_model=a_b"]),
    ],
)
def test_a_method_of_several_seeds_is_not_called_by_the_first_of_them(
    tmp_path: Path, changes: tuple[str, str], names: list[str]
) -> None:
    for draw, (change, seed) in enumerate((change, seed) for change in changes for seed in (7, 8)):
        folder = tmp_path / f"mlp/2026-11-26T20-14-{draw:02}_seed={seed}{change}"
        write_run(folder, 0.9, seed=seed, recipe=f"mlp{change}", draw=draw)
    assert sorted(line.name for line in compared(tmp_path).lines) == names


@pytest.mark.parametrize("width", [60, 80])
def test_names_that_are_cut_are_still_told_apart(tmp_path: Path, width: int) -> None:
    for draw, (widths, share) in enumerate((w, s) for w in ("", "_widths=") for s in ("0.1", "0.3")):
        write_run(tmp_path / f"seed=7_dropout=0.25{widths}_max_epochs=3_fraction={share}", 0.9, draw=draw)
    for said in (layout.text(compared(tmp_path), width), layout.costs(compared(tmp_path), width)):
        rows = said.splitlines()[3:7]
        assert len({row.split()[1] for row in rows}) == 4
        assert max(map(len, rows)) <= width


def test_a_worse_run_is_told_apart_and_an_equal_one_is_not(tmp_path: Path) -> None:
    write_run(tmp_path / "good", 0.9)
    write_run(tmp_path / "alike", 0.9, draw=1)
    write_run(tmp_path / "bad", 0.5, draw=2)
    found = compared(tmp_path)
    assert found.lines[-1].name == "bad"
    assert {(each.first, each.second): each.real for each in found.differences} == {
        (0, 1): False,
        (0, 2): True,
        (1, 2): True,
    }
    said = layout.text(found, 120)
    assert "Really different: 1–3, 2–3." in said
    assert "cannot be told apart here: 1–2" in said
    assert "3 pairs as one family, by Holm" in said


def test_one_truly_better_by_a_point_on_10_000_examples_is_called_real_and_a_twin_is_not(tmp_path: Path) -> None:
    """What chance turns over in 2 of 100 answers is of each network alone; its twin's true accuracy is the same."""
    for draw, (name, share) in enumerate((("better", 0.91), ("twin", 0.9), ("worse", 0.9))):
        write_run(tmp_path / name, share, examples=10_000, draw=draw)
    found = compared(tmp_path)
    places = {line.name: place for place, line in enumerate(found.lines)}
    real = {
        names: each.real
        for names in (("better", "twin"), ("better", "worse"), ("twin", "worse"))
        if (each := found.between(*(places[name] for name in names))) is not None
    }
    assert real == {("better", "twin"): True, ("better", "worse"): True, ("twin", "worse"): False}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_and_keeps_what_matters(tmp_path: Path, width: int) -> None:
    for draw, name in enumerate(("a-run-with-quite-a-long-name-of-its-own", "short", "third")):
        write_run(tmp_path / name, 0.8 - 0.2 * draw, draw=draw)
    found = compared(tmp_path)
    said = layout.text(found, width)
    assert max(map(len, said.splitlines())) <= width
    assert all(f"{line.value:.4f}" in said for line in found.lines)
    assert f"{found.lines[0].low:.4f}–{found.lines[0].high:.4f}" in said
    assert "differs" in said
    assert ("p (Holm)" in said) == (width == 120)


def test_seeds_of_one_recipe_are_one_method_with_both_spreads(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / f"vit/{seed}", 0.9, seed=seed, recipe="vit", draw=seed)
    write_run(tmp_path / "mlp/0", 0.6, draw=9)
    found = compared(tmp_path)
    best, worse = found.lines
    assert (best.name, best.seeds, worse.name) == ("vit", (0, 1, 2), "mlp/0")
    assert best.over_seeds is not None
    assert worse.over_seeds is None
    assert best.high is not None
    assert best.high <= 1
    assert found.differences[0].p_seeds is None
    said = layout.text(found, 80)
    assert "Fewer than 5 seeds: there is no p-value over seeds." in said
    assert "one seed" in said


def test_five_paired_seeds_have_a_p_value_which_is_not_below_a_sixteenth(tmp_path: Path) -> None:
    for seed in range(5):
        write_run(tmp_path / f"vit/{seed}", 0.9, seed=seed, recipe="vit", draw=seed)
        write_run(tmp_path / f"mlp/{seed}", 0.6, seed=seed, recipe="mlp", draw=seed + 5)
    (found,) = compared(tmp_path).differences
    assert found.p_seeds == pytest.approx(0.0625)


def test_how_long_runs_may_be_kept_and_what_tracks_them_makes_no_method_of_them(tmp_path: Path) -> None:
    for seed, until in enumerate((None, "2027-01-31")):
        resolved = {"seed": seed, "privacy": {"retain_until": until}, "trackers": {"csv": until is None}}
        write_run(tmp_path / str(seed), 0.9, seed=seed, resolved=resolved)
    assert [line.seeds for line in compared(tmp_path).lines] == [(0, 1)]


def test_a_seed_that_was_run_twice_is_not_a_second_seed(tmp_path: Path) -> None:
    write_run(tmp_path / "one", 0.9, recipe="vit")
    write_run(tmp_path / "two", 0.9, recipe="vit")
    assert [line.seeds for line in compared(tmp_path).lines] == [(0,), (0,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task_protocol": {"normaliser": "lower case"}}, "normaliser: 'none' and 'lower case'"),
        ({"splits": "other"}, "test data and splits"),
        ({"metrics": {"accuracy": "BinaryAccuracy"}}, "definition of accuracy"),
        ({"data_protocol": {"split": "by user"}}, "split: not stated and 'by user'"),
    ],
)
def test_runs_of_other_protocols_are_refused_with_what_differs(
    tmp_path: Path, change: Mapping[str, Any], said: str
) -> None:
    write_run(tmp_path / "one", 0.9)
    write_run(tmp_path / "two", 0.8, protocol=replace(PROTOCOL, **change))
    with pytest.raises(TaskkitError, match=said):
        compared(tmp_path)
    found = compared(tmp_path, across=True)
    assert {line.protocol for line in found.lines} == {"a", "b"}
    assert found.differences == ()
    table = layout.text(found, 80)
    assert "[a]" in table
    assert "[b]" in table
    assert "do not compare" in table


def test_a_test_that_was_cut_short_is_another_test(tmp_path: Path) -> None:
    write_run(tmp_path / "one", 0.9)
    write_run(tmp_path / "two", 0.9, examples=100)
    with pytest.raises(TaskkitError, match="tested examples: 200 and 100"):
        compared(tmp_path)


def test_skill_is_the_way_from_the_trivial_to_the_ideal(tmp_path: Path) -> None:
    write_run(tmp_path / "one", 0.9)
    (line,) = compared(tmp_path / "one").lines
    assert line.skill is not None
    assert line.low is not None
    assert line.skill[0] == pytest.approx((line.value - 0.1) / 0.9)
    assert line.skill[1] == pytest.approx((line.low - 0.1) / 0.9)
    worse = replace(line, value=0.2, trivial=0.5, ideal=0.0, low=0.1, high=0.3)
    assert worse.skill == pytest.approx((0.6, 0.4, 0.8)), "of an error rate the best bound is the lowest"


def test_an_old_run_is_shown_and_says_what_it_lacks() -> None:
    found = compared(OLD / "image")
    assert found.lines[0].value == pytest.approx(0.8333, abs=1e-4)
    assert found.lines[0].low is None
    assert "an older taskkit wrote it" in found.notes[0]
    assert "run its recipe.yaml again" in found.notes[0]


def test_what_is_no_tested_run_is_told(tmp_path: Path) -> None:
    write_run(tmp_path / "good", 0.9)
    write_run(tmp_path / "failed", 0.9, status="failed", metrics={})
    assert "failed is left out: it was never tested (failed)" in compared(tmp_path).notes[0]
    with pytest.raises(CheckpointError, match="never tested"):
        compared(tmp_path / "failed")
    with pytest.raises(CheckpointError, match="there is no run"):
        compared(tmp_path / "nowhere-*")
    with pytest.raises(TaskkitError, match=r"no test metric 'acuracy'.*Did you mean 'accuracy'"):
        compared(tmp_path, metric="acuracy")


def test_a_run_whose_predictions_are_gone_or_wrong_is_shown_without_a_test(tmp_path: Path) -> None:
    write_run(tmp_path / "good", 0.9)
    (write_run(tmp_path / "gone", 0.8) / "predictions.parquet").unlink()
    write_run(tmp_path / "wrong", 0.7, metrics={"test/accuracy": 0.99})
    found = compared(tmp_path)
    assert found.differences == ()
    assert any("predictions.parquet cannot be read" in note for note in found.notes)
    assert any("the rows give" in note for note in found.notes)


@pytest.mark.parametrize("statistic", [Mean("x", 1.0), Of(macro_f1, ("target", "prediction"))])
def test_a_statistic_is_read_back_from_run_json(statistic: Statistic) -> None:
    said = json.loads(json.dumps(declared.written(statistic, "max")))
    assert declared.read_back(said, ()) == statistic


def test_no_module_is_imported_because_a_run_says_so(tmp_path: Path) -> None:
    said = {"form": "of", "function": "statistics:mean", "columns": ["correct"], "ideal": 1.0}
    write_run(tmp_path / "one", 0.9, protocol=replace(PROTOCOL, statistics={"accuracy": said}))
    assert "with statistics:mean, is not installed" in compared(tmp_path).notes[0]
    component = Component("task", "t", "", "m:T", "m:S", statistics=("statistics:mean",))
    assert declared.read_back(said, component.statistics) is not None


def test_the_verb_prints_what_programs_and_papers_take(
    tmp_path: Path, taskkit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for draw, name in enumerate(("net_1", "net_2")):
        write_run(tmp_path / "runs" / name, 0.9 - 0.4 * draw, draw=draw)
    whole = json.loads(taskkit("compare", "runs/*", "--json").stdout)
    assert [line["name"] for line in whole["lines"]] == ["net_1", "net_2"]
    assert whole["differences"][0]["real"] is True
    found = compared(tmp_path / "runs")
    rows = list(csv.DictReader(io.StringIO(layout.as_csv(found))))
    assert [row["verdict"] for row in rows] == ["best", "differs"]
    assert float(rows[1]["to_best_low"]) < float(rows[1]["to_best"]) < float(rows[1]["to_best_high"]) < -0.3
    assert r"net\_1 & " in layout.as_latex(found)


def test_the_verb_refuses_in_words_and_loads_no_torch(
    tmp_path: Path, taskkit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    write_run(tmp_path / "one", 0.9)
    write_run(tmp_path / "two", 0.9, protocol=replace(PROTOCOL, splits="other"))
    done = taskkit("compare", "one", sites=(tmp_path,))
    assert done.returncode == 0, done.stderr
    assert "accuracy, 200 test examples; higher is better" in done.stdout
    refused = taskkit("compare", "one", "two")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "not measured alike" in refused.stderr
    assert "--across-protocols" in refused.stderr
    refused = taskkit("compare", "one", "--cost", "--latex")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--cost cannot be had as latex" in refused.stderr


def test_a_damaged_statistic_or_interval_is_one_clear_error(tmp_path: Path) -> None:
    file = write_run(tmp_path / "one", 0.9) / "run.json"
    said = json.loads(file.read_text())
    for key, value in (("intervals", [1]), ("protocol", {**said["protocol"], "statistics": {"accuracy": 7}})):
        file.write_text(json.dumps({**said, key: value}))
        with pytest.raises(CheckpointError, match=r"run\.json: damaged"):
            compared(tmp_path / "one")


def of_shares(folder: Path) -> None:
    """Two recipes, learnt from three shares of the data."""
    for model, best in (("mlp", 0.7), ("vit", 0.9)):
        for draw, share in enumerate((0.1, 0.3, 1.0)):
            recipe = {"seed": 0, "model": {"name": model}, "loader": {"fraction": share}}
            write_run(folder / model / f"{share}", best * (0.7 + 0.3 * share), draw=draw, resolved=recipe)


def test_runs_that_differ_in_one_key_make_a_curve(tmp_path: Path) -> None:
    of_shares(tmp_path)
    found = compared(tmp_path, by="loader.fraction")
    by_value = {(line.curve, line.at): line.value for line in found.lines}
    assert by_value.keys() == {(name, share) for name in ("mlp", "vit") for share in (0.1, 0.3, 1.0)}
    rows = [line.split() for line in layout.text(found, 120).splitlines()[2:5]]
    assert rows[0] == ["loader.fraction", "0.1", "0.3", "1"]
    assert rows[1][:2] == ["vit", f"{by_value['vit', 0.1]:.4f}"]
    assert json.loads(layout.as_json(found))["by"] == "loader.fraction"


@pytest.mark.parametrize("width", [40, 60])
def test_a_curve_fits_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    of_shares(tmp_path)
    found = compared(tmp_path, by="loader.fraction")
    curves = layout.text(found, width).split("\n\n")[1].splitlines()
    assert max(map(len, curves)) <= max(width, 50)
    assert [line.split()[:2] for line in curves[1:4]] == [["vit", "0.1"], ["vit", "0.3"], ["vit", "1"]]


def test_a_key_that_no_recipe_has_is_refused(tmp_path: Path) -> None:
    of_shares(tmp_path)
    with pytest.raises(TaskkitError, match=r"its recipe has no value 'loader.fractoin'.*'loader.fraction'"):
        compared(tmp_path, by="loader.fractoin")


def test_along_a_key_a_seed_that_was_run_twice_is_refused_and_seeds_are_no_key(tmp_path: Path) -> None:
    for name, seed, rate in (("one", 0, 0.1), ("again", 0, 0.1), ("seed", 1, 0.1), ("other", 0, 0.2)):
        resolved = {"seed": seed, "model": "net", "optim": {"lr": rate}}
        write_run(tmp_path / name, 0.8, seed=seed, resolved=resolved)
    with pytest.raises(TaskkitError, match=r"(one|again) and .*(one|again) are of one recipe and one seed.*lr 0\.1"):
        compared(tmp_path, by="optim.lr")
    found = compared(*(tmp_path / name for name in ("one", "seed", "other")), by="optim.lr")
    assert sorted((line.at, len(line.seeds)) for line in found.lines) == [(0.1, 2), (0.2, 1)]
    with pytest.raises(TaskkitError, match=r"--by seed: runs that differ in their seed alone are one method"):
        compared(tmp_path, by="seed")


def of_costs(folder: Path, machines: Mapping[str, str]) -> None:
    """Three networks: a good and dear one, a cheap one, and one that is beaten in both."""
    for draw, (name, share, seconds, parameters) in enumerate(
        (("vit", 0.9, 400.0, 1000), ("mlp", 0.8, 10.0, 100), ("slow", 0.6, 500.0, 100))
    ):
        cost = Cost(parameters=parameters, train_seconds=seconds, peak_memory_bytes=10**9)
        cost = replace(cost, inference=Inference(seconds / 100, 1000.0, 16, (50, 50), "cpu"))
        environment = {"device": "cpu", "cpu": machines.get(name, "Xeon"), "threads": 1}
        write_run(folder / name, share, draw=draw, cost=cost, environment=environment)


def test_what_is_beaten_in_quality_and_cost_is_on_no_front(tmp_path: Path) -> None:
    of_costs(tmp_path, {})
    found = compared(tmp_path)
    assert [line.name for line in found.lines] == ["vit", "mlp", "slow"]
    assert found.fronts == {"parameters": (0, 1), "training time": (0, 1), "latency": (0, 1)}
    said = layout.costs(found, 120)
    assert "None is both better and cheaper in training time than: 1, 2." in said
    assert all(each in said.splitlines()[3] for each in ("1,000", "400 s", "4 ms", "1,000 MB"))
    assert max(map(len, layout.costs(found, 60).splitlines())) <= 60
    rows = list(csv.DictReader(io.StringIO(layout.as_csv(found))))
    assert [row["train_seconds"] for row in rows] == ["400.0", "10.0", "500.0"]


def test_times_of_several_machines_have_no_front(tmp_path: Path) -> None:
    of_costs(tmp_path, {"mlp": "EPYC"})
    found = compared(tmp_path)
    assert found.fronts == {"parameters": (0, 1)}
    said = layout.costs(found, 120)
    assert "Times of 1, 3: Xeon, 1 threads." in said
    assert "Times of several machines are not comparable" in said


def with_energy(folder: Path, *energies: Energy | None) -> Comparison:
    for number, energy in enumerate(energies):
        environment = {"device": "cpu", "cpu": "Xeon", "threads": 1}
        cost = Cost(parameters=9, train_seconds=1.0, energy=energy)
        write_run(folder / f"run{number}", 0.9 - number / 10, draw=number, cost=cost, environment=environment)
    return compared(folder)


def test_energy_is_shown_where_all_have_it_from_one_meter(tmp_path: Path) -> None:
    package = ("package-0 (intel-rapl:0)",)
    rapl = [Energy(joules, "RAPL", package) for joules in (12_500.0, 90.0, 400.0)]
    found = with_energy(tmp_path / "all", *rapl)
    assert found.fronts["energy"] == (0, 1)
    said = layout.costs(found, 140)
    assert all(each in said for each in ("12.5 kJ", "90 J", "Energy of training by RAPL: package-0 (intel-rapl:0)"))
    rows = list(csv.DictReader(io.StringIO(layout.as_csv(found))))
    assert [row["energy_joules"] for row in rows] == ["12500.0", "90.0", "400.0"]

    for name, other in (
        ("none", None),
        ("null", Energy(None, note="root alone")),
        ("other", Energy(9.0, "NVML", ("H100",))),
    ):
        mixed = with_energy(tmp_path / name, *rapl, other)
        assert "energy" not in mixed.fronts
        said = layout.costs(mixed, 140)
        assert "12.5 kJ" not in said
        assert ("several meters counted it" in said) == (name == "other")


def test_what_seeds_alone_move_is_said(tmp_path: Path) -> None:
    for seed, share in enumerate((0.80, 0.85, 0.90)):
        write_run(tmp_path / f"vit/{seed}", share, seed=seed, recipe="vit", draw=seed)
    found = compared(tmp_path)
    # Three seeds know their own spread badly: Student's t of two degrees of freedom, 4.303 in any table of it.
    spread = np.std(
        [run.metrics["test/accuracy"] for run in map(manifest.read, map(Path, found.lines[0].runs))], ddof=1
    )
    assert found.noise == pytest.approx(4.303 * 2**0.5 * spread, rel=1e-3)
    assert f"up to {found.noise:.4f} apart in 19 of 20 cases" in " ".join(layout.text(found, 80).split())


def test_the_noise_of_seeds_is_exceeded_in_one_case_of_twenty() -> None:
    random, beyond = np.random.default_rng(0), 0
    line = Line("", (), (), "accuracy", "max", 0.0, None, None, "", None, None, None, None, None, None, "", Costs())
    for _ in range(2000):
        # Two methods, of two and of four seeds, and two more runs.
        few, many = random.normal(size=2), random.normal(size=4)
        lines = [replace(line, seeds=(*range(len(each)),), over_seeds=float(each.std(ddof=1))) for each in (few, many)]
        noise = Comparison(tuple(lines), (), (), across=False).noise
        beyond += noise is not None and abs(random.normal() - random.normal()) > noise
    assert beyond / 2000 == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 2000) ** 0.5)


def test_of_several_protocols_each_is_a_family(tmp_path: Path) -> None:
    for name, share in (("a", 0.5), ("b", 0.6), ("c", 0.7)):
        write_run(tmp_path / name, share, draw=ord(name))
        write_run(tmp_path / f"{name}2", share, draw=ord(name) + 9, protocol=replace(PROTOCOL, splits="other"))
    found = compared(tmp_path, across=True)
    assert len(found.differences) == 6
    assert "6 pairs, those of each protocol as one family, by Holm" in " ".join(words.sentences(found))
    assert max(each.p_adjusted / each.p for each in found.differences) <= 3
