"""Whether a run that is gone on with is still the same run, in its data, in what was learnt from them and in its
batches, and at which rates it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pytorch_lightning as pl

from taskkit.batches.loader import Loader, StreamLoader
from taskkit.batches.plan import plan
from taskkit.contracts.data import Prepared, Stream
from taskkit.contracts.facts import SPLITS
from taskkit.contracts.recipe import LoaderSection, OptimSection
from taskkit.engine.build import Built, same
from taskkit.engine.optim import of_phase
from taskkit.errors import DataError, TaskkitError
from taskkit.runs import checkpoint, packing
from taskkit.wording import quoted


@dataclass(frozen=True)
class Begun:
    """What a run was when its last checkpoint was written."""

    saved: checkpoint.Saved
    optim: OptimSection
    loader: LoaderSection
    sizes: Mapping[str, int | None]
    """Examples in each split; None: a stream."""
    threads: int | None = None
    """Of torch: sums of others are in another order. None: an older run did not record them."""

    def check(self, built: Built, prepared: Prepared) -> None:
        """Raise DataError, which names what differs, when the data or what was learnt from them are others now."""
        differences = list(self._differences(built, prepared))
        if differences:
            run = self.saved.path.parent.parent
            raise DataError(
                f"{built.recipe.data.name}: these data are not those that {run} was trained on: "
                f"{'; '.join(differences)}. A run goes on with the very same data. Put those back, or begin another "
                f"run: taskkit run {quoted(run)}/recipe.yaml"
            )

    def check_batches(self, loader: Loader | StreamLoader, processes: int) -> None:
        """Raise TaskkitError where so many processes would be trained on other batches, as a whole, than before."""
        before, run = self.saved.processes, self.saved.path.parent.parent
        if processes != before and not self._same_batches(loader, processes):
            raise TaskkitError(
                f"{run} was trained by {before} processes, and {processes} would be trained on other batches. A run "
                f"goes on with the very same ones. Go on with as many: taskkit run --resume {quoted(run)} "
                f"trainer.devices={before}. Where all samples have one shape, another number given so has the same "
                "batches."
            )

    def _same_batches(self, loader: Loader | StreamLoader, processes: int) -> bool:
        section, before = self.loader, self.saved.processes
        if isinstance(loader, StreamLoader):
            return loader.batch_size * processes == section.batch_size * before
        drop, order = section.drop_last, np.arange(loader.plan.samples)
        was = plan(loader.encoded, loader.processor, section.batch_size, section.budget, shuffle=True, drop_last=drop)
        was.world, now = before, replace(loader.plan, world=processes)
        pairs = zip_longest(was.global_batches(order), now.global_batches(order), fillvalue=order[:0])
        return all(np.array_equal(*pair) for pair in pairs)

    def _differences(self, built: Built, prepared: Prepared) -> Iterator[str]:
        before, now = self.saved.spec, packing.pack(built.spec)
        if before["fingerprint"] != now["fingerprint"]:
            yield f"their fingerprint was {before['fingerprint']} and is {now['fingerprint']}"
        sizes = _sizes(prepared)
        for split in SPLITS:
            if split in self.sizes and self.sizes[split] != sizes.get(split):
                yield f"{split} had {self.sizes[split]} examples and has {sizes.get(split, 0)}"
        for side in ("input", "target"):
            if not same(before[side], now[side]):
                yield f"their {side} is described otherwise"
        learnt = dict(built.processor.state_dict())
        names = [
            name
            for name in {**self.saved.processor, **learnt}
            if name not in learnt or not same(self.saved.processor.get(name), learnt[name])
        ]
        if names:
            yield f"the processor of {built.recipe.model.name} learnt something else: {', '.join(names)}"


def _sizes(prepared: Prepared) -> dict[str, int | None]:
    splits = {split: prepared.examples(split) for split in SPLITS}
    return {
        split: None if isinstance(examples, Stream) else len(examples)
        for split, examples in splits.items()
        if isinstance(examples, Stream) or len(examples)
    }


class ChangedRates(pl.Callback):
    """Gives the optimisers and schedules of a run that goes on the rates that its recipe has now.

    Their saved states hold the rates of the recipe before. `ratios`: for each optimiser the rate now over that before.
    """

    def __init__(self, ratios: Sequence[float]) -> None:
        self.ratios = ratios

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Change the rates in a checkpoint that was read, before the optimisers take them."""
        states = zip(checkpoint["optimizer_states"], checkpoint["lr_schedulers"], self.ratios, strict=True)
        for optimiser, schedule, ratio in states:
            for group in optimiser["param_groups"]:
                group["lr"], group["initial_lr"] = group["lr"] * ratio, group["initial_lr"] * ratio
            for rates in ("base_lrs", "_last_lr"):
                schedule[rates] = [rate * ratio for rate in schedule[rates]]


def changed_rates(before: OptimSection, after: OptimSection, phases: Sequence[str]) -> ChangedRates | None:
    """What changes the rates of a run that goes on with other settings; None: they are the same."""
    sections = [(of_phase(before, each), of_phase(after, each)) for each in phases] or [(before, after)]
    ratios = [new.lr / old.lr for old, new in sections]
    return None if set(ratios) == {1.0} else ChangedRates(ratios)
