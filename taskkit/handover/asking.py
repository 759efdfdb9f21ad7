"""What a task asks its network about a batch, and a network that lets another answer in its stead."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from taskkit.contracts.data import Batch
from taskkit.contracts.facts import is_flag
from taskkit.contracts.model import Processor, Sample
from taskkit.contracts.task import Task
from taskkit.engine.build import Built
from taskkit.engine.guard import calling
from taskkit.errors import DataError, RunFailedError
from taskkit.handover.answers import rebuilt, tensors, with_tensors

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


def padded_lengths(processor: Processor, samples: Sequence[Sample]) -> set[int]:
    """The lengths to which samples are padded."""
    return {processor.padded_length(processor.length(sample)) for sample in samples}


def other_length(built: Built, samples: Sequence[Sample]) -> list[Sample]:
    """The samples cut in half, or repeated, so that they are padded to a length that none of them has now.

    Empty where they are not padded, and where the network takes them in neither way: a longest length is its own.
    """
    if built.processor.layout != "padded":
        return []
    known = padded_lengths(built.processor, samples)
    for change in (_halved, partial(_repeated, longest=max(known))):
        made = [each for sample in samples if (each := change(built.processor, sample)) is not None]
        if len(made) < len(samples) or known & padded_lengths(built.processor, made):
            continue
        try:
            asked(built, batch_of(built, made, complete=True))
        except Exception:  # whatever a network raises that is given less, or more, than it can take
            continue
        return made
    return []


def _halved(processor: Processor, sample: Sample) -> Sample | None:
    length = processor.length(sample)
    half = length // 2 | 1  # odd, lest anything is taken to be even
    return _changed(processor, sample, half, lambda tensor: tensor[:half])


def _repeated(processor: Processor, sample: Sample, longest: int) -> Sample | None:
    """A sample as often as it takes to be longer than all that is padded so far."""
    length = processor.length(sample)
    times = longest // length + 1
    return _changed(processor, sample, times * length, lambda tensor: torch.cat([tensor] * times))


def _changed(processor: Processor, sample: Sample, wanted: int, change: Callable[[Tensor], Tensor]) -> Sample | None:
    """A sample whose tensors of its length are changed; None where it is not of the wanted length then."""
    length = processor.length(sample)
    along = {name: tensor for name, tensor in sample.items() if tensor.ndim and len(tensor) == length}
    made = {**sample, **{name: change(tensor) for name, tensor in along.items()}}
    return made if along and processor.length(made) == wanted else None


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
        return with_tensors(answer, _ask(ask, _by_name(inspect.signature(network.forward), positional, named)))

    hook = network.register_forward_hook(instead, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _ask(ask: Ask, inputs: Inputs) -> Outputs:
    try:
        return ask(inputs)
    except DataError:
        raise
    except Exception as error:  # whatever runs the program has errors of its own
        given = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in inputs.items())
        raise RunFailedError(f"The program cannot be asked {given}: {reason(error)}") from error


def _forward(built: Built, task: Task, batch: Batch) -> Any:
    task.eval()
    with torch.no_grad(), calling(built.recipe.task, "forward"):
        return task(batch)


def _named(built: Built, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Inputs:
    given = _by_name(inspect.signature(built.network.forward), positional, named)
    if strange := [name for name, value in given.items() if not isinstance(value, Tensor)]:
        raise RunFailedError(
            f"{built.recipe.model.name} ({built.recipe.model.plugin}): its network is given {', '.join(strange)}, no "
            "tensors. A program takes tensors by name. Give it tensors, or nothing."
        )
    return given


def _by_name(signature: inspect.Signature, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of a network by their names, without those that are None."""
    bound = signature.bind(*positional, **named)
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


class Stored(nn.Module):
    """A network whose floating-point weights are kept in another type, and are made float32 again to compute with."""

    network: nn.Module

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        self.names = list(state)
        for number, tensor in enumerate(state.values()):
            kept = tensor.detach().to(dtype) if tensor.dtype == torch.float32 else tensor.detach()
            self.register_buffer(f"weight_{number}", kept)
        # Not as a submodule, whose own weights would be kept too.
        object.__setattr__(self, "network", copy.deepcopy(network).to("meta"))

    def forward(self, **inputs: Tensor) -> Any:
        """What the network answers."""
        kept = [self.get_buffer(f"weight_{number}") for number in range(len(self.names))]
        full = (each.float() if each.is_floating_point() else each for each in kept)
        return functional_call(self.network, dict(zip(self.names, full, strict=True)), (), dict(inputs))


class InStead(nn.Module):
    """What a task is given for its network where a program answers: it has no weights that could be used by mistake."""

    signature: inspect.Signature

    def __init__(self, network: nn.Module, ask: Ask, answer: Any) -> None:
        super().__init__()
        self.ask = ask
        self.answer = answer
        object.__setattr__(self, "signature", inspect.signature(network.forward))

    def forward(self, *positional: Any, **named: Any) -> Any:
        """What the network would answer; raises RunFailedError where the program does not take what it is given."""
        return rebuilt(self.answer, _ask(self.ask, _by_name(self.signature, positional, named)))
