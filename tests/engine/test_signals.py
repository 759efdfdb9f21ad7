"""What signals do to a run, in a process of its own: what it saves, how it ends, what a scheduler sees."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import Site
from tests.same_run import assert_same_run

RECIPE = """\
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: signalled.waves}
loader: {batch_size: 16}
trainer: {max_epochs: 3, accelerator: cpu}
meter: {flops: false}
"""

CODE = """\
import atexit
import os
import signal
import sys
from pathlib import Path

import psutil
import pytorch_lightning as pl
import torch
from taskkit_series.forecast import Waves

WHEN, *NUMBERS = os.environ["SIGNALS"].split()
RANK = os.environ.get("SIGNALLED_RANK", "0")


@atexit.register
def leave():
    # After all that is to be done at the end: this came first.
    if torch.distributed.is_initialized():
        print("threads of gloo outlive Python, and abort it when they need it", file=sys.stderr)


def send(when):
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if when == WHEN and os.environ.get("LOCAL_RANK", "0") == RANK and not again:
        for number in NUMBERS:
            os.kill(os.getpid(), int(number))


class Signalled(Waves):
    def prepare(self, target):
        send("preparing")
        return super().prepare(target)


class Sender(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, i):
        if trainer.global_step == 20:
            send("training")
            if WHEN == "workers":
                for child in psutil.Process().children():
                    os.kill(child.pid, int(NUMBERS[0]))

    def on_train_end(self, trainer, module):
        send("trained")

    def on_test_batch_start(self, trainer, module, batch, i, dataloader_idx=0):
        send("testing")
"""

PLUGIN = """\
from taskkit import Component, hookimpl

taskkit_api = ">=0.2,<0.3"


@hookimpl
def taskkit_callbacks(recipe):
    from signalled_code import Sender

    return [Sender()]


@hookimpl
def taskkit_components():
    yield Component(
        kind="data",
        name="signalled.waves",
        summary="waves with signals",
        implementation="signalled_code:Signalled",
        section="taskkit_series.sections:Waves",
        input="taskkit_series.sections:Series",
        targets=("taskkit_series.sections:Future",),
    )
"""


@pytest.fixture
def signalled(
    site: Site, series_site: Path, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a recipe in a process that gets these signals at this moment."""
    site.add("signalled", {"signalled": "signalled"}, {"signalled.py": PLUGIN, "signalled_code.py": CODE})
    (tmp_path / "waves.yaml").write_text(RECIPE)

    def run(when: str, *numbers: int, changes: tuple[str, ...] = (), rank: int = 0) -> subprocess.CompletedProcess[str]:
        variables = {
            "SIGNALS": " ".join([when, *map(str, numbers)]),
            "SIGNALLED_RANK": str(rank),
            "TASKKIT_CACHE": str(tmp_path / "cache"),
        }
        return subprocess.run(
            [sys.executable, "-m", "taskkit", "run", "waves.yaml", "--out=run", *changes],
            cwd=tmp_path,
            env=environment(site.path, series_site, **variables),
            capture_output=True,
            text=True,
            timeout=200,
        )

    return run


@pytest.mark.parametrize(
    ("when", "numbers", "step", "reason"),
    [
        ("preparing", [signal.SIGTERM], None, "SIGTERM outside of training"),
        ("training", [signal.SIGTERM, signal.SIGTERM], 21, "SIGTERM at step 21"),
        ("training", [signal.SIGINT, signal.SIGINT], 16, "SIGINT a second time"),
        ("trained", [signal.SIGTERM], 48, "SIGTERM at step 48"),
        ("testing", [signal.SIGINT], 48, "SIGINT outside of training"),
    ],
)
def test_a_signal_at_any_time_ends_a_run_with_its_number_and_a_status(
    signalled: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    when: str,
    numbers: list[signal.Signals],
    step: int | None,
    reason: str,
) -> None:
    import torch

    ended = signalled(when, *numbers)
    assert ended.returncode == 128 + numbers[0], ended.stderr
    assert "Go on with: taskkit run --resume run" in ended.stdout
    assert ended.stderr == ""
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (manifest["status"], manifest["reason"]) == ("preempted", reason)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert (torch.load(last, weights_only=True)["global_step"] if last.exists() else None) == step


