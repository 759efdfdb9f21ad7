"""Answers in a file: in order, in bounded memory, gone on with after a kill, with errors beside them."""

import csv
import json
import pickle
import signal
import subprocess
import sys
import wave
from dataclasses import replace
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import psutil
import pyarrow.parquet as pq
import pytest
import torch

import taskkit
from taskkit import DataError, LoadedRun, PluginError, RecipeError, TaskkitError, cores
from taskkit.contracts.component import PluginInfo
from taskkit.errors import MachineError, Problem
from taskkit.plugins.discovery import Again

OLD = Path(__file__).parents[1] / "runs" / "0.1"
WORDS = ("sun", "rain", "wind", "cloud", "warm", "cold", "snow")


@pytest.fixture(scope="module")
def text() -> LoadedRun:
    torch.set_num_threads(1)
    return taskkit.load_run(OLD / "text")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """1300 texts, three parts, of different lengths, each with a number of its own."""
    random, path = Random(1), tmp_path / "texts.csv"
    lines = [f"{n},{' '.join(random.choices(WORDS, k=random.randint(1, 9)))}" for n in range(1300)]
    path.write_text("\n".join(["number,text", *lines, ""]))
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [*csv.DictReader(file)]


def test_rows_stand_in_the_order_of_the_inputs_and_say_what_predict_says(
    text: LoadedRun, table: Path, tmp_path: Path
) -> None:
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        written = text.predict_into([str(table), "warm wind"], tmp_path / name, top=1)
        assert (written.rows, written.errors) == (1301, 0)
    answers = text.predict([str(table), "warm wind"], top=1)
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["number"] for row in found[:-1]] == [*map(str, range(1300))]
    assert [row["input"] for row in found] == [row["input"] for row in answers]
    assert [row["prediction"] for row in found] == [row["prediction"] for row in answers]
    assert [row["probability"] for row in found] == pytest.approx([row["probability"] for row in answers], abs=1e-6)
    assert [row["prediction"] for row in rows(tmp_path / "out.csv")] == [row["prediction"] for row in answers]
    kept = pq.read_table(tmp_path / "out.parquet")
    assert kept["probability"].to_pylist() == [row["probability"] for row in found]
    assert kept["number"].to_pylist() == [*map(str, range(1300)), None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.jsonl", "out.parquet", "texts.csv"]


def test_processes_that_encode_change_nothing(text: LoadedRun, table: Path, tmp_path: Path) -> None:
    text.predict_into(str(table), tmp_path / "one.jsonl")
    text.predict_into(str(table), tmp_path / "two.jsonl", workers=2)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


KILLED = """
import os, signal, sys
import taskkit

run, table, path, parts = sys.argv[1:]
left = int(parts)

def progress(done, total):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

taskkit.load_run(run).predict_into(table, path, progress=progress)
"""


def test_a_killed_call_goes_on_repeats_nothing_and_writes_the_same_bytes(
    text: LoadedRun, table: Path, tmp_path: Path, environment
) -> None:
    path, done = tmp_path / "out.parquet", Random().choice([1, 2])
    command = [sys.executable, "-c", KILLED, str(OLD / "text"), str(table), str(path), str(done)]
    assert subprocess.run(command, env=environment(), capture_output=True).returncode == -signal.SIGKILL
    assert not path.exists()
    (tmp_path / "out.parquet.parts" / "000002.new").write_text("half of a p")
    with pytest.raises(TaskkitError, match=r"would differ from these by: options\. Give the command"):
        text.predict_into(str(table), path, top=1)
    with pytest.raises(TaskkitError, match=r"would differ from these by: inputs"):
        text.predict_into([str(table), "sun"], path)
    seen: list[int] = []
    text.predict_into(str(table), path, progress=lambda now, total: seen.append(now))
    assert seen == [min(512 * part, 1300) for part in range(done + 1, 4)]
    text.predict_into(str(table), tmp_path / "whole.parquet")
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not (tmp_path / "out.parquet.parts").exists()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Ten thousand texts, twenty parts."""
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{' '.join(Random(n).choices(WORDS, k=5))}\n" for n in range(10_000)))
    return path


def test_devices_answer_each_in_a_process_and_change_nothing(taskkit, text: LoadedRun, table: Path) -> None:
    called = taskkit("predict", str(OLD / "text"), str(table), "-o", "two.jsonl", "--devices", "2", "--top", "1")
    assert called.returncode == 0, called.stderr
    assert called.stderr.count("since the run was made") == 1
    text.predict_into(str(table), table.with_name("one.jsonl"), top=1)
    assert table.with_name("two.jsonl").read_bytes() == table.with_name("one.jsonl").read_bytes()
    refused = taskkit("predict", str(OLD / "text"), table.name, "-o", "three.jsonl", "--devices", "1000")
    assert refused.returncode == 2
    assert f"this machine has {len(cores.usable())} cores of the CPU" in refused.stderr
    alone = taskkit("predict", str(OLD / "text"), "sun", "--devices", "2")
    assert alone.returncode == 2
    assert "Name it with -o" in alone.stderr


def test_where_a_process_that_answers_is_killed_it_is_said_and_gone_on_with(
    text: LoadedRun, many: Path, tmp_path: Path
) -> None:
    def answering() -> list[BaseProcess]:
        return [child for child in active_children() if child.name.startswith("taskkit-answers")]

    def kill(done: int, total: int) -> None:
        for child in answering():
            child.kill()

    with pytest.raises(MachineError, match=r"was killed by SIGKILL.*the same command goes on"):
        text.predict_into(str(many), tmp_path / "out.jsonl", devices=2, progress=kill)
    assert not answering()
    assert [*(tmp_path / "out.jsonl.parts").glob("*.jsonl")]
    text.predict_into(str(many), tmp_path / "out.jsonl")
    text.predict_into(str(many), tmp_path / "whole.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


ENDED = """
import multiprocessing, os, signal, sys
import taskkit

def progress(done, total):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    run, texts, path = sys.argv[1:]
    taskkit.load_run(run).predict_into(texts, path, devices=2, workers=1, progress=progress)
"""


def test_processes_that_answer_end_with_the_one_that_began_them(many: Path, tmp_path: Path, environment) -> None:
    command = [sys.executable, "-c", ENDED, str(OLD / "text"), str(many), str(tmp_path / "out.jsonl")]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as called:
        assert called.stdout is not None
        children = [psutil.Process(int(pid)) for pid in called.stdout.readline().split() if psutil.pid_exists(int(pid))]
        assert called.wait(60) == -signal.SIGKILL
        gone, there = psutil.wait_procs(children, 60)
        assert not there
        assert gone


def test_what_only_this_process_has_is_refused_in_others_and_errors_come_whole(text: LoadedRun) -> None:
    mine = replace(text.plugins, plugins=(PluginInfo("mine", "", "mine"), *text.plugins.plugins))
    with pytest.raises(PluginError, match="mine: this plugin is an object of this process"):
        Again.of(mine)
    error = RecipeError([Problem("a.yaml:1:1", "seed", "wrong")])
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_two_processes_do_not_write_one_file(text: LoadedRun, table: Path, tmp_path: Path, environment) -> None:
    # A lock is a process's: another one must hold it.
    hold = (
        "import sys; from pathlib import Path; from taskkit.answering.parts import Parts; "
        "held = Parts(Path(sys.argv[1]), {}, 1); print(1, flush=True); input()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "out.csv")]
    with subprocess.Popen(command, env=environment(), stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TaskkitError, match="another process writes there"):
            text.predict_into(str(table), tmp_path / "out.csv")
        other.kill()


def test_what_cannot_be_read_or_encoded_is_an_error_in_its_own_row(taskkit, tmp_path: Path) -> None:
    good = OLD / "data" / "images" / "down"
    (tmp_path / "bad.png").write_text("no image")
    called = taskkit("predict", str(OLD / "image"), "bad.png", str(good), "gone.png", "-o", "out.csv", "--entropy")
    assert called.returncode == 1
    assert "2 of them are errors" in called.stderr
    assert "gone.png: there is no such file" in called.stderr
    found = rows(tmp_path / "out.csv")
    assert [row["input"] for row in found[:2]] == ["bad.png", "00.png"]
    assert found[-1]["input"] == "gone.png"
    assert "this is not an image" in found[0]["error"]
    assert not found[0]["prediction"]
    assert all(row["prediction"] and row["entropy"] and not row["error"] for row in found[1:-1])


def test_a_row_of_a_table_that_cannot_be_read_is_an_error_of_its_own(text: LoadedRun, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text,number\nsun,1\n,2\nrain,3\n")
    written = text.predict_into(str(tmp_path / "texts.csv"), tmp_path / "out.csv")
    assert (written.rows, written.errors) == (3, 1)
    found = rows(tmp_path / "out.csv")
    assert [row["number"] for row in found] == ["1", "2", "3"]
    assert "row 2: column 'text' is empty" in found[1]["error"]
    assert found[0]["prediction"]
    assert found[2]["prediction"]
    with pytest.raises(DataError, match="row 2: column 'text' is empty"):
        text.predict(str(tmp_path / "texts.csv"))


@pytest.mark.parametrize("output", [(), ("-o", "out.csv")])
def test_files_without_a_line_are_no_inputs(taskkit, tmp_path: Path, output: tuple[str, ...]) -> None:
    (tmp_path / "none.jsonl").touch()
    done = taskkit("predict", str(OLD / "recsys"), "none.jsonl", *output)
    assert done.returncode == 2, done
    assert "none.jsonl: there is nothing in it to answer. Name an input that is not empty." in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["none.jsonl"]


def test_where_nothing_can_be_read_nothing_is_written(text: LoadedRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        text.predict_into(str(tmp_path / "gone.csv"), tmp_path / "out.csv")
    assert not [*tmp_path.iterdir()]


def test_an_answer_that_fails_is_an_error_of_its_input_alone(
    text: LoadedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, whole = text.built.task, text.built.task.predict

    def picky(batch, outputs, examples, options):
        if any("snow" in example.input for example in examples):
            raise DataError("snow: nobody can tell.")
        return whole(batch, outputs, examples, options)

    monkeypatch.setattr(task, "predict", picky)
    written = text.predict_into(["sun", "snow", "rain"], tmp_path / "out.jsonl")
    assert (written.errors, written.first) == (1, ("snow: nobody can tell.",))
    assert ["error" in json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        False,
        True,
        False,
    ]


MEMORY = """
import resource, sys
import taskkit

run, sound, count, path = sys.argv[1:]
taskkit.load_run(run).predict_into([sound] * int(count), path)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_rows(tmp_path: Path, environment) -> None:
    """A recording takes 48 kB in memory: were they held, a thousand more would take 50 MB."""
    sound = str(tmp_path / "sound.wav")
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(Random(1).randbytes(2 * 24_000))
    peaks = []
    for count in ("512", "1536"):
        path = str(tmp_path / f"{count}.jsonl")
        command = [sys.executable, "-c", MEMORY, str(OLD / "speech"), sound, count, path]
        called = subprocess.run(command, env=environment(), capture_output=True, text=True)
        assert called.returncode == 0, called.stderr
        peaks.append(int(called.stdout))
    assert peaks[1] - peaks[0] < 30, peaks
