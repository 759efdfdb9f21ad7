"""A sample as a question that can be asked again with other inputs: what every method of explaining is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from taskkit.contracts.data import Batch
from taskkit.contracts.explained import Explained, Places
from taskkit.contracts.facts import Example, is_flag
from taskkit.contracts.model import Sample
from taskkit.engine.build import Built
from taskkit.engine.guard import calling
from taskkit.errors import TaskkitError
from taskkit.explanation.calls import Lookups
from taskkit.handover.asking import batch_of

AT_ONCE = 16
"""Inputs that are asked about at once."""
MEASURED = (torch.uint8, torch.int16)
"""Whole numbers that are measured, as brightness and sound are; of other kinds they are names of things."""

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Question:
    """A sample, what its task is asked about it, and which of its answers is explained."""

    built: Built
    example: Example
    sample: Sample
    device: torch.device
    explained: Explained
    places: Places | None

    @classmethod
    def of(
        cls, built: Built, example: Example, sample: Sample, device: torch.device, options: Any, wanted: str | None
    ) -> Question:
        """Ask the task once, so as to know its answer; raises TaskkitError where it cannot explain the one `wanted`."""
        sample = {name: tensor for name, tensor in sample.items() if not is_flag(name)}
        with calling(built.recipe.model, "Processor.places"):
            places = built.processor.places(example, sample)
        unasked = cls(built, example, sample, device, Explained("", "", lambda outputs: outputs), places)
        batch = unasked.batch(1)
        with torch.no_grad():
            outputs = unasked.answer(batch)
            with calling(built.recipe.task, "explained"):
                return replace(unasked, explained=built.task.explained(batch, outputs, options, wanted))

    def batch(self, copies: int) -> Batch:
        """A batch of so many copies of the sample, on the device."""
        made = batch_of(self.built, [self.sample] * copies, complete=False)
        return {name: tensor.to(self.device) for name, tensor in made.items()}

    def answer(self, batch: Batch) -> object:
        """What the task makes of a batch."""
        with calling(self.built.recipe.task, "forward"):
            return self.built.task(batch)

    @cached_property
    def alone(self) -> Batch:
        """The batch of this sample by itself."""
        return self.batch(1)

    @cached_property
    def stacks(self) -> bool:
        """Whether copies stand behind each other in the first dimension, so that many are asked at once."""
        two = self.batch(2)
        return all(
            two[name].shape == (2 * one.shape[0], *one.shape[1:])
            for name, one in self.alone.items()
            if name in self.sample
        )

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """The inputs that hold measured numbers, with which a network calculates."""
        return tuple(
            name
            for name, tensor in self._inputs.items()
            if tensor.ndim and (tensor.is_floating_point() or tensor.dtype in MEASURED)
        )

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The inputs whose whole numbers name something, such as tokens; their tables of embeddings are looked up."""
        if self.measured:
            return ()
        known = self.places.absent if self.places is not None else {}
        whole = [name for name, tensor in self._inputs.items() if tensor.dtype in (torch.int32, torch.int64)]
        return tuple(name for name in whole if name in known) or tuple(whole[:1])

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """What an answer can be attributed to; raises TaskkitError where there is nothing."""
        if not (found := self.measured or self.named):
            raise TaskkitError(
                f"{self.built.recipe.model.name}: its samples hold neither measured numbers nor numbers that name "
                f"something ({', '.join(self.sample) or 'nothing'}), to which an answer could be attributed."
            )
        return found

    @cached_property
    def lookups(self) -> Mapping[int, str]:
        """Which of the network's lookups follow from which of the named inputs, by their numbers.

        Seen by asking again with other numbers there.
        """
        seen = self._rows(self.alone)
        found: dict[int, str] = {}
        for name in self.named:
            numbers = self.alone[name]
            other = torch.where(numbers < 0, numbers, torch.where(numbers == 0, 1, 0).to(numbers.dtype))
            for at, (one, two) in enumerate(zip(seen, self._rows({**self.alone, name: other}), strict=True)):
                if at not in found and one.shape == two.shape and not torch.equal(one, two):
                    found[at] = name
        return found

    def values(self) -> Tensors:
        """The inputs as they are, each (1, …) and then of the shape that a batch of one gives it."""
        return tuple(self._as_asked(self.alone[name])[None] for name in self.inputs)

    def nothing(self) -> Tensors:
        """The baseline of the same shapes: nought of measured numbers, else the number of what is absent."""
        absent = self.places.absent if self.places is not None else {}
        return tuple(
            torch.full_like(value, absent.get(name, 0)) for name, value in zip(self.inputs, self.values(), strict=True)
        )

    def vectors(self) -> Tensors:
        """What is looked up, (1, …) and then of the shape that a batch of one gives it."""
        with torch.no_grad(), Lookups() as seen:
            self.answer(self.alone)
        return tuple(seen.vectors[at][None] for at in self.lookups)

    def scores(self, *values: Tensor) -> Tensor:
        """The explained number (inputs,) of other inputs, each (inputs, …)."""
        return self._asked(values, by_input=True)

    def scores_of_vectors(self, *vectors: Tensor) -> Tensor:
        """The explained number (inputs,) where other vectors are looked up, each (inputs, …)."""
        return self._asked(vectors, by_input=False)

    @property
    def _inputs(self) -> Sample:
        return {name: tensor for name, tensor in self.sample.items() if not name.startswith("target")}

    @staticmethod
    def _as_asked(tensor: Tensor) -> Tensor:
        return tensor.float() if tensor.is_floating_point() or tensor.dtype in MEASURED else tensor

    def _rows(self, batch: Batch) -> list[Tensor]:
        seen = Lookups()
        with torch.no_grad(), seen:
            self.answer(batch)
        return seen.rows

    def _asked(self, values: Sequence[Tensor], *, by_input: bool) -> Tensor:
        step = AT_ONCE if self.stacks else 1
        parts = [
            self._asked_at_once([value[start : start + step] for value in values], by_input=by_input)
            for start in range(0, len(values[0]), step)
        ]
        return torch.cat(parts)

    def _asked_at_once(self, values: Sequence[Tensor], *, by_input: bool) -> Tensor:
        copies = len(values[0])
        batch = self.alone if copies == 1 else self.batch(copies)
        flat = [value.flatten(0, 1) for value in values]
        if by_input:
            outputs = self.answer({**batch, **dict(zip(self.inputs, flat, strict=True))})
        else:
            with Lookups(dict(zip(self.lookups, flat, strict=True))):
                outputs = self.answer(batch)
        return self.explained.score(outputs).float()
