"""What training costs: a clock that can be stopped, operations, memory, and the share of a device's peak."""

from __future__ import annotations

import resource
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning_fabric.utilities.throughput import get_available_flops
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from taskkit.contracts.data import Batch
from taskkit.contracts.task import Task


class Clock:
    """Seconds of training, without what happened while it was stopped."""

    def __init__(self) -> None:
        self._past = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return self._past + (time.perf_counter() - self._since if self._since is not None else 0.0)

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._past = value
        self._since = None if self._since is None else time.perf_counter()

    def start(self) -> None:
        """Let it run."""
        if self._since is None:
            self._since = time.perf_counter()

    def stop(self) -> None:
        """Hold it."""
        self._past, self._since = self.seconds, None


def flops_per_example(task: Task, batch: Batch) -> float:
    """Floating-point operations of one training step for one example: three times those of the forward pass.

    The backward pass costs about twice the forward pass (Kaplan et al. 2020, section 2.1). The forward pass is counted
    in evaluation mode, so that neither random numbers nor batch statistics change.
    """
    training = task.training
    task.eval()
    counter = FlopCounterMode(display=False)
    eager: AbstractContextManager[Any] = (
        torch.compiler.set_stance("force_eager") if hasattr(torch.compiler, "set_stance") else nullcontext()
    )
    with torch.no_grad(), eager, sdpa_kernel(SDPBackend.MATH), counter:
        task(batch)
    task.train(training)
    return 3.0 * counter.get_total_flops() / len(batch["example"])


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that torch held on a CUDA device, or the most that this process held."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mfu(device: torch.device, precision: str, flops: float | None, per_second: float | None) -> float | None:
    """Model FLOPs utilisation: the share of a CUDA device's peak that the operations used, where the peak is known."""
    if device.type != "cuda" or not flops or not per_second:
        return None
    dtype = {"bf16": torch.bfloat16, "16": torch.float16}.get(precision.split("-")[0], torch.float32)
    peak = get_available_flops(device, dtype)
    return flops * per_second / peak if peak else None
