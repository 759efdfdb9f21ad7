"""`taskkit scrub`: nothing of an example is left in a run, and its numbers are still worth what they were."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from pyarrow import parquet

import taskkit
from taskkit.cli import main
from taskkit.compare.comparison import compare
from taskkit.errors import CheckpointError, TaskkitError
from taskkit.keyfile import KEY_FILE
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.runs import manifest
from taskkit.runs.encryption import is_encrypted
from taskkit.runs.manifest import Process
from taskkit.runs.record import Record
from taskkit.runs.scrub import scrub
from taskkit.verify import finding
from taskkit.verify.finding import Finding

RECIPE = """\
title: Raw
task: {name: text.classification}
model: {name: text.lstm, vocabulary: 200, embedding: 4, width: 4, max_length: 8}
data: {name: text.table, file: texts.csv, id_column: mail, author_column: author, test_share: 0.5}
loader: {batch_size: 8, cache: false}
trainer: {max_epochs: 1, accelerator: cpu, precision: 32-true}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two runs of eighty texts by twenty authors, too long for their model."""
    folder = tmp_path_factory.mktemp("raw")
    words = " ".join(f"word{n}" for n in range(12))
    labels = [("good", "bad")[n % 2] for n in range(80)]
    rows = [f"{label} {words} {n},{label},author-{n % 20},mail-{n}" for n, label in enumerate(labels)]
    (folder / "texts.csv").write_text("\n".join(["text,label,author,mail", *rows, ""]))
    (folder / "raw.yaml").write_text(RECIPE)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        for name, seed in (("one", 0), ("two", 1)):
            taskkit.run("raw.yaml", [f"seed={seed}", f"model.width={4 + seed}"], out=name, plugins=discover({"text"}))
        finding.keep(Path("one"), [Finding("order", "pass", "scores", 1e-7, "correct of mail-3")])
        yield folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the two runs."""
    for name in ("one", "two"):
        shutil.copytree(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plugins() -> Plugins:
    return discover({"text"})


def holding(run: Path, *texts: str) -> set[str]:
    """The files of a run that hold one of these texts."""
    files = [path for path in run.rglob("*") if path.is_file()]
    found = {path.name for path in files for text in texts if text.encode() in path.read_bytes()}
    rows = str(parquet.read_table(run / "predictions.parquet").to_pylist())
    return found | {"predictions.parquet" for text in texts if text in rows}


def called(*words: str) -> str:
    ended = CliRunner().invoke(main, ["scrub", *words])
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_a_run_names_no_example_any_more_and_says_what_was_removed(place: Path) -> None:
    raw = ("mail-", "author-")
    assert holding(place / "one", *raw) >= {"predictions.parquet", "run.json", "log.txt", "verify.json"}
    (place / "one" / "report.html").write_text("<p>good word0 word1</p>")
    (place / "one" / ".predictions.parquet.123").write_text("half")
    (place / "one" / "log.txt.old").write_text("mine")
    (place / "one" / "trackers" / "csv").mkdir(parents=True)
    (place / "one" / "trackers" / "csv" / "metrics.csv").write_text("step,train/loss\n1,0.5\n")
    would = called("one", "--dry-run")
    assert holding(place / "one", *raw) >= {"predictions.parquet", "run.json", "log.txt", "verify.json"}
    said = called("one")
    assert said.replace("removed", "to remove", 1) == would
    assert holding(place / "one", *raw, "word1 ") == set()
    for line in (
        "predictions.parquet (",
        "ids and groups are numbers now; target, prediction are codes now, since metrics need them",
        "log.txt (",
        "report.html (23 B): a report, which shows examples",
        ".predictions.parquet.123 (4 B): what a killed process left half-written",
        "verify.json (",
        "run.json (",
        "what the processor learnt: ",
        "--checkpoints removes them",
        "kept: classes.csv, confusion.csv, log.txt.old; look whether they name anybody",
    ):
        assert line in said
    assert (place / "one" / "trackers" / "csv" / "metrics.csv").exists()
    found = json.loads((place / "one" / "run.json").read_text())
    ((call),) = found["scrubbed"]
    assert {each["file"] for each in call["removed"]} >= {"predictions.parquet", "log.txt", "report.html", "run.json"}
    assert all(each["examples"] == [] for flags in found["data"]["flagged"].values() for each in flags.values())
    assert any(each["count"] for flags in found["data"]["flagged"].values() for each in flags.values())


def test_scrubbing_again_changes_nothing(place: Path) -> None:
    called("one")
    before = {path: path.stat().st_mtime_ns for path in (place / "one").rglob("*") if path.name != ".lock"}
    assert called("one").startswith("one: nothing to remove\n")
    assert {path: path.stat().st_mtime_ns for path in (place / "one").rglob("*") if path.name != ".lock"} == before


@pytest.mark.parametrize("scrubbed", [("one",), ("one", "two")])
def test_runs_compare_as_before_whether_one_or_both_are_scrubbed(
    place: Path, plugins: Plugins, scrubbed: tuple[str, ...]
) -> None:
    for metric in ("accuracy", "f1"):
        before = compare(["one", "two"], plugins.components, metric)
        assert len(before.differences) == 1
        for run in scrubbed:
            scrub(Path(run))
        after = compare(["one", "two"], plugins.components, metric)
        assert after.differences == before.differences
        assert after.lines == before.lines


def test_other_examples_are_told_apart_though_their_ids_are_gone(place: Path) -> None:
    table = parquet.read_table("two/predictions.parquet")
    parquet.write_table(table.take([1, 0, *range(2, len(table))]), "two/predictions.parquet")
    scrub(Path("one"))
    with pytest.raises(TaskkitError, match="of one the ids were scrubbed, and they were others, or in another"):
        compare(["one", "two"], ())


def test_of_few_examples_nothing_tells_who_they_were(place: Path) -> None:
    for run in ("one", "two"):
        parquet.write_table(parquet.read_table(f"{run}/predictions.parquet").slice(0, 5), f"{run}/predictions.parquet")
        scrub(Path(run))
        assert parquet.read_schema(f"{run}/predictions.parquet").metadata[b"taskkit_scrubbed"] == b""


def test_checkpoints_go_when_that_is_asked_for(place: Path, plugins: Plugins) -> None:
    said = called("one", "--checkpoints")
    assert "checkpoints/last.ckpt (" in said
    assert not list((place / "one" / "checkpoints").iterdir())
    assert taskkit.load_run("one", plugins=plugins).metrics
    assert compare(["one", "two"], plugins.components).differences
    with pytest.raises(CheckpointError, match="its checkpoints were removed by taskkit scrub"):
        taskkit.load_run("one", plugins=plugins).predict(["good"])


def test_a_run_that_goes_on_is_refused_and_what_is_no_run_is_told(place: Path) -> None:
    Record(place / "one", manifest.read(place / "one")).update(
        status="running", process=Process(Process.here().host, os.getppid(), _began(os.getppid()))
    )
    with pytest.raises(TaskkitError, match="this run is still going on"):
        scrub(place / "one")
    assert (place / "one" / "log.txt").exists()
    with pytest.raises(CheckpointError, match="there is no such directory"):
        scrub(place / "none")
    assert not (place / "none").exists()
    (place / "two" / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(CheckpointError, match=r"predictions\.parquet: it cannot be read"):
        scrub(place / "two")


def _began(pid: int) -> float:
    import psutil

    return psutil.Process(pid).create_time()


def test_why_a_run_failed_goes_too(place: Path) -> None:
    record = Record(place / "one", manifest.read(place / "one"))
    record.update(
        status="failed", reason="texts.csv: row 4: its id 'mail-3' is that of row 3 too.", remarks=("mail-3",)
    )
    scrub(place / "one")
    assert manifest.read(place / "one").remarks == ()
    assert manifest.read(place / "one").reason == "It was removed by taskkit scrub, since it may quote data."


def test_an_encrypted_run_stays_so(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.key").write_text("k" * 40)
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "own.key"))
    monkeypatch.chdir(made)
    overrides = ["privacy.encrypt=true"]
    run: Any = taskkit.run("raw.yaml", overrides, out=tmp_path / "run", plugins=discover({"text"}))
    before = run.predictions()
    scrub(run.path)
    assert is_encrypted(run.path / "predictions.parquet")
    assert run.predictions().column("correct").equals(before.column("correct"))
    assert run.predictions().column("id").to_pylist()[:2] == ["1", "2"]


def test_files_of_predictions_go_with_their_folder(place: Path) -> None:
    (place / "one" / "predictions").mkdir()
    (place / "one" / "predictions" / "mail-1.png").write_bytes(b"x" * 10)
    assert "predictions/ (10 B): files of predictions" in called("one")
    assert not (place / "one" / "predictions").exists()


def test_a_word_that_names_no_run_is_told_before_any_is_scrubbed(place: Path) -> None:
    said = CliRunner().invoke(main, ["scrub", "one", "nosuch"])
    assert (said.exit_code, "nosuch: there is no such directory" in said.output) == (2, True), said.output
    assert (place / "one" / "log.txt").exists()


def test_what_is_elsewhere_stays_there_and_what_cannot_be_read_is_told(place: Path) -> None:
    (place / "kept").mkdir()
    (place / "kept" / "picture.png").write_bytes(b"x")
    (place / "one" / "predictions").symlink_to(place / "kept")
    called("one")
    assert not (place / "one" / "predictions").is_symlink()
    assert (place / "kept" / "picture.png").exists()
    (place / "two" / "verify.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"verify\.json: cannot be read"):
        scrub(place / "two")
