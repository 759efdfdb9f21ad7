"""Processes that read samples: slow ones are told, those that hang or were killed end the work with a reason."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader, Dataset

from taskkit.batches.raised import Raised, frames_of
from taskkit.batches.workers import received
from taskkit.errors import MachineError


class Waiting(Dataset[int]):
    """Hands over its only sample once it is told to."""

    def __init__(self) -> None:
        self.told = multiprocessing.get_context("fork").Event()

    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> int:
        assert self.told.wait()
        return number


class Killed(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return number


def of(samples: Dataset[Any]) -> DataLoader[Any]:
    return DataLoader(samples, num_workers=1, timeout=0.1, collate_fn=list, multiprocessing_context="fork")


def test_a_slow_process_is_told_once_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    samples = Waiting()

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            samples.told.set()

    handler = Tell()
    logging.getLogger("taskkit").addHandler(handler)
    try:
        assert list(received(of(samples), hung=60)) == [[0]]
    finally:
        logging.getLogger("taskkit").removeHandler(handler)
    assert [record.message for record in caplog.records if "no batch for 0 s" in record.message]


def test_a_process_that_hangs_is_not_waited_for_for_ever() -> None:
    before = {process.pid for process in multiprocessing.active_children()}
    with pytest.raises(MachineError, match=r"1 processes that read samples gave no batch for 0 seconds.*workers=0"):
        list(received(of(Waiting()), hung=0.4))
    # Where one were left to end later, torch's handler of SIGCHLD would raise wherever this process is then.
    assert {process.pid for process in multiprocessing.active_children()} <= before


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(MachineError, match=r"A process that reads samples ended before its time.*loader\.workers"):
        list(received(of(Killed())))


def test_what_was_raised_elsewhere_keeps_its_way() -> None:
    try:
        int("x")
    except ValueError as error:
        handed = Raised.of(error)
    frame = frames_of(handed.error())[-1]
    assert (frame.module, frame.function) == (__name__, "test_what_was_raised_elsewhere_keeps_its_way")
    assert isinstance(Raised.of(MemoryError()).error(), MachineError)


READS = """
import sys
import tempfile
import torch
from torch.utils.data import DataLoader
from taskkit.batches import workers
from taskkit.errors import MachineError

workers.SHORT = tuple(sys.argv[1:])
samples = DataLoader(torch.arange(3.0), num_workers=1, timeout=5)
try:
    print(sum(batch.sum().item() for batch in workers.received(samples, hung=5)), tempfile.gettempdir())
except MachineError as error:
    print(error)
"""


@pytest.mark.parametrize("short", [True, False])
def test_sockets_lie_in_a_shorter_place_where_tmpdir_is_too_long_for_them(tmp_path: Path, short: bool) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", READS, *(("/tmp",) if short else ())],
        env={**os.environ, "TMPDIR": str(long)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if short:
        assert done.stdout == f"3.0 {long}\n"
    else:
        assert done.stdout.startswith(f"{long}: the path of the folder for temporary files is too long")
        assert "loader.workers=0" in done.stdout
    assert done.stderr == ""


GONE = """
import os, socket, sys
from multiprocessing import resource_sharer
from taskkit.batches.workers import leave_lost_connections_untold

if sys.argv[1] == "untold":
    leave_lost_connections_untold(0)
shared = resource_sharer.DupFd(os.dup(1))
for _ in range(2):
    # It leaves what it was sent unread, as a process that is killed does.
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(resource_sharer._resource_sharer._address)
        asking.recv(1)
os.close(shared.detach())  # who comes later is answered later
"""


@pytest.mark.parametrize(("how", "told"), [("told", True), ("untold", False)])
def test_who_is_gone_while_samples_are_handed_over_is_not_told_of(how: str, told: bool) -> None:
    ended = subprocess.run([sys.executable, "-c", GONE, how], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ("ConnectionResetError" in ended.stderr) == told
    assert ("Traceback" in ended.stderr) == told
