"""Parts that several processes answer, each on a device of its own, into files that the parent puts together."""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from taskkit.answering.answerer import Answerer
from taskkit.answering.parts import write_part
from taskkit.answering.share import Answering, Part
from taskkit.errors import MachineError, TaskkitError

Opening = Callable[[], AbstractContextManager[Answerer]]
"""Opens, in whichever process it is called, what answers there; other processes are given it pickled."""


def answer_here(answerer: Answerer, parts: Sequence[Part], answering: Answering, folder: Path) -> Iterator[int]:
    """Answer parts in this process, each into its file; gives how many rows there are in each, once they are there."""
    for part, rows in answering.rows(answerer, parts):
        write_part(folder, part.number, rows)
        yield len(rows)


def in_processes(
    openings: Sequence[Opening], parts: Sequence[Part], answering: Answering, folder: Path
) -> Iterator[int]:
    """The same by as many processes as there are openings, which end with this one.

    Raises what one of them raised, and MachineError where one was killed; parts that are whole stay.
    """
    context = get_context("spawn")  # of a process that has used CUDA none can be forked
    processes: dict[Connection, SpawnProcess] = {}
    try:
        for number, opening in enumerate(openings):
            if not (share := parts[number :: len(openings)]):
                continue
            ours, theirs = context.Pipe(duplex=False)
            # No daemon: it has processes of its own, which encode.
            process = context.Process(
                target=_answer, args=(opening, share, answering, folder, theirs), name=f"taskkit-answers-{number}"
            )
            process.start()
            # The end of a process is heard only where nobody else holds its end of the pipe.
            theirs.close()
            processes[ours] = process
        waited = set(processes)
        while waited:
            for ready in connection.wait(list(waited)):
                assert isinstance(ready, Connection)
                if (count := _told(ready, processes[ready])) is None:
                    waited.remove(ready)
                else:
                    yield count
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def _told(pipe: Connection, process: SpawnProcess) -> int | None:
    """What a process says: the rows of a part, or None, it is done; raises what it raised."""
    try:
        said = pipe.recv()
    except EOFError:
        process.join()
        raise MachineError(
            f"A process that answers ended before its time ({_how(process.exitcode or 0)}). Often the memory was full "
            "and the system killed it. Give fewer --devices or --workers; the same command goes on with what is there."
        ) from None
    if isinstance(said, Exception):
        raise said
    assert said is None or isinstance(said, int)
    return said


def _how(code: int) -> str:
    return f"it was killed by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"


def _answer(opening: Opening, parts: Sequence[Part], answering: Answering, folder: Path, pipe: Connection) -> None:
    """What such a process does."""
    # Ctrl-C is for the parent, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    log = logging.getLogger("taskkit")
    level = log.level
    try:
        log.setLevel(logging.ERROR)  # the parent opened the same, and has said what there is to know of it
        with opening() as answerer:
            log.setLevel(level)
            for count in answer_here(answerer, parts, answering, folder):
                pipe.send(count)
        pipe.send(None)
    except TaskkitError as error:
        pipe.send(error)
    except Exception as error:  # of whatever class, which the parent need not have
        fault = RuntimeError(f"{type(error).__name__}: {error}")
        fault.add_note(traceback.format_exc())
        pipe.send(fault)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
