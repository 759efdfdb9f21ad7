"""`taskkit diff` and `taskkit export-env`, on runs of an older release."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

Taskkit = Callable[..., subprocess.CompletedProcess[str]]
OLD = Path(__file__).parents[1] / "runs" / "0.1"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and the same with another rate, torch, fingerprint and accuracy, on another day."""
    one, other = tmp_path / "one", tmp_path / "other"
    for run in (one, other):
        shutil.copytree(OLD / "text", run)
    found: dict[str, Any] = json.loads((other / "run.json").read_text())
    found["resolved"]["optim"]["lr"] = 0.5
    found["environment"]["packages"]["torch"] = "9.9"
    found["data"]["fingerprint"] = "another"
    found["metrics"]["test/accuracy"] -= 0.25
    found |= {"id": "other", "started": "2030-01-01T00:00:00+00:00"}
    (other / "run.json").write_text(json.dumps(found))
    return one, other


def test_only_what_differs_is_shown_and_all_of_it(pair: tuple[Path, Path], taskkit: Taskkit) -> None:
    found = json.loads(taskkit("diff", *map(str, pair), "--json").stdout)["differences"]
    assert [(each["section"], each["key"]) for each in found] == [
        ("recipe", "optim.lr"),
        ("environment", "packages.torch"),
        ("data", "fingerprint"),
        ("metrics", "test/accuracy"),
    ]
    assert found[1]["other"] == "9.9"
    said = taskkit("diff", *map(str, pair), "--only", "metrics").stdout
    assert said.startswith("metrics test/accuracy")
    assert "-0.25" in said
    assert taskkit("diff", str(pair[0]), str(pair[0])).stdout == "nothing differs\n"


def test_a_directory_that_is_no_run_is_one_line(pair: tuple[Path, Path], taskkit: Taskkit, tmp_path: Path) -> None:
    refused = taskkit("diff", str(pair[0]), str(tmp_path))
    assert refused.returncode == 2
    assert "no run.json here" in refused.stderr


def test_pins_are_requirements_that_name_no_machine(pair: tuple[Path, Path], taskkit: Taskkit, tmp_path: Path) -> None:
    packages = json.loads((pair[0] / "run.json").read_text())["environment"]["packages"]
    comment, *lines = taskkit("export-env", str(pair[0])).stdout.splitlines()
    assert comment.startswith("# Python 3.")
    assert {Requirement(line).name for line in lines} >= {"torch", "numpy"}
    assert len(lines) == len(packages)
    assert not any("/" in line or "@" in line for line in lines)
    assert taskkit("export-env", str(pair[0]), "--out", str(tmp_path / "pins.txt")).stdout == ""
    assert (tmp_path / "pins.txt").read_text().splitlines() == [comment, *lines]


def test_a_run_that_recorded_no_packages_says_so(pair: tuple[Path, Path], taskkit: Taskkit) -> None:
    path = pair[0] / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "environment": {}}))
    refused = taskkit("export-env", str(pair[0]))
    assert refused.returncode == 2
    assert "no packages are recorded" in refused.stderr
