"""What proofs are made with, and what they end with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch

from taskkit.apart import Difference
from taskkit.batches.encode import samples_of
from taskkit.contracts.data import Prepared, Stream
from taskkit.contracts.facts import Example, Split
from taskkit.contracts.recipe import Recipe
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.trainer import quiet
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.handover.export import Program, export
from taskkit.loaded_run import LoadedRun
from taskkit.verify import gradients
from taskkit.verify.finding import Finding, Outcome, Proof
from taskkit.verify.gradients import Subject
from taskkit.verify.lab import Bounds, Lab, untrained

_SPLITS: tuple[Split, ...] = ("test", "val", "train")


class Skipped(Exception):
    """A proof that says nothing of this recipe, with the reason."""

    avoidable = False


class Lacking(Skipped):
    """A proof that would say something of this recipe with more data or other settings, with the reason."""

    avoidable = True


@dataclass(frozen=True)
class Bench:
    """What proofs are made with."""

    lab: Lab
    run: LoadedRun | None
    """The run that is verified; None: a recipe."""
    tolerance: float | None = None
    """The limit of the proof of precision; None: PRECISION_LIMIT."""

    @property
    def recipe(self) -> Recipe:
        """The recipe that is verified."""
        return self.lab.recipe

    @property
    def bounds(self) -> Bounds:
        """How much a proof may do."""
        return self.lab.bounds

    @cached_property
    def subject(self) -> Subject:
        """The recipe's task before training, on the CPU."""
        return gradients.subject(self.recipe, self.lab.plugins, self.bounds.examples)

    @cached_property
    def weights(self) -> LoadedRun:
        """The run whose weights are judged: the one that is verified, else one that is trained in short."""
        return self.run or self.lab.trained()

    @cached_property
    def prepared(self) -> Prepared:
        """The recipe's data."""
        with quiet():
            return build.prepare(build.data_module(self.recipe), self.recipe)

    @cached_property
    def program(self) -> Program:
        """The program of the network with the weights, exported by the first training examples.

        Raises Skipped where the model says that there can be none, and RunFailedError where torch can make none.
        """
        built = self.weights.built
        train = build.head(self.prepared, "train")
        some = [train[number] for number in range(min(self.bounds.examples, len(train)))] or self.judged.examples
        try:
            return export(built, [sample for each in some for sample in samples_of(each, built.processor)])
        except RunFailedError:
            raise
        except TaskkitError as reason:
            raise Skipped(str(reason)) from None

    @cached_property
    def judged(self) -> Judged:
        """The weights, with the first examples of the test split, or of another where that is empty.

        Raises Skipped where there are only streams.
        """
        for split in _SPLITS:
            examples = self.prepared.examples(split)
            if not isinstance(examples, Stream) and len(examples):
                some = [examples[number] for number in range(min(self.bounds.examples, len(examples)))]
                return Judged(replace(self.weights.built, spec=self.prepared.spec), some, split)
        raise Skipped("these data have no split that can be judged, only streams")


@dataclass(frozen=True)
class Judged:
    """A task with trained weights, and the examples that it is judged on."""

    built: Built
    examples: Sequence[Example]
    split: Split

    @property
    def said(self) -> str:
        """What is judged, for a reader."""
        return f"{len(self.examples)} {self.split} examples"


def refuse_untrained(bench: Bench) -> None:
    """Raise Skipped where no steps are taken."""
    if untrained(bench.recipe):
        raise Skipped("this recipe takes no steps (trainer.max_epochs=0)")


def concluded(
    proof: Proof,
    bench: Bench,
    compared: str,
    apart: Difference,
    limit: float,
    advice: str,
    environment: Mapping[str, Any],
    *,
    holds: bool = True,
) -> Finding:
    """What a proof found that compared something: it passes where the difference is within the limit, and all `holds`
    that is no difference."""
    outcome: Outcome = "pass" if apart.size <= limit and holds else "fail"
    return Finding(
        proof,
        outcome,
        compared,
        largest=apart.size,
        where=apart.where if apart.size else "",
        limit=limit,
        advice=advice if outcome == "fail" else "",
        settings=asdict(bench.bounds),
        environment=environment,
    )


def failed(proof: Proof, bench: Bench, compared: str, why: str, environment: Mapping[str, Any]) -> Finding:
    """What a proof found that could not compare anything."""
    return Finding(proof, "fail", compared, advice=why, settings=asdict(bench.bounds), environment=environment)


def here() -> dict[str, Any]:
    """What decides numbers that this process computes."""
    return {"torch": torch.__version__, "device": "cpu"}
