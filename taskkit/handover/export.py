"""A network exported by torch.export: a file that torch alone runs, for batches and lengths of any size."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as sizes

from taskkit.contracts.model import Processor, Sample
from taskkit.engine.build import Built
from taskkit.engine.guard import calling
from taskkit.errors import RunFailedError
from taskkit.handover import pt2, recurrent
from taskkit.handover.answers import described, strange, tensors
from taskkit.handover.asking import Ask, Inputs, Named, Stored, asked, batch_of, other_length, padded_lengths, reason

FEW, MORE = 3, 5
"""Samples of the batches that a network is exported by: odd, lest anything is taken to be even, and not 1, which torch
takes for a constant."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Program:
    """A network's exported program: a mapping of named tensors in, one out."""

    exported: ExportedProgram
    inputs: Mapping[str, tuple[int | None, ...]]
    """The shape of each input; None where it may have any size."""
    dtypes: Mapping[str, str]
    """What each input is of."""
    outputs: tuple[str, ...]
    """The names of what it answers."""
    answer: Any
    """How the network's answer is made of these; see `answers.described`."""
    used: tuple[Shapes, ...]
    """The shapes of the batches by which it was exported."""

    def save(self, path: Path) -> Path:
        """Write it, to be read by `torch.export.load`; its name must end in .pt2.

        The examples that it was exported by do not go with it.
        """
        self.exported.example_inputs = None
        with unheard():
            torch.export.save(self.exported, path)
        return path


def export(built: Built, samples: Sequence[Sample], weights: torch.dtype | None = None) -> Program:
    """Export a run's network by some samples, of lengths that differ where the processor's do.

    A dimension is taken to have any size if it differs between a batch of few short samples and one of more long ones;
    where all are padded to one length, between them and samples that are cut or repeated.
    `weights` is what the weights are kept in, by default as they are; what is computed is float32.
    Raises TaskkitError where the model says that no program can hold its network, and RunFailedError where torch
    cannot export it.
    """
    few, more = _two_batches(samples, built.processor)
    if len(padded_lengths(built.processor, [*few, *more])) == 1:
        few = other_length(built, few) or few
    inputs, answer, _ = asked(built, batch_of(built, few, complete=True))
    others, _, _ = asked(built, batch_of(built, more, complete=True))
    _check(built, inputs, others, answer)
    free = {name: _differing(inputs[name].shape, others[name].shape) for name in inputs}
    with calling(built.recipe.model, "exportable"):
        network = built.model.exportable(built.network)
    network.eval()
    program = _exported(built, Named(network if weights is None else Stored(network, weights)), inputs, free)
    return Program(
        program,
        {name: tuple(None if at in free[name] else n for at, n in enumerate(x.shape)) for name, x in inputs.items()},
        {name: str(x.dtype).removeprefix("torch.") for name, x in inputs.items()},
        tuple(tensors(answer)),
        described(answer),
        (shapes(inputs), shapes(others)),
    )


def read(path: Path) -> Ask:
    """A program that was saved, ready to be asked; raises CheckpointError for one that holds more than a network."""
    pt2.check(path)
    # torch writes down as guards that sizes are not 1, which its code does not need: batches of one are asked too.
    unguarded = {"check_guards": False} if "check_guards" in signature(ExportedProgram.module).parameters else {}
    with unheard():
        module = torch.export.load(path).module(**unguarded)

    def ask(inputs: Inputs) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            answer: dict[str, torch.Tensor] = module(dict(inputs))
        return answer

    return ask


def shapes(inputs: Inputs) -> Shapes:
    """The shape of each tensor, by name."""
    return {name: tuple(tensor.shape) for name, tensor in inputs.items()}


@contextmanager
def unheard() -> Iterator[None]:
    """Keep off the terminal what exporters say of their own insides; whether it went well is proved by asking."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            with redirect_stdout(io.StringIO()):
                yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _any_size() -> Iterator[None]:
    """Let torch, where its version can, take nothing for granted that holds for sizes other than 1 alone."""
    config: Any = sizes  # it is made to look like a module
    known = hasattr(config, "backed_size_oblivious")
    with config.patch(backed_size_oblivious=True) if known else nullcontext(), recurrent.whole():
        yield


def _two_batches(samples: Sequence[Sample], processor: Processor) -> tuple[list[Sample], list[Sample]]:
    """A few of the shortest samples, padded to an odd length if any are, and some more of the longest."""
    if len(samples) < MORE:
        samples = [samples[at % len(samples)] for at in range(MORE)]
    ordered = sorted(samples, key=processor.length)
    triples = [ordered[at : at + FEW] for at in range(len(ordered) - FEW + 1)]
    odd = (triple for triple in triples if processor.padded_length(processor.length(triple[-1])) % 2)
    few = next(odd, triples[0])
    # Not the same samples twice where there are others: their lengths would be the same too.
    return few, ordered[-MORE:]


def _differing(one: torch.Size, other: torch.Size) -> set[int]:
    return {at for at, (mine, theirs) in enumerate(zip(one, other, strict=True)) if mine != theirs}


def _check(built: Built, inputs: Inputs, others: Inputs, answer: Any) -> None:
    owner = f"{built.recipe.model.name} ({built.recipe.model.plugin})"
    if inputs.keys() != others.keys() or any(inputs[name].ndim != others[name].ndim for name in inputs):
        raise RunFailedError(
            f"{owner}: its network is given {', '.join(inputs)} for one batch and {', '.join(others)} for another. A "
            "program takes the same inputs always. Write `Processor.complete`, which adds what `collate` may leave out."
        )
    if name := strange(answer):
        raise RunFailedError(
            f"{owner}: its network answers a {name}. A program answers tensors, alone or in mappings, tuples, lists "
            "and dataclasses. Answer these, or write `Model.exportable`."
        )


def _exported(built: Built, network: Named, inputs: Inputs, free: Mapping[str, set[int]]) -> ExportedProgram:
    dynamic = {name: dict.fromkeys(sorted(places), Dim.DYNAMIC) for name, places in free.items()}
    given = {name: tensor.clone() for name, tensor in inputs.items()}
    try:
        with unheard(), torch.no_grad(), _any_size():
            made = torch.export.export(network, (given,), dynamic_shapes={"inputs": dynamic}, strict=False)
    except Exception as error:  # torch raises whatever the network's code runs into.
        raise RunFailedError(
            f"{built.recipe.model.name} ({built.recipe.model.plugin}): torch.export cannot export its network: "
            f"{reason(error)} Every step must follow from tensors alone, for a batch of any size: no `.item()`, no "
            "`.tolist()`, and `tensor.shape[0]` for `len(tensor)`. Or write `Model.exportable`, which gives a network "
            "that answers alike."
        ) from error
    for module in made.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # where the plugin's code lies here is nobody else's business
    return made
