"""A study runs its cells, goes on after any end, and repeats nothing."""

from __future__ import annotations

import json
import os
import signal

from tests.study.conftest import Bench

STUDY = """\
title: Two widths and what breaks
recipes:
  narrow: one.yaml
  wide: {recipe: two.yaml, changes: {model.width: 32}}
  broken: {recipe: one.yaml, changes: {data.broken: true}}
vary: {seed: [1]}
launch: {processes: 2}
"""
GOOD = ["narrow/seed=1", "wide/seed=1"]
BAD = "broken/seed=1"
LONG = """\
recipes: {long: {recipe: one.yaml, changes: {trainer.max_epochs: 150, meter.every_n_steps: 1}}}
"""


def test_a_study_runs_all_it_can_names_what_failed_and_repeats_nothing(bench: Bench) -> None:
    bench.write(STUDY)
    ended = bench.study()
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Two widths and what breaks: 3 runs of 3 recipe(s), 2 at a time, in runs/study" in ended.stdout
    assert {cell.name: cell.status for cell in bench.record.cells} == {**dict.fromkeys(GOOD, "finished"), BAD: "failed"}
    assert f"{BAD} failed: {bench.manifest(BAD)['reason']}" in ended.stderr
    assert bench.record.status == "failed"
    # What came of it: a table, and a report.
    assert "narrow" in ended.stdout
    assert "cannot be told apart" in ended.stdout or "Really different" in ended.stdout
    assert "narrow" in (bench.path / "report.html").read_text()

    before = {name: (bench.path / name / "run.json").read_bytes() for name in [*GOOD, BAD]}
    bench.write(f"{STUDY}report: false\n")
    again = bench.study()
    assert again.returncode == 1
    assert "3 of them done" in again.stdout
    assert {name: (bench.path / name / "run.json").read_bytes() for name in before} == before

    retried = bench.study("--retry")
    assert retried.returncode == 1
    assert all((bench.path / name / "run.json").read_bytes() == before[name] for name in GOOD)
    assert "Going on with" in (bench.path / f"{BAD}.txt").read_text()


def test_a_study_counts_how_often_a_test_split_was_asked(bench: Bench) -> None:
    (asked,) = bench.record.tests
    assert (asked.times, asked.methods, asked.metric) == (2, 2, "mae")
    assert set(asked.runs) == set(GOOD)


def test_the_directory_of_a_study_is_all_of_its_runs_to_compare(bench: Bench) -> None:
    ended = bench.taskkit("compare", "runs/study", "--json")
    assert ended.returncode == 0, ended.stderr
    lines = json.loads(ended.stdout)["lines"]
    assert {line["name"]: line["seeds"] for line in lines} == {"narrow/seed=1": [1], "wide/seed=1": [1]}


def test_who_compares_some_of_a_study_hears_how_many_were_looked_at(bench: Bench) -> None:
    said = "The runs of study asked this test split 2 times, of 2 methods; 1 of them is compared here."
    alone = json.loads(bench.taskkit("compare", "runs/study/narrow", "--json").stdout)
    assert any(said in note for note in alone["notes"])
    both = json.loads(bench.taskkit("compare", "runs/study", "--json").stdout)
    assert not any("asked this test split" in note for note in both["notes"])
    many = bench.path / "study.json"
    kept = many.read_text()
    many.write_text(kept.replace('"methods": 2', '"methods": 5'))
    assert "of 5 methods; 2 of them are compared here" in bench.taskkit("compare", "runs/study", "--json").stdout
    many.write_text(kept)


def test_a_file_may_grow_but_what_was_run_stays_part_of_it(bench: Bench) -> None:
    bench.write(STUDY.replace("[1]", "[1, 2, 3]"))
    checked = bench.study("--check").stdout
    assert "9 runs of 3 recipe(s)" in checked
    # Of the recipes that were run it is known what they take, whatever the seed.
    assert " on the disk for 6 of them; of the others nothing is known" in checked
    bench.write(STUDY.replace("[1]", "[2]"))
    shrunk = bench.study()
    assert shrunk.returncode == 2
    assert "it holds 3 run(s) that the study file no longer has: narrow/seed=1, wide/seed=1, broken" in shrunk.stderr
    bench.write(STUDY.replace("width: 32", "width: 34"))
    changed = bench.study()
    assert changed.returncode == 2
    assert "wide/seed=1: this run is of another recipe than the study now says" in changed.stderr


def test_a_directory_that_holds_something_else_is_no_place_for_a_study(bench: Bench) -> None:
    bench.write(STUDY)
    (bench.folder / "full").mkdir()
    (bench.folder / "full" / "mine").write_text("")
    refused = bench.study("--out", "full")
    assert refused.returncode == 2
    assert "it is not empty, and holds no study (mine)" in refused.stderr


def test_a_killed_study_is_gone_on_with_and_its_orphan_is_waited_for(own_bench: Bench) -> None:
    own_bench.write(LONG)
    first = own_bench.begin()
    own_bench.wait(lambda: own_bench.line_of("long/seed=3"))
    second = own_bench.study()
    assert second.returncode == 2
    assert f"this study is still going on, as process {first.pid}" in second.stderr
    first.kill()
    first.wait()
    assert own_bench.record.status == "running"
    process = own_bench.manifest("long/seed=3")["process"]["pid"]

    third = own_bench.begin()
    assert third.stdout is not None
    assert any("is waited for" in line for line in iter(third.stdout.readline, ""))
    third.send_signal(signal.SIGTERM)
    said, _ = third.communicate()
    assert third.returncode == 128 + signal.SIGTERM
    assert "Go on with: taskkit study study.yaml" in said
    assert own_bench.manifest("long/seed=3")["process"]["pid"] == process
    assert own_bench.manifest("long/seed=3")["status"] == "preempted"
    assert own_bench.record.status == "stopped"

    # A run that is killed by itself fails alone, and is gone on with by the next start.
    fourth, lines = own_bench.begin(), (own_bench.path / "long" / "seed=3" / "metrics.jsonl")
    there = lines.stat().st_size
    own_bench.wait(lambda: own_bench.record.status == "running" and lines.stat().st_size > there)
    os.kill(own_bench.manifest("long/seed=3")["process"]["pid"], signal.SIGKILL)
    _, errors = fourth.communicate()
    assert fourth.returncode == 1
    assert "long/seed=3 failed: its process was killed by SIGKILL" in errors
    assert [cell.status for cell in own_bench.record.cells] == ["failed"]

    ended = own_bench.study()
    assert ended.returncode == 0, ended.stderr
    assert [cell.status for cell in own_bench.record.cells] == ["finished"]
    # Each step was taken, and none is there twice.
    steps = [json.loads(text)["step"] for text in lines.read_text().splitlines() if "train/loss" in text]
    assert steps == [*range(1, steps[-1] + 1)]
    assert own_bench.manifest("long/seed=3")["tested"]["epoch"] < 150
    assert (own_bench.path / "report.html").exists()
