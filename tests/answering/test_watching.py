"""Files that appear in a folder are answered, each once, when they are whole."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import taskkit
from taskkit import TaskkitError
from taskkit.answering import watching

OLD = Path(__file__).parents[1] / "runs" / "0.1"
IMAGES = sorted((OLD / "data" / "images").rglob("*.png"))


@pytest.fixture(scope="module")
def run() -> taskkit.LoadedRun:
    torch.set_num_threads(1)
    return taskkit.load_run(OLD / "image")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is looked at often, and in which nothing is waited for long."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watching, "PATIENCE_SECONDS", 0.5)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    return tmp_path / "in"


def answered(path: Path) -> list[tuple[str, bool]]:
    """The name of each file that has a row, and whether that is an error."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(Path(row["input"]).name, "error" in row) for row in rows]


def watch(
    run: taskkit.LoadedRun, folder: Path, files: int, meanwhile: Callable[[int], None] = lambda look: None
) -> None:
    """Watch until so many files are answered; `meanwhile` is called before each look with its number."""
    said: list[str] = []
    looks = 0

    def stopped() -> bool:
        nonlocal looks
        looks += 1
        meanwhile(looks)
        return len(said) >= files

    run.watch(folder, folder.parent / "out.jsonl", stopped, said=lambda name, errors: said.append(name))


def test_each_file_is_answered_once_also_after_a_restart(run: taskkit.LoadedRun, folder: Path) -> None:
    shutil.copy(IMAGES[0], folder / "a.png")
    shutil.copy(IMAGES[1], folder / "deep" / "b.png")
    (folder / ".hidden.png").write_text("no")
    watch(run, folder, 2)
    shutil.copy(IMAGES[2], folder / "c.png")
    watch(run, folder, 1)
    assert answered(folder.parent / "out.jsonl") == [("a.png", False), ("b.png", False), ("c.png", False)]


def test_a_file_that_is_half_written_is_waited_for(run: taskkit.LoadedRun, folder: Path) -> None:
    whole = IMAGES[0].read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])

    def finish(look: int) -> None:
        if look == 5:
            (folder / "a.png").write_bytes(whole)

    watch(run, folder, 1, finish)
    assert answered(folder.parent / "out.jsonl") == [("a.png", False)]


def test_a_file_that_stays_unreadable_is_an_error_in_its_row(run: taskkit.LoadedRun, folder: Path) -> None:
    (folder / "a.png").write_text("no image")
    shutil.copy(IMAGES[0], folder / "b.png")
    watch(run, folder, 2)
    assert answered(folder.parent / "out.jsonl") == [("b.png", False), ("a.png", True)]


def test_rows_that_a_kill_left_without_their_mark_are_written_again(run: taskkit.LoadedRun, folder: Path) -> None:
    out, done = folder.parent / "out.jsonl", folder.parent / "out.jsonl.watch" / "files.jsonl"
    for number in range(2):
        shutil.copy(IMAGES[number], folder / f"{number}.png")
    watch(run, folder, 2)
    whole = out.read_bytes()
    first = done.read_text().splitlines(keepends=True)[0]
    done.write_text(first + '["1.p')
    out.write_bytes(whole[:-7])
    watch(run, folder, 1)
    assert out.read_bytes() == whole


def test_another_question_is_refused(run: taskkit.LoadedRun, folder: Path) -> None:
    out = folder.parent / "out.jsonl"
    shutil.copy(IMAGES[0], folder / "a.png")
    watch(run, folder, 1)
    with pytest.raises(TaskkitError, match=r"would differ from these by: options\."):
        run.watch(folder, out, lambda: True, top=1)
    out.write_text("")
    with pytest.raises(TaskkitError, match="it is shorter than when it was left"):
        run.watch(folder, out, lambda: True)
    with pytest.raises(TaskkitError, match=r"A name that ends in \.jsonl was expected"):
        run.watch(folder, folder.parent / "out.csv", lambda: True)


def test_the_command_stops_when_it_is_told_to(folder: Path, environment) -> None:
    shutil.copy(IMAGES[0], folder / "a.png")
    command = [sys.executable, "-m", "taskkit", "predict", str(OLD / "image"), "--watch", "in", "-o", "out.jsonl"]
    with subprocess.Popen(command, cwd=folder.parent, env=environment(), stderr=-1, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("a.png: answered") for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert "the same command goes on" in process.stderr.read()
    assert process.returncode == 0
    assert answered(folder.parent / "out.jsonl") == [("a.png", False)]
