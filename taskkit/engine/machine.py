"""What happened to the machine, and is nobody's fault: how it is told from faults in code, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import torch

from taskkit.batches.workers import is_lost_worker, lost_worker
from taskkit.contracts.recipe import Recipe
from taskkit.errors import MachineError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
    return any(is_so(error) for is_so in (is_lost_worker, _is_out_of_memory, _is_full_disk, _is_lost_device, _is_alone))


def explained(error: Exception, recipe: Recipe, directory: Path) -> MachineError | None:
    """What a person can do about what happened to the machine of a run; None for what is of somebody's code."""
    ways: tuple[tuple[Callable[[BaseException], bool], Callable[[], str]], ...] = (
        (_is_out_of_memory, lambda: out_of_memory(recipe, directory, error)),
        (_is_full_disk, lambda: _full_disk(error, directory)),
        (is_lost_worker, lambda: f"{lost_worker(error)} {_go_on(directory)}"),
        (_is_lost_device, lambda: f"{_lost_device(error)} {_go_on(directory)}"),
        (_is_alone, lambda: f"{_alone(error)} {_go_on(directory)}"),
    )
    return next((MachineError(said()) for is_so, said in ways if is_so(error)), None)


def out_of_memory(r: Recipe, directory: Path, error: Exception) -> str:
    """What to change when the memory is full, with the numbers."""
    half, whose = (
        max(1, r.loader.batch_size // 2),
        "device's" if isinstance(error, torch.OutOfMemoryError) else "machine's",
    )
    said = f" ({_first_line(error)})" if str(error) else ""
    return (
        f"The {whose} memory is full{said}. Halve the batch and keep the optimisation the same: "
        f"taskkit run {directory}/recipe.yaml loader.batch_size={half} "
        f"trainer.accumulate_grad_batches={2 * r.trainer.accumulate_grad_batches}; "
        "or set trainer.precision=bf16-mixed, or loader.resident=no. Where others took the memory, go on with: "
        f"taskkit run --resume {directory}"
    )


def _full_disk(error: Exception, directory: Path) -> str:
    assert isinstance(error, OSError)
    return (
        f"{error.filename or directory}: the disk is full or a file is larger than it may be ({error.strerror}). The "
        f"checkpoint before is whole. Make room. {_go_on(directory)}"
    )


def _lost_device(error: Exception) -> str:
    return (
        f"The device failed or vanished ({_first_line(error)}). See what `nvidia-smi` and the system's log say of it; "
        "where it is there and fails again at the same step, an operation reads beyond a tensor: "
        "CUDA_LAUNCH_BLOCKING=1 and --debug show which."
    )


def _alone(error: Exception) -> str:
    return (
        f"Another process of this run ended or cannot be reached ({_first_line(error)}). What it said stands above, or "
        "in the scheduler's log; without a word it was killed, often since the memory was full."
    )


def _go_on(directory: Path) -> str:
    return f"Then go on with: taskkit run --resume {directory}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and NO_MEMORY in str(error)
    )


def _is_full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in FULL_DISK


def _is_lost_device(error: BaseException) -> bool:
    # An index beyond a tensor is told by the same class, and is a fault in code.
    return isinstance(error, torch.AcceleratorError) and "assert" not in str(error)


def _is_alone(error: BaseException) -> bool:
    of_peers = isinstance(error, torch.distributed.DistError) if torch.distributed.is_available() else False
    return of_peers or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in PEER_IS_GONE))
