"""A run from a recipe to an outcome: prepare, build, encode, train, conclude, test."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from rich.console import Console

from taskkit.batches.encode import EncodeProgress
from taskkit.batches.loader import Loader
from taskkit.compare.intervals import in_words
from taskkit.contracts.component import Chosen
from taskkit.contracts.data import Batch, DataModule, Prepared, Stream
from taskkit.contracts.facts import Example, Split
from taskkit.contracts.recipe import Recipe
from taskkit.contracts.task import Task
from taskkit.engine import build, concluding, describe, inference, optim, outcome, teaching
from taskkit.engine.blocks import called_blocks, recompute
from taskkit.engine.build import Built
from taskkit.engine.chance import FirstLoss, chance_of
from taskkit.engine.checkpointing import Checkpointer, check_planned
from taskkit.engine.distil import Lesson
from taskkit.engine.ending import end, ending
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.finite import Trail
from taskkit.engine.fsdp import FullyShard
from taskkit.engine.guard import calling
from taskkit.engine.loaders import Loaders, PlaceLoaders, fit_at_once, make_loaders
from taskkit.engine.machine import gone
from taskkit.engine.meter import Meter
from taskkit.engine.module import TaskModule
from taskkit.engine.others import Ended, Others, end_with_parent
from taskkit.engine.overflow import Skipped
from taskkit.engine.progress import LiveProgress, Progress, forward_logs
from taskkit.engine.quantise import weight_bytes
from taskkit.engine.resuming import Begun, changed_rates
from taskkit.engine.signals import Signals
from taskkit.engine.space import check_room
from taskkit.engine.threads import set_threads
from taskkit.engine.tracking import Tracking, tracking
from taskkit.engine.trainer import early_stopping, make_trainer, quiet, refuse_no_batches
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.runs import checkpoint, since
from taskkit.runs.checkpoint import Saved
from taskkit.runs.encryption import EncryptionKey
from taskkit.runs.manifest import Cost
from taskkit.runs.record import Record, environment
from taskkit.wording import TELL_AUTHORS, did_you_mean, percent, printable, quoted, some

ENCODING_SECONDS = 5.0
"""How often to print how far the encoding of samples is."""


@dataclass(frozen=True)
class Fitted:
    """What training left: the Trainer, which tests too, the module with the last weights, and what it cost."""

    trainer: pl.Trainer
    module: TaskModule
    cost: Cost
    epoch: int
    """The last one that was trained, counted from 0."""
    lines: int
    """How many lines of metrics there are."""


def _check_baseline(owner: Chosen, task: Task, baseline: Mapping[str, float]) -> None:
    """Raise RunFailedError for what is no number, and for what is no metric of the task, which nobody would see."""
    metrics = task.metrics()
    for name, value in baseline.items():
        if name not in metrics and owner.component.direction(name) is None:
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): `baseline` gave {name!r}, which is no metric of it. Some of "
                f"{', '.join(metrics)} were expected.{did_you_mean(name, metrics)} {TELL_AUTHORS}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): `baseline` gave {value!r} for {name}. A number was expected: leave "
                f"out what the trivial predictor has none of. {TELL_AUTHORS}"
            )


class Run:
    """One process's part in a run; the process of rank 0 keeps the record and prints."""

    def __init__(
        self,
        recipe: Recipe,
        plugins: Plugins,
        directory: Path,
        record: Record | None,
        console: Console,
        key: EncryptionKey | None = None,
        callbacks: Sequence[pl.Callback] = (),
    ) -> None:
        self.recipe = recipe
        self.plugins = plugins
        self.directory = directory
        self.record = record
        self.console = console
        self.key = key
        """With a key all that the run writes of examples is encrypted."""
        self.callbacks = callbacks
        """Of whoever watches the run; they come last."""
        self.signals = Signals()
        self.others = Others(self._lost)

    def execute(self, begun: Begun | None = None) -> None:
        """Prepare, train and test; the record tells how it ended, whatever happens."""
        with quiet(), forward_logs(self.output), self.signals.heard():
            if self.record is None:
                end_with_parent(partial(print, file=sys.stderr))
            with ending(self.recipe, self.directory, self.record, self.signals, self.others, self.output):
                cost, predicts = self._through(begun)
            padded = f", {percent(cost.padding)} of it padding" if cost.padding else ""
            self.output(f"trained in {cost.train_seconds:.0f} s{padded}; run directory {self.directory}")
            self.output(outcome.next_step(self.directory, predicts=predicts))

    def _through(self, begun: Begun | None) -> tuple[Cost, bool]:
        pl.seed_everything(self.recipe.seed, workers=True, verbose=False)
        if fewer := set_threads(self.recipe.trainer, None if begun is None else begun.threads):
            self.output(fewer)
        data = build.data_module(self.recipe)
        prepared = build.prepare(data, self.recipe, self.plugins.components)
        built = build.build(self.recipe, prepared)
        if begun is not None:
            begun.check(built, prepared)
        loaders = make_loaders(built, prepared, self._encoding)
        refuse_no_batches(
            self.recipe.trainer, {split: len(loader) for split, loader in loaders.items() if isinstance(loader, Loader)}
        )
        fit_at_once(loaders, built, prepared)
        self._describe(built, loaders)
        lesson = self._lesson(built, prepared, loaders)
        if begun is None and self.record is not None:
            check_room(built, self.directory, validated="val" in loaders)
        baseline = self._baseline(built, prepared, loaders)
        with tracking(self.recipe, self.record, built.task.headline.metric, self.output) as track:
            fitted = self._fit(built, data, loaders, track, begun, lesson)
            checkpoints, trainer = self.directory / "checkpoints", fitted.trainer
            if isinstance(trainer.strategy, FullyShard):
                built, fitted = self._whole(built, fitted, checkpoints / "last.ckpt")
            best = concluding.use_best(built, checkpoints)
            forward = trainer.precision_plugin.forward_context
            conclusion = concluding.conclude(built, prepared, loaders, trainer.strategy.root_device, forward)
            if conclusion and self.record is not None:
                concluding.keep(conclusion, checkpoints, self.key)
            evaluation = self._test(built, prepared, loaders, fitted, baseline, best)
            if evaluation is not None:
                track.tested(fitted.lines + 1, trainer.global_step, evaluation.metrics)
        return fitted.cost, built.task.predicts

    def output(self, text: str, style: str | None = None) -> None:
        """Print a line, and keep it in the log, with control characters escaped."""
        text = printable(text)
        if self.record is not None:
            self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
            self.record.log(text)

    def _lost(self, ended: Ended) -> None:
        """End this process, whose main thread waits for another that is gone."""
        number = ended.stopped_by
        if number is None:
            message = gone(ended, self.directory)
            end(self.record, "failed", message, "machine")
        else:
            heard = f"{signal.Signals(number).name} in process {ended.rank}"
            message = f"Stopped by {heard}. Go on with: taskkit run --resume {quoted(self.directory)}"
            end(self.record, "preempted", heard)
        self.output(message)
        os._exit(1 if number is None else 128 + number)

    # Data.

    def _encoding(self, split: Split) -> EncodeProgress | None:
        """Prints how far the encoding of a split is."""
        if self.record is None:
            return None
        last = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > ENCODING_SECONDS:
                last = time.monotonic()
                self.output(f"encoding {split}: {done:,} of {total:,}")

        return show

    def _describe(self, built: Built, loaders: Loaders) -> None:
        """Record and print what is about to be trained on what."""
        sizes, flagged = describe.sizes_of(loaders), describe.flagged_in(loaders)
        for line in describe.in_words(built, loaders, sizes, flagged):
            self.output(line)
        if self.key is not None and self.recipe.loader.cache:
            self.output("samples in the cache are not encrypted; loader.cache=false keeps none")
        if self.record is not None:
            self.record.update(
                data=describe.data_record(built, sizes, flagged, named=self.key is None),
                protocol=describe.protocol(built),
                plugins=since.recorded(self.plugins, self.recipe),
                cost=Cost(parameters=describe.parameters_of(built)),
            )

    # Training.

    def _lesson(self, built: Built, prepared: Prepared, loaders: Loaders) -> Lesson | None:
        """What the recipe's teacher says of the training examples; None: it names none."""
        section = self.recipe.distil
        if section is None:
            return None
        protocol, train = describe.protocol(built), loaders["train"]
        found = teaching.taught(section, built, protocol, prepared, train, self.plugins, self.directory)
        if self.record is not None:
            self.record.update(teacher=found.teacher)
        rows, choices = found.lesson.logits.shape
        self.output(f"taught by {found.teacher.run}: its answers to {rows:,} samples, {choices:,} choices each")
        return found.lesson

    def _fit(
        self,
        built: Built,
        data: DataModule,
        loaders: Loaders,
        track: Tracking,
        begun: Begun | None,
        lesson: Lesson | None,
    ) -> Fitted:
        r, headline, train = self.recipe, built.task.headline, loaders["train"]
        count = train.__len__ if isinstance(train, Loader) else _unknown
        contents = partial(checkpoint.contents, r.plain(), built.spec, built.processor.state_dict(), built.plugins)
        place = PlaceLoaders(loaders.values())
        meter = Meter(
            r.meter.every_n_steps,
            built.processor,
            count,
            self.record,
            track,
            self._progress(built),
            Trail(r, self.directory, train),
            flops=r.meter.flops,
        )
        folder = self.directory / "checkpoints"
        checkpointer = Checkpointer(folder, r.checkpoint, headline, contents, self.signals, meter.check, r.seed)
        module = TaskModule(
            built.task,
            r.task,
            augment=None if type(data).augment is DataModule.augment else partial(_augmented, data, r),
            optimisers=partial(
                optim.configure,
                section=r.optim,
                task=built.task,
                blocks=built.model.blocks,
                batches=count,
            ),
            loader=train,
            lesson=lesson,
        )
        others = [*self._callbacks(built, module.host.skipped, "val" in loaders), *self.plugins.callbacks(r)]
        callbacks = [place, *others, meter, checkpointer]
        if begun is not None and (rates := changed_rates(begun.optim, r.optim, built.task.phases)) is not None:
            callbacks.append(rates)
        blocks = called_blocks(built.network, built.model.blocks(built.network))
        trainer = make_trainer(r, [*callbacks, *self.callbacks], count, built.task, self.key, blocks)
        if begun is not None:
            begun.check_batches(train, trainer.world_size)
        self.others.start_by(trainer)
        self._describe_place(trainer, built, data)
        self._check_processes(trainer)
        if r.compile:
            built.network.compile()
        if r.activation_checkpointing:
            recompute(blocks)
        with self.signals.held():
            trainer.fit(module, train, loaders.get("val"), ckpt_path=None if begun is None else str(begun.saved.path))
            # A run that was killed after its last step has nothing to train, and Lightning calls no hook.
            meter.drain(trainer)
            check_planned(trainer, checkpointer.batches, count())
            checkpointer.finish(trainer)
        trainer.strategy.barrier()
        stopped = outcome.stopped_early(trainer, optim.total_steps(trainer, count()))
        if stopped is not None:
            self.output(stopped)
        cost = meter.cost(trainer.strategy.root_device, str(trainer.precision), describe.parameters_of(built))
        if self.record is not None:
            names = {"last": checkpointer.last, "best": checkpointer.best}
            self.record.update(
                cost=cost,
                stopped=stopped,
                checkpoints={
                    name: str(path.relative_to(self.directory)) for name, path in names.items() if path.exists()
                },
            )
        return Fitted(trainer, module, cost, meter.epoch, meter.lines)

    def _whole(self, built: Built, fitted: Fitted, last: Path) -> tuple[Built, Fitted]:
        """What was trained with shares of its weights, whole in each process: some things are asked of one alone."""
        again = build.rebuild(checkpoint.read(last), self.recipe, self.plugins.components)
        module = TaskModule(again.task, self.recipe.task)
        module.history = fitted.module.history
        return replace(again, origins=built.origins), replace(fitted, module=module)

    def _callbacks(self, built: Built, skipped: Skipped, validated: bool) -> list[pl.Callback]:
        section, callbacks = self.recipe.optim, list[pl.Callback]()
        if section.freeze:
            callbacks.append(optim.Freeze(section.freeze, partial(optim.named_parameters, built.task)))
        # A teacher's share of the loss is no cross-entropy of the targets, and chance says nothing of it.
        chance = chance_of(built.task, self.recipe.task) if self.recipe.distil is None else None
        if chance is not None:
            callbacks.append(FirstLoss(chance, bool(built.origins), self.output))
        if section.ema is not None:
            callbacks.append(optim.moving_average(section.ema, skipped))
        if (stop := self.recipe.early_stopping) is not None:
            callbacks.append(
                early_stopping(stop, self.recipe.task.component, built.task.metrics(), built.task.headline, validated)
            )
        return callbacks

    def _progress(self, built: Built) -> Progress:
        unit, headline = built.processor.unit.name, built.task.headline.metric
        if self.record is not None and self.console.is_terminal:
            return LiveProgress(self.console, self.output, headline, unit)
        return Progress(self.output, headline, unit)

    def _describe_place(self, trainer: pl.Trainer, built: Built, data: DataModule) -> None:
        device = trainer.strategy.root_device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        processes = f", {trainer.world_size} processes" if trainer.world_size > 1 else ""
        self.output(f"{trainer.precision} on {name}{processes}; run directory {self.directory}")
        if isinstance(strategy := trainer.strategy, FullyShard):
            at_once = f"{len(strategy.blocks)} blocks one by one" if strategy.blocks else "all of them at once"
            why = "" if strategy.blocks else f", since {self.recipe.model.name} says of no module that it is a block"
            self.output(f"each process keeps its share of the weights and gathers {at_once}{why}")
        if self.record is not None:
            here = {"threads": torch.get_num_threads(), "code": describe.code(built, data)}
            self.record.update(precision=str(trainer.precision), environment={**environment(name), **here})

    def _check_processes(self, trainer: pl.Trainer) -> None:
        if trainer.world_size > 1 and not self.recipe.loader.drop_last:
            raise TaskkitError(
                "loader.drop_last is false, but several processes train and must have as many batches each. "
                "Set loader.drop_last=true."
            )

    # After training.

    def _baseline(self, built: Built, prepared: Prepared, loaders: Loaders) -> Mapping[str, float]:
        """The baseline of the test; before training, since a metric of one process alone would wait for the others."""
        if self.record is None or self._test_loader(loaders) is None:
            return {}
        with calling(self.recipe.task, "baseline"):
            baseline = built.task.baseline(build.head(prepared, "train"), build.head(prepared, "test"))
        _check_baseline(self.recipe.task, built.task, baseline)
        return {f"test/{name}": value for name, value in baseline.items()}

    def _test_loader(self, loaders: Loaders) -> Loader | None:
        loader = loaders.get("test")
        return loader if isinstance(loader, Loader) and self.recipe.trainer.limit_test_batches != 0 else None

    def _test(
        self,
        built: Built,
        prepared: Prepared,
        loaders: Loaders,
        fitted: Fitted,
        baseline: Mapping[str, float],
        best: Saved | None,
    ) -> Evaluation | None:
        """Test what was trained, and record how; None: there is nothing to test on."""
        loader = self._test_loader(loaders)
        if loader is None:
            return None
        examples = prepared.examples("test")
        folder = self.directory / "predictions"
        evaluation = fitted.module.test(fitted.trainer, loader, examples, built.spec, folder, self.key)
        if self.record is not None:
            judged = outcome.tested(best, fitted.trainer, fitted.epoch, built.task.headline)
            self.record.update(tested=judged)
            self.output(outcome.in_words(judged, built.task.headline))
            self._record_test(built, fitted.module, evaluation, baseline)
            self._time_answers(built, fitted, loader, examples)
        return evaluation

    def _time_answers(self, built: Built, fitted: Fitted, loader: Loader, examples: Sequence[Example] | Stream) -> None:
        """Measure how fast the tested weights answer."""
        asked = built.task.predicts and built.task.predicts_in_test
        if self.record is None or not asked or isinstance(examples, Stream):
            return
        trainer = fitted.trainer
        found = inference.measure(
            built, loader, examples, trainer.strategy.root_device, trainer.precision_plugin.forward_context
        )
        self.record.update(cost=replace(fitted.cost, inference=found))
        if (made := self.record.manifest.compressed) is not None:
            held = weight_bytes(built.network)
            self.record.update(compressed=replace(made, bytes_after=held, inference_after=found))

    def _record_test(
        self, built: Built, module: TaskModule, evaluation: Evaluation, baseline: Mapping[str, float]
    ) -> None:
        assert self.record is not None
        self.record.update(metrics=evaluation.metrics, baseline=baseline)
        self.record.rows("predictions", evaluation.rows)
        self.record.update(intervals=evaluation.intervals)
        with calling(self.recipe.task, "tables"):
            tables = dict(built.task.tables(evaluation.results))
        for name, table in tables.items():
            self.record.table(name, table)
        for text in outcome.small(tables, self.console.width):
            self.output(f"{text}\n")
        headline = f"test/{built.task.headline.metric}"
        trivial = f" (baseline {baseline[headline]:.4f})" if headline in baseline else ""
        found = evaluation.intervals.get(headline)
        said = f", {in_words(found)}" if found is not None else ""
        self.output(f"{headline} {evaluation.metrics[headline]:.4f}{said}{trivial}", style="bold")
        for note, names in evaluation.without_interval.items():
            self.output(f"no interval for {some([f'test/{name}' for name in names])}: {note}")
        remarks = tuple(module.remarks("test"))
        for remark in remarks:
            self.output(remark)
        if self.key is None:  # one may quote data
            self.record.update(remarks=remarks)


def _augmented(data: DataModule, recipe: Recipe, batch: Batch) -> Batch:
    with calling(recipe.data, "augment", batch=batch):
        return data.augment(batch)


def _unknown() -> None:
    return None
