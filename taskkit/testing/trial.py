"""A recipe by which a plugin is tried, and what its checks share: a run of all of it, a lab, and a bench for proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pytorch_lightning as pl

from taskkit.contracts.data import Stream
from taskkit.contracts.recipe import Recipe
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.placement import alone
from taskkit.engine.trainer import make_trainer, quiet
from taskkit.errors import RunFailedError
from taskkit.loaded_run import LoadedRun
from taskkit.preflight import overfit
from taskkit.preflight.overfit import CannotSay, Learnt, Subject
from taskkit.recipe.dump import document
from taskkit.testing.seen import NotDue, NotRun
from taskkit.verify.bench import Bench, Judged, Skipped
from taskkit.verify.lab import Lab

JUDGED = 256
"""Examples on which a run is compared with the network before training."""


@dataclass
class Trial:
    """A recipe that is tried in a lab."""

    lab: Lab
    tolerance: float
    """How far losses in bf16 and in 32 bits may be apart."""

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        return self.lab.recipe

    @cached_property
    def ended(self) -> LoadedRun | RunFailedError:
        """A run of all of the recipe, in a process of its own, or why it failed."""
        path, out = self.lab.new_folder().with_suffix(".yaml"), self.lab.new_folder()
        path.write_text(document(self.recipe.plain(), {}))
        try:
            self.lab.call(["taskkit", "run", str(path), "--out", str(out)])
        except RunFailedError as error:
            return error
        return self.lab.opened(out)

    @property
    def run(self) -> LoadedRun:
        """The run; raises NotRun where it failed."""
        if isinstance(self.ended, RunFailedError):
            raise NotRun("the recipe does not train", "Mend what `trains` says first.")
        return self.ended

    @cached_property
    def bench(self) -> Bench:
        """What proofs are made with; raises NotRun where the run failed."""
        return Bench(self.lab, self.run, self.tolerance)

    @property
    def judged(self) -> Judged:
        """The trained weights and some examples of the test split; raises NotDue where there are only streams."""
        try:
            return self.bench.judged
        except Skipped as reason:
            raise NotDue(str(reason)) from None

    @property
    def more_judged(self) -> Judged:
        """The same with more examples, since two networks are compared on them."""
        judged = self.judged
        examples = self.bench.prepared.examples(judged.split)
        assert not isinstance(examples, Stream)
        return replace(judged, examples=[examples[number] for number in range(min(JUDGED, len(examples)))])

    def untrained(self) -> Built:
        """The task before training."""
        with quiet():
            pl.seed_everything(self.recipe.seed, verbose=False)
            return build.build(self.recipe, self.bench.prepared)

    @cached_property
    def subject(self) -> Subject:
        """The task before training, and a batch that it is to learn; raises NotDue where a batch says nothing."""
        device = make_trainer(replace(self.recipe, trainer=alone(self.recipe.trainer)), []).strategy.root_device
        try:
            with quiet():
                return overfit.subject(self.untrained(), self.bench.prepared, device)
        except CannotSay as reason:
            raise NotDue(str(reason)) from None

    @cached_property
    def learnt(self) -> Learnt:
        """How far the loss of the batch falls by the recipe's own optimiser; raises NotDue where it says nothing."""
        try:
            with quiet():
                return self.subject.learnt(self.recipe.optim)
        except CannotSay as reason:
            raise NotDue(str(reason)) from None

    def reopened(self) -> LoadedRun:
        """The run, as one who begins with its directory has it."""
        return self.lab.opened(self.run.path)


def counted(things: Sequence[str], most: int = 5) -> str:
    """The first of several things, and how many follow."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return f"{', '.join(things[:most])}{more}"