@pytest.mark.parametrize(
    ("when", "number", "code", "status", "reason"),
    [
        ("testing", signal.SIGTERM, 143, "preempted", "SIGTERM in process 1"),
        pytest.param(
            "training",
            signal.SIGKILL,
            1,
            "failed",
            "Process 1 of this run was killed by SIGKILL",
            marks=pytest.mark.slow,
        ),
        pytest.param("preparing", signal.SIGTERM, 143, "preempted", "SIGTERM in process 1", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_ends_ends_the_others_with_a_reason(
    signalled: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    when: str,
    number: signal.Signals,
    code: int,
    status: str,
    reason: str,
) -> None:
    ended = signalled(when, number, changes=("trainer.devices=2", "trainer.max_epochs=2"), rank=1)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "gloo" not in ended.stderr
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["status"] == status
    assert manifest["reason"].startswith(reason)
    assert "taskkit run --resume" in ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_launcher_that_begins_again_after_a_process_was_lost_ends_with_the_same_run(
    site: Site, series_site: Path, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    site.add("signalled", {"signalled": "signalled"}, {"signalled.py": PLUGIN, "signalled_code.py": CODE})
    (tmp_path / "waves.yaml").write_text(RECIPE)

    def call(out: str, when: str) -> subprocess.CompletedProcess[str]:
        launcher = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            "--max-restarts=2",
            "--no-python",
        ]
        changes = ["trainer.devices=2", "trainer.max_epochs=4", "checkpoint.every_n_steps=5"]
        command = [sys.executable, "-m", "taskkit", "run", "waves.yaml", *changes, "--resume=auto", f"--out={out}"]
        variables = {"SIGNALS": f"{when} 9", "SIGNALLED_RANK": "1", "TASKKIT_CACHE": str(tmp_path / "cache")}
        return subprocess.run(
            [*launcher, *command],
            cwd=tmp_path,
            env=environment(site.path, series_site, **variables),
            capture_output=True,
            text=True,
            timeout=280,
        )

    whole, broken = call("whole", "never"), call("broken", "training")
    assert (whole.returncode, broken.returncode) == (0, 0), whole.stderr + broken.stderr
    assert "Going on with broken from step 20" in broken.stdout
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


WORKERS = ("loader.resident=no", "loader.workers=1")


def test_a_run_whose_terminal_is_closed_is_saved_and_ends_as_by_a_signal(
    series_site: Path, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "waves.yaml").write_text(RECIPE.replace("signalled.waves", "series.waves"))
    words = ["run", "waves.yaml", "--out=run", "trainer.max_epochs=100000", "meter.every_n_steps=1", *WORKERS]
    variables = environment(series_site, TASKKIT_CACHE=str(tmp_path / "cache"))
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "taskkit", *words], variables)
    said = b""
    while b"step" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["status"] == "preempted"
    assert manifest["reason"].startswith("SIGHUP at step")
    assert "and saved. Go on with" in (tmp_path / "run" / "log.txt").read_text()


def test_a_worker_outlives_a_signal_to_all_processes_of_a_job(
    signalled: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    ended = signalled("workers", signal.SIGTERM, changes=WORKERS)
    assert ended.returncode == 0, ended.stderr


def test_a_worker_that_is_killed_is_one_clear_error(
    signalled: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    ended = signalled("workers", signal.SIGKILL, changes=WORKERS)
    assert ended.returncode == 1
    assert ended.stderr.startswith("A process that reads samples ended before its time (")
    assert "Lower loader.workers" in ended.stderr
    assert ended.stderr.count("\n") == 1
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["status"] == "failed"
    assert manifest["reason"] == ended.stderr.strip()


def test_a_killed_worker_is_nobodys_fault_wherever_the_run_hears_of_it() -> None:
    from taskkit.engine.guard import blaming

    class Ours:
        """Stands for a component whose code runs while torch tells of the worker: this test's own."""

        component = SimpleNamespace(implementation=f"{__name__}:Ours")

    with pytest.raises(RuntimeError, match="DataLoader worker"), blaming([Ours()]):  # type: ignore[list-item]
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")


def test_a_process_that_inherited_the_handlers_dies_of_sigterm_and_leaves_sigint_to_its_parent() -> None:
    from taskkit.engine.signals import Signals

    signals = Signals()
    with signals.heard():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(1)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert signals.number is None
