"""Studies of a network that trains in a second, called as a person calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from taskkit.runs import study as records
from taskkit.runs.study import StudyRecord

RECIPE = """\
seed: 3
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 60}
loader: {batch_size: 8}
optim: {lr: 1.0e-2}
trainer: {max_epochs: 2, accelerator: cpu}
meter: {every_n_steps: 5, flops: false}
"""
SECONDS = 900


@dataclass
class Bench:
    """A directory with recipes, in which studies are begun, killed and gone on with."""

    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, text: str, name: str = "study.yaml") -> Path:
        """Write a study file, or a recipe."""
        (self.folder / name).write_text(text)
        return self.folder / name

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start `taskkit study study.yaml …` without waiting for it."""
        command = [sys.executable, "-m", "taskkit", "study", "study.yaml", *words]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        self.processes.append(process)
        return process

    def study(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`taskkit study study.yaml …`, waited for."""
        return self.taskkit("study", "study.yaml", *words)

    def taskkit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`taskkit …`, waited for."""
        command = [sys.executable, "-m", "taskkit", *words]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=SECONDS
        )

    @property
    def path(self) -> Path:
        """The study's directory."""
        return self.folder / "runs" / "study"

    @property
    def record(self) -> StudyRecord:
        """What study.json says."""
        return records.read(self.path)

    def manifest(self, name: str) -> dict[str, Any]:
        """What run.json of a cell says."""
        found: dict[str, Any] = json.loads((self.path / name / "run.json").read_text())
        return found

    def end_all(self, study: subprocess.Popen[str], *, alone: bool) -> None:
        """Kill a study by SIGKILL: alone, or with all that it started, as a power cut does."""
        children = [] if alone else psutil.Process(study.pid).children(recursive=True)
        study.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        study.communicate()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until something holds that processes bring about."""
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, "it never came about"
            time.sleep(0.02)

    def line_of(self, name: str) -> bool:
        """Whether a cell has logged something of its training."""
        path = self.path / name / "metrics.jsonl"
        return path.exists() and path.stat().st_size > 0


@pytest.fixture(scope="module")
def bench(series_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One for the tests of a file; processes that were left are killed."""
    folder = tmp_path_factory.mktemp("bench")
    yield from benches(series_site, folder)


@pytest.fixture
def own_bench(series_site: Path, tmp_path: Path) -> Iterator[Bench]:
    """One for a test alone."""
    yield from benches(series_site, tmp_path)


def benches(site: Path, folder: Path) -> Iterator[Bench]:
    """Make one, and kill what is left of it."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("TASKKIT_")}
    cache = {"TASKKIT_CACHE": str(folder / "cache"), "TASKKIT_PLUGINS": "series", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    made = Bench(folder, {**ours, **cache, "PYTHONPATH": path})
    for name in ("one", "two"):
        made.write(RECIPE, f"{name}.yaml")
    yield made
    for process in made.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
