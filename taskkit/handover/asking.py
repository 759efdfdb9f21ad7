"""What a task asks its network about a batch, and a network that lets another answer in its stead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from taskkit.batches.store import is_flag
from taskkit.contracts.data import Batch
from taskkit.contracts.model import Sample
from taskkit.contracts.task import Task
from taskkit.engine.build import Built
from taskkit.engine.guard import calling
from taskkit.errors import RunFailedError
from taskkit.handover.answers import tensors, with_tensors

Inputs = Mapping[str, Tensor]
Outputs = Mapping[str, Tensor]
Ask = Callable[[Inputs], Outputs]
"""A program: named tensors in, named tensors out."""


def batch_of(built: Built, samples: Sequence[Sample], *, complete: bool) -> Batch:
    """A batch of samples, whose `example` is their number among these; `complete`: with all that a program takes."""
    unflagged = [{name: value for name, value in sample.items() if not is_flag(name)} for sample in samples]
    processor = built.processor
    with calling(built.recipe.model, "Processor.collate"):
        batch = processor.collate(unflagged)
    if complete:
        with calling(built.recipe.model, "Processor.complete"):
            batch = processor.complete(batch)
    return {**batch, "example": torch.arange(len(samples))}


def asked(built: Built, batch: Batch) -> tuple[Inputs, Any, Any]:
    """What the task asks its network about a batch, what that answers, and what the task makes of it.

    Raises RunFailedError for a task that does not call its network, or with something else than tensors.
    """
    calls: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []
    network, task = built.network, built.task
    hook = network.register_forward_hook(lambda _, a, k, answer: calls.append((a, k, answer)), with_kwargs=True)
    try:
        outputs = _forward(built, task, batch)
    finally:
        hook.remove()
    if not calls:
        raise RunFailedError(
            f"{built.recipe.task.name} ({built.recipe.task.plugin}): it answers without calling its network. A program "
            "stands for what `network(…)` answers. Let the task ask it so."
        )
    positional, named, answer = calls[0]
    return _named(built, positional, named), answer, outputs


@contextmanager
def answering(network: nn.Module, ask: Ask) -> Iterator[None]:
    """Let a program answer whatever the network is asked; what it answers is of the network's own make.

    Raises RunFailedError, with what it was given, where the program does not take that.
    """

    def instead(module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any], answer: Any) -> Any:
        inputs = _by_name(network, positional, named)
        try:
            answers = ask(inputs)
        except Exception as error:  # whatever runs the program has errors of its own
            given = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in inputs.items())
            raise RunFailedError(f"The program cannot be asked {given}: {reason(error)}") from error
        return with_tensors(answer, answers)

    hook = network.register_forward_hook(instead, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _forward(built: Built, task: Task, batch: Batch) -> Any:
    task.eval()
    with torch.no_grad(), calling(built.recipe.task, "forward"):
        return task(batch)


def _named(built: Built, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Inputs:
    given = _by_name(built.network, positional, named)
    if strange := [name for name, value in given.items() if not isinstance(value, Tensor)]:
        raise RunFailedError(
            f"{built.recipe.model.name} ({built.recipe.model.plugin}): its network is given {', '.join(strange)}, no "
            "tensors. A program takes tensors by name. Give it tensors, or nothing."
        )
    return given


def _by_name(network: nn.Module, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of a network by their names, without those that are None."""
    bound = inspect.signature(network.forward).bind(*positional, **named)
    arguments = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name, {})
    return {name: value for name, value in arguments.items() if value is not None}


def reason(error: BaseException) -> str:
    """What went wrong first, in a line, of an error that others may have been raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300].rstrip('.')}."


class Named(nn.Module):
    """A network that takes a mapping of tensors and answers one, as every program does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named tensors of the network's own shapes, in and out."""
        return tensors(self.network(**inputs))
