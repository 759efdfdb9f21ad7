"""`taskkit runs`, on runs of an older release, one that was killed and one that is damaged."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Taskkit = Callable[..., subprocess.CompletedProcess[str]]
OLD = Path(__file__).parents[1] / "runs" / "0.1"
NAMES = ("image", "recsys", "speech", "text")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    for name in NAMES:
        shutil.copytree(OLD / name, root / name)
    for name, text in (("killed", _killed(root)), ("damaged", "{")):
        (root / name).mkdir()
        (root / name / "run.json").write_text(text)
    return root


def _killed(root: Path) -> str:
    import socket

    found = json.loads((root / "text" / "run.json").read_text())
    gone = {"host": socket.gethostname(), "pid": 1, "began": 0.0}
    return json.dumps({**found, "status": "running", "process": gone, "metrics": {}})


def test_it_lists_every_run_with_what_it_gave_also_one_that_is_damaged(runs: Path, taskkit: Taskkit) -> None:
    found = {Path(row["run"]).name: row for row in json.loads(taskkit("runs", "--json").stdout)["runs"]}
    assert found.keys() == {*NAMES, "killed", "damaged"}
    assert found["killed"]["status"] == "killed"
    assert found["damaged"]["status"] == "damaged"
    assert "cannot be read" in found["damaged"]["reason"]
    assert found["text"]["title"] == "A tiny LSTM on reports of the weather"
    assert found["text"]["data"] == "text.table"
    assert found["text"]["score"] == json.loads((OLD / "text" / "run.json").read_text())["metrics"]["test/accuracy"]


def test_a_run_that_was_to_be_kept_no_longer_is_told(runs: Path, taskkit: Taskkit) -> None:
    for name, until in (("image", "2020-01-31"), ("text", "2999-12-31")):
        found = json.loads((runs / name / "run.json").read_text())
        found["resolved"]["privacy"] = {"retain_until": until, "note": "agreed with the hospital"}
        (runs / name / "run.json").write_text(json.dumps(found))
    listed = taskkit("runs")
    assert listed.stderr.startswith("1 of these were not to be kept any longer: image (until 2020-01-31). Remove")
    rows = {Path(row["run"]).name: row for row in json.loads(taskkit("runs", "--json").stdout)["runs"]}
    assert {name: (row["retain_until"], row["overdue"]) for name, row in rows.items() if row["retain_until"]} == {
        "image": ("2020-01-31", True),
        "text": ("2999-12-31", False),
    }


def test_it_takes_patterns_statuses_and_orders(runs: Path, taskkit: Taskkit) -> None:
    def names(*words: str) -> list[str]:
        return [Path(row["run"]).name for row in json.loads(taskkit("runs", *words, "--json").stdout)["runs"]]

    assert names("sasrec") == ["recsys"]
    assert names("*/im*") == ["image"]
    assert names("--status", "killed", "--status", "damaged", "--sort", "run") == ["damaged", "killed"]
    assert names("--sort", "run", "--reverse")[-1] == "damaged"
    assert set(names("--sort", "score")[-2:]) == {"killed", "damaged"}
    speech = json.loads((runs / "speech" / "run.json").read_text())
    (runs / "speech" / "run.json").write_text(json.dumps({**speech, "metrics": {"test/wer": float("nan")}}))
    assert "speech" in names("--sort", "score")[-3:]
    refused = taskkit("runs", "txet")
    assert refused.returncode == 2
    assert "No run below runs matches 'txet'. Did you mean 'text'?" in refused.stderr


def test_where_there_are_no_runs_it_says_so(taskkit: Taskkit, tmp_path: Path) -> None:
    refused = taskkit("runs")
    assert refused.returncode == 2
    assert "runs: there is no such directory" in refused.stderr
    (tmp_path / "runs").mkdir()
    assert taskkit("runs").stdout == "no runs in runs\n"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_on_a_terminal_no_line_is_wider_and_no_word_is_lost(
    runs: Path, environment: Callable[..., dict[str, str]], tmp_path: Path, columns: int
) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "taskkit", "runs"]
    env = environment(COLUMNS=str(columns), TERM="xterm")
    subprocess.run(command, cwd=tmp_path, env=env, stdout=end, check=True)
    os.close(end)
    lines = re.sub(r"\x1b\[[\d;]*m", "", os.read(terminal, 65536).decode()).splitlines()
    os.close(terminal)
    assert max(map(len, lines)) <= columns
    assert "A tiny ViT on drawn patterns" in " ".join(" ".join(lines).split())


def test_it_loads_no_torch(runs: Path, environment: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    source = "import sys\nfrom taskkit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", source, "runs"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0
    assert not set(ended.stderr.split()) & {"torch", "numpy", "pyarrow", "pytorch_lightning"}
