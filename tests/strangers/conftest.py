"""Plugins as strangers would write them: really installed, trained, killed, resumed, shared by processes, asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import taskkit
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins

PACKAGES = Path(__file__).parents[1] / "packages"
SECONDS = 120


@dataclass(frozen=True)
class Stranger:
    """An installed package whose recipe has its own name, and a directory to work in."""

    name: str
    plugins: Plugins
    environment: dict[str, str]
    folder: Path

    def run(self, *changes: str, out: str = "run") -> taskkit.LoadedRun:
        """A run of the package's recipe in this process."""
        return taskkit.run(self.name, changes, out=self.folder / out, plugins=self.plugins)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`taskkit …` in a process of its own."""
        return self.module("taskkit", *words)

    def module(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`python -m …` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def killed(self, *changes: str, out: str = "killed", every: int = 3) -> Path:
        """A run in a process of its own that dies by SIGKILL inside a step, after a checkpoint inside an epoch."""
        path = self.folder / out
        words = ["run", self.name, f"--out={path}", f"checkpoint.every_n_steps={every}", *changes]
        ended = self.module("taskkit.verify.killed", str(2 * every + 1), *words)
        assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr
        assert (path / "checkpoints" / "last.ckpt").exists()
        return path

    def resumed(self, path: Path) -> taskkit.LoadedRun:
        """The run that was killed, gone on with in this process."""
        return taskkit.resume(path, plugins=self.plugins)

    def in_two_processes(self, *changes: str, out: str = "two") -> Path:
        """A run of two processes on one machine, which must end well."""
        processes = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]
        ended = self.command("run", self.name, f"--out={self.folder / out}", *processes, *changes)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return self.folder / out

    def predict(self, run: Path, *words: str) -> list[dict[str, Any]]:
        """What `taskkit predict RUN … --json` prints, a prediction a line."""
        ended = self.command("predict", str(run), *words, "--json")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture(scope="module")
def stranger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """The package that a test file names in `PACKAGE`, such as `detection` for tests/packages/taskkit-detection."""
    name: str = request.module.PACKAGE
    folder = tmp_path_factory.mktemp(name)
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    source = PACKAGES / f"taskkit-{name}"
    subprocess.run([*pip, "--no-build-isolation", "--target", str(site), str(source)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("TASKKIT_PLUGINS", f"taskkit-{name}")
        patch.chdir(folder)
        torch.set_num_threads(1)

        environment = {**os.environ, "PYTHONPATH": str(site)}
        yield Stranger(name, discover([f"taskkit-{name}"]), environment, folder)
