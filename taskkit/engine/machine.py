"""What happened to the machine, and is nobody's fault: how it is told from faults in code, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from taskkit.batches.workers import is_lost_worker, lost_worker
from taskkit.contracts.recipe import Recipe
from taskkit.engine.smaller import changes, smaller
from taskkit.errors import MachineError, OutOfMemoryError, is_full_disk, no_room
from taskkit.wording import quoted

if TYPE_CHECKING:
    from taskkit.engine.others import Ended

NO_MEMORY = "can't allocate memory"
"""What torch says on a CPU."""
PEER_IS_GONE = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Timed out waiting",
    "NCCL error",
)
"""By what a message of torch.distributed tells that another process is gone."""


def is_of_machine(error: BaseException) -> bool:
    """Whether an error tells of the machine, in whoever's code it was met."""
    return any(is_so(error) for is_so in (is_lost_worker, _is_out_of_memory, is_full_disk, _is_lost_device, is_alone))


def explained(error: Exception, recipe: Recipe, directory: Path, ended: Ended | None = None) -> MachineError | None:
    """What a person can do about what happened to the machine of a run; None for what is of somebody's code.

    `ended` is the process of the run that ended before its time, if one is known.
    """
    if _is_out_of_memory(error):
        return OutOfMemoryError(out_of_memory(recipe, directory, error))
    ways: tuple[tuple[Callable[[BaseException], bool], Callable[[], str]], ...] = (
        (is_full_disk, lambda: _full_disk(error, directory)),
        (is_lost_worker, lambda: f"{lost_worker(error)} {_go_on(directory)}"),
        (_is_lost_device, lambda: f"{_lost_device(error)} {_go_on(directory)}"),
        (is_alone, lambda: gone(ended or f"Another process of this run ended ({_first_line(error)})", directory)),
    )
    return next((MachineError(said()) for is_so, said in ways if is_so(error)), None)


@contextmanager
def in_words() -> Iterator[None]:
    """Raise MachineError for what happens to the machine while a run is judged or asked."""
    try:
        yield
    except Exception as error:
        ways: tuple[tuple[Callable[[BaseException], bool], Callable[[Exception], object]], ...] = (
            (is_lost_worker, lost_worker),
            (_is_out_of_memory, _little_memory),
            (is_full_disk, no_room),
            (_is_lost_device, _lost_device),
        )
        told = next((say(error) for is_so, say in ways if is_so(error)), None)
        if told is None:
            raise
        raise MachineError(str(told)) from error


def out_of_memory(recipe: Recipe, directory: Path, error: Exception) -> str:
    """What to change when the memory is full, with the numbers."""
    said = f" ({_first_line(error)})" if str(error) else ""
    half = smaller(recipe, 2)
    ways = [
        *([f"half the batch, twice as often ({changes(recipe, half)})"] if half else []),
        *(["trainer.precision=bf16-mixed"] if recipe.trainer.precision.startswith("32") else []),
        *(["loader.resident=no"] if recipe.loader.resident != "no" else []),
    ]
    return (
        f"The {_whose(error)} memory is full{said}. What takes less: {'; '.join(ways) or 'a smaller network'}. "
        f"Which half, quarter and so on of it fits, measured: taskkit check {quoted(directory)}/recipe.yaml --deep. "
        f"Where others took the memory, go on with: taskkit run --resume {quoted(directory)}"
    )


def _little_memory(error: Exception) -> str:
    return (
        f"The {_whose(error)} memory is full ({_first_line(error)}). Free some of it: what is judged at once are "
        "loader.eval_batch_size samples, or loader.batch_size, of the run's recipe."
    )


def _whose(error: Exception) -> str:
    return "device's" if isinstance(error, torch.OutOfMemoryError) else "machine's"


def _full_disk(error: Exception, directory: Path) -> str:
    return f"{no_room(error, directory)} The checkpoint before is whole. {_go_on(directory)}"


def _lost_device(error: Exception) -> str:
    return (
        f"The device failed or vanished ({_first_line(error)}). See what `nvidia-smi` and the system's log say of it; "
        "where it is there and fails again at the same step, an operation reads beyond a tensor: "
        "CUDA_LAUNCH_BLOCKING=1 and --debug show which."
    )


def gone(ended: Ended | str, directory: Path) -> str:
    """What to do where another process of a run is gone."""
    return (
        f"{ended}. What it said stands above, or in the scheduler's log; without a word it was killed, often since the "
        f"memory was full. {_go_on(directory)}"
    )


def _go_on(directory: Path) -> str:
    return f"Then go on with: taskkit run --resume {quoted(directory)}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and NO_MEMORY in str(error)
    )


def _is_lost_device(error: BaseException) -> bool:
    # An index beyond a tensor is told by the same class, and is a fault in code.
    return isinstance(error, torch.AcceleratorError) and "assert" not in str(error)


def is_alone(error: BaseException) -> bool:
    """Whether an error tells that another process of the run is gone."""
    of_peers = isinstance(error, torch.distributed.DistError) if torch.distributed.is_available() else False
    return of_peers or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in PEER_IS_GONE))
