"""How fast a trained task answers: measured in one way at the end of every run, on samples that are encoded already."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import cycle, islice
from typing import Any

import torch

from taskkit.batches.loader import HostBatch, Loader
from taskkit.contracts.facts import Example
from taskkit.engine.build import Built
from taskkit.engine.evaluate import answers, sequential
from taskkit.engine.guard import calling
from taskkit.engine.loaders import for_judging
from taskkit.runs.manifest import Inference

SECONDS = 0.5
CALLS = 50
"""No more of either, after one call that is not counted; but one call at least."""
SINGLE = 16
"""Samples that are answered by themselves, in turn."""
LARGE = 4
"""Batches that are answered, in turn."""


def measure(
    built: Built,
    loader: Loader,
    examples: Sequence[Example],
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Inference:
    """Time the task on samples by themselves and in batches of evaluation: the network and what is read out of it."""
    single = sequential(loader.encoded, built.processor, 1, resident="no", workers=0)
    large = for_judging(built, loader.encoded, resident="no", workers=0)
    task = built.task.to(device)
    training = task.training
    task.eval()
    options = task.predict_options()

    def answer(host: HostBatch) -> None:
        chosen = [examples[number] for number in host.tensors["example"].tolist()]
        with calling(built.recipe.task, "forward"):
            outputs = task(host.tensors)
        answers(task, built.recipe.task, host.tensors, outputs, chosen, options)

    with torch.inference_mode(), autocast():
        alone = [seconds for _, seconds in _timed(answer, _batches(single, SINGLE, device), device)]
        together = list(_timed(answer, _batches(large, LARGE, device), device))
    task.train(training)
    return Inference(
        latency_ms=round(1000 * statistics.median(alone), 4),
        examples_per_second=_throughput(together),
        batch_size=max(host.samples for host, _ in together),
        calls=(len(alone), len(together)),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    )


def _throughput(timed: Sequence[tuple[HostBatch, float]]) -> float:
    """Samples a second by the median time of each batch, which what else the machine did moves little."""
    hosts, seconds = dict[int, HostBatch](), dict[int, list[float]]()
    for host, each in timed:
        hosts[id(host)] = host
        seconds.setdefault(id(host), []).append(each)
    return sum(host.samples for host in hosts.values()) / sum(map(statistics.median, seconds.values()))


def _batches(loader: Loader, count: int, device: torch.device) -> list[HostBatch]:
    loader.place(device, rank=0, world=1)
    return [
        host._replace(tensors={name: tensor.to(device) for name, tensor in host.tensors.items()})
        for host in islice(loader, count)
    ]


def _timed(
    answer: Callable[[HostBatch], None], batches: Iterable[HostBatch], device: torch.device
) -> Iterator[tuple[HostBatch, float]]:
    """Batches that were answered, and the seconds that each took."""
    again = cycle(batches)
    answer(next(again))
    spent = 0.0
    for host in islice(again, CALLS):
        _wait(device)
        began = time.perf_counter()
        answer(host)
        _wait(device)
        seconds = time.perf_counter() - began
        yield host, seconds
        spent += seconds
        if spent > SECONDS:
            return


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
