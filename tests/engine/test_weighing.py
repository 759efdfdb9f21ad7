"""How batches weigh: a step over several of them is that over one of all, whatever the loss is the mean of."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torchmetrics import MeanMetric, Metric

from taskkit import Batch, DataSpec, Example, Fact, Headline, Processor, Sample, Step, Task
from taskkit.batches.encode import encode
from taskkit.batches.loader import Loader
from taskkit.batches.plan import plan
from taskkit.contracts.component import Chosen, Component, PluginInfo
from taskkit.engine.module import TaskModule

OWNER = Chosen(Component("task", "some.task", "", "some:Task", "some:Section"), PluginInfo("some", "1", "some"), None)
LENGTHS = [1, 7, 2, 5, 3, 9, 4, 6, 8, 2]


class Words(Processor):
    """An example of n words gives n numbers, which grow with the example."""

    layout = "padded"

    def read(self, source: str, options: Any) -> Sequence[Example]:
        raise NotImplementedError

    def encode(self, example: Example) -> Sequence[Sample]:
        return [{"words": torch.arange(1.0, example.input + 1) * (1 + int(example.id))}]

    def length(self, sample: Sample) -> int:
        return len(sample["words"])

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return {"words": nn.utils.rnn.pad_sequence([sample["words"] for sample in samples], batch_first=True)}


class Square(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, words: Tensor) -> Tensor:
        return (self.slope * words) ** 2


class MeanSquare(Task[Any, Words]):
    """The mean of all words' squares, or of the examples' means."""

    headline = Headline("mean", "min")

    def step(self, batch: Batch) -> Step:
        real = batch["words"] > 0
        squares = self(batch)
        if self.config == "words":
            loss, count = squares.sum() / real.sum(), real.sum()
        else:
            loss, count = (squares.sum(1) / real.sum(1)).mean(), len(real)
        return Step(loss, count, over=self.config, scored={"value": loss.detach()})

    def metrics(self) -> Mapping[str, Metric]:
        return {"mean": MeanMetric()}


def wanted(over: str, numbers: Sequence[int]) -> float:
    """The gradient of the mean over everything in these examples, with respect to the slope, by a loop."""
    slope = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    rows = [torch.arange(1.0, LENGTHS[n] + 1, dtype=torch.float64) * (1 + n) for n in numbers]
    squares = [(slope * row) ** 2 for row in rows]
    mean = torch.cat(squares).mean() if over == "words" else torch.stack([each.mean() for each in squares]).mean()
    mean.backward()  # type: ignore[no-untyped-call]
    assert slope.grad is not None
    return float(slope.grad)


def taken(over: str, batch_size: int, accumulate: int, budget: float | None = None) -> list[float]:
    """The gradients of the optimiser steps of one epoch under a real Trainer."""
    examples = [Example(str(number), length) for number, length in enumerate(LENGTHS)]
    processor = Words()
    if budget is None:
        processor.layout = "stacked"
    encoded = encode(examples, processor, key=None)
    loader = Loader(encoded, processor, plan(encoded, processor, batch_size, budget), resident="no", workers=0)
    loader.place(torch.device("cpu"), rank=0, world=1)
    found: list[float] = []

    class Keep(SGD):
        def step(self, closure: Any = None) -> Any:
            out = super().step(closure)
            found.append(float(self.param_groups[0]["params"][0].grad))
            return out

    task = MeanSquare(over, Square(), processor, DataSpec(Fact(), Fact(), "none"))
    module = TaskModule(task, OWNER, optimisers=lambda m: Keep(m.task.parameters(), lr=1e-12), loader=loader)
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.Trainer(
            accelerator="cpu",
            precision="64-true",
            max_epochs=1,
            accumulate_grad_batches=accumulate,
            **off,  # type: ignore[arg-type]
        ).fit(module, loader)
    return found


@pytest.mark.parametrize("over", ["examples", "words"])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(10, 1), (2, 5), (1, 10), (3, 4)])
def test_an_epoch_in_one_step_has_the_gradient_of_one_batch(over: str, batch_size: int, accumulate: int) -> None:
    (gradient,) = taken(over, batch_size, accumulate)
    assert gradient == pytest.approx(wanted(over, range(10)), rel=1e-6)


@pytest.mark.parametrize("over", ["examples", "words"])
def test_the_last_step_of_an_epoch_is_the_mean_over_what_is_left(over: str) -> None:
    first, last = taken(over, batch_size=2, accumulate=3)
    assert first == pytest.approx(wanted(over, range(6)), rel=1e-6)
    assert last == pytest.approx(wanted(over, range(6, 10)), rel=1e-6)


def test_each_example_weighs_alike_in_batches_of_a_budget_that_hold_different_numbers() -> None:
    steps = taken("examples", batch_size=1, accumulate=1, budget=10)
    assert len(steps) > 3
    assert sum(steps) / len(steps) == pytest.approx(wanted("examples", range(10)), rel=1e-6)


def test_batches_of_a_budget_weigh_alike_in_one_step_too() -> None:
    (gradient,) = taken("examples", batch_size=1, accumulate=99, budget=10)
    assert gradient == pytest.approx(wanted("examples", range(10)), rel=1e-6)
