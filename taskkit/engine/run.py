"""A run from a recipe to an outcome: prepare, build, encode, train, conclude, test."""

from __future__ import annotations

import errno
import hashlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console

from taskkit.batches.code import code_of
from taskkit.batches.encode import EncodeProgress
from taskkit.batches.loader import Loader, StreamLoader, is_lost_worker, lost_worker
from taskkit.compare import declared
from taskkit.compare.intervals import in_words
from taskkit.contracts.component import Direction
from taskkit.contracts.data import Batch, DataModule, Prepared
from taskkit.contracts.facts import Split
from taskkit.contracts.recipe import Recipe
from taskkit.data.quality import NAMED, find_missing_splits
from taskkit.engine import build, optim, outcome
from taskkit.engine.build import Built
from taskkit.engine.checkpointing import Checkpointer, check_planned
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.guard import calling
from taskkit.engine.judge import statistics_of
from taskkit.engine.loaders import Loaders, PlaceLoaders, batches_of, ids_of, make_loaders
from taskkit.engine.meter import Meter
from taskkit.engine.module import TaskModule
from taskkit.engine.progress import LiveProgress, Progress
from taskkit.engine.resuming import Begun
from taskkit.engine.signals import Preempted, Signals
from taskkit.engine.trainer import early_stopping, make_trainer, quiet, refuse_no_batches
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.runs import checkpoint
from taskkit.runs.checkpoint import Saved
from taskkit.runs.manifest import Cost, DataRecord, Protocol
from taskkit.runs.record import Record, environment, write_file
from taskkit.wording import printable

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
    stopped: str | None
    """Why it ended before its last step, where it did."""


class Run:
    """One process's part in a run; the process of rank 0 keeps the record and prints."""

    def __init__(
        self, recipe: Recipe, plugins: Plugins, directory: Path, record: Record | None, console: Console
    ) -> None:
        self.recipe = recipe
        self.plugins = plugins
        self.directory = directory
        self.record = record
        self.console = console
        self.signals = Signals()

    def execute(self, begun: Begun | None = None) -> None:
        """Prepare, train and test; the record tells how it ended, whatever happens."""
        with quiet(), forward_logs(self.output), self.signals.heard():
            with self._ending():
                cost, predicts = self._through(begun)
            padded = f", {cost.padding:.1%} of it padding" if cost.padding else ""
            self.output(f"trained in {cost.train_seconds:.0f} s{padded}; run directory {self.directory}")
            self.output(outcome.next_step(self.directory, predicts=predicts))

    def _through(self, begun: Begun | None) -> tuple[Cost, bool]:
        pl.seed_everything(self.recipe.seed, workers=True, verbose=False)
        data = build.data_module(self.recipe)
        prepared = build.prepare(data, self.recipe, self.plugins.components)
        built = build.build(self.recipe, prepared)
        if begun is not None:
            begun.check(built, prepared)
        loaders = make_loaders(built, prepared, self._encoding)
        refuse_no_batches(
            self.recipe.trainer, {split: len(loader) for split, loader in loaders.items() if isinstance(loader, Loader)}
        )
        self._fit_at_once(built, loaders)
        self._describe(built, loaders)
        baseline = self._baseline(built, prepared, loaders)
        fitted = self._fit(built, data, loaders, begun)
        best = self._use_best(built)
        self._conclude(built, fitted, loaders)
        self._test(built, prepared, loaders, fitted, baseline, best)
        return fitted.cost, built.task.predicts

    def output(self, text: str, style: str | None = None) -> None:
        """Print a line, and keep it in the log, with control characters escaped."""
        text = printable(text)
        if self.record is not None:
            self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
            self.record.log(text)

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
        sizes: dict[str, int | None] = {split: _size(loader) for split, loader in loaders.items()}
        parameters = sum(p.numel() for p in built.task.parameters())
        r, task = self.recipe, built.task
        self.output(f"{r.title or r.model.name}: {r.task.name}, {r.model.name}, {r.data.name}, seed {r.seed}")
        counts = ", ".join(f"{'a stream of' if n is None else format(n, ',')} {split}" for split, n in sizes.items())
        self.output(f"{parameters:,} parameters; {counts}")
        for problem in find_missing_splits(loaders):
            self.output(problem.message)
        flagged = {split: loader.encoded.flagged() for split, loader in loaders.items() if isinstance(loader, Loader)}
        for split, found in flagged.items():
            for flag, ids in found.items():
                total = sizes[split] or 1
                some = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
                self.output(f"{len(ids):,} of {total:,} {split} examples ({len(ids) / total:.1%}): {flag} ({some})")
        if self.record is None:
            return
        self.record.update(
            data=DataRecord(
                name=r.data.name,
                fingerprint=built.spec.fingerprint,
                sizes=sizes,
                flagged={
                    split: {flag: {"count": len(ids), "examples": ids[:NAMED]} for flag, ids in found.items()}
                    for split, found in flagged.items()
                    if found
                },
                origins=tuple(asdict(origin) for origin in (*built.spec.origins, *built.origins)),
            ),
            protocol=Protocol(
                task=r.task.name,
                data=r.data.name,
                splits=built.spec.fingerprint,
                headline=(task.headline.metric, task.headline.direction),
                metrics={name: type(metric).__name__ for name, metric in task.metrics().items()},
                task_protocol=dict(task.protocol()),
                data_protocol=dict(built.spec.protocol),
                statistics={
                    name: declared.written(statistic, _direction(built, name))
                    for name, statistic in statistics_of(task, r.task).items()
                },
            ),
            plugins=tuple(asdict(plugin) for plugin in built.plugins),
            cost=Cost(parameters=parameters),
        )

    # Training.

    def _fit_at_once(self, built: Built, loaders: Loaders) -> None:
        """Let a model learn what it learns in one go from the encoded training samples."""
        train = loaders["train"]
        if isinstance(train, Loader):
            with calling(self.recipe.model, "fit"):
                built.model.fit(built.network, train.encoded)

    def _fit(self, built: Built, data: DataModule, loaders: Loaders, begun: Begun | None) -> Fitted:
        r, headline, train = self.recipe, built.task.headline, loaders["train"]
        count = train.__len__ if isinstance(train, Loader) else _unknown
        contents = partial(checkpoint.contents, r.plain(), built.spec, built.processor.state_dict(), built.plugins)
        checkpointer = Checkpointer(self.directory / "checkpoints", r.checkpoint, headline, contents, self.signals)
        place = PlaceLoaders(loaders.values())
        meter = Meter(
            r.meter.every_n_steps,
            built.processor,
            count(),
            self.record,
            self._progress(built),
            flops=r.meter.flops,
        )
        module = TaskModule(
            built.task,
            r.task,
            augment=None if type(data).augment is DataModule.augment else partial(_augmented, data, r),
            optimisers=partial(
                optim.configure,
                section=r.optim,
                task=built.task,
                blocks=built.model.blocks(built.network),
                batches=count,
            ),
            loader=train,
        )
        others = [*self._callbacks(built, "val" in loaders), *self.plugins.callbacks(r)]
        callbacks = [place, *others, meter, checkpointer]
        trainer = make_trainer(r, callbacks, count(), built.task)
        self._describe_place(trainer, built, data)
        self._check_processes(trainer)
        if r.compile:
            built.network.compile()
        if trainer.global_rank:
            torch.manual_seed(r.seed + trainer.global_rank)
        with self.signals.held():
            trainer.fit(module, train, loaders.get("val"), ckpt_path=None if begun is None else str(begun.saved.path))
            # A run that was killed after its last step has nothing to train, and Lightning calls no hook.
            meter.drain(trainer)
            check_planned(trainer, checkpointer.batches, count())
            checkpointer.finish(trainer)
        trainer.strategy.barrier()
        stopped = outcome.stopped_early(trainer)
        if stopped is not None:
            self.output(stopped)
        parameters = sum(p.numel() for p in built.task.parameters())
        cost = meter.cost(trainer.strategy.root_device, str(trainer.precision), parameters)
        if self.record is not None:
            names = {"last": checkpointer.last, "best": checkpointer.best}
            self.record.update(
                cost=cost,
                stopped=stopped,
                checkpoints={
                    name: str(path.relative_to(self.directory)) for name, path in names.items() if path.exists()
                },
            )
        return Fitted(trainer, module, cost, meter.epoch, stopped)

    def _callbacks(self, built: Built, validated: bool) -> list[pl.Callback]:
        section, callbacks = self.recipe.optim, list[pl.Callback]()
        if section.freeze:
            callbacks.append(
                optim.Freeze(
                    section.freeze, {**dict(built.network.named_parameters()), **optim.own_parameters(built.task)}
                )
            )
        if section.ema is not None:
            callbacks.append(optim.moving_average(section.ema))
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
        if self.record is not None:
            here = {"threads": torch.get_num_threads(), "code": _code(built, data)}
            self.record.update(precision=str(trainer.precision), environment={**environment(name), **here})

    def _check_processes(self, trainer: pl.Trainer) -> None:
        if trainer.world_size > 1 and not self.recipe.loader.drop_last:
            raise TaskkitError(
                "loader.drop_last is false, but several processes train and must have as many batches each. "
                "Set loader.drop_last=true."
            )

    # After training.

    def _use_best(self, built: Built) -> Saved | None:
        """Take the best weights, where a validation chose some."""
        path = self.directory / "checkpoints" / "best.ckpt"
        if not path.exists():
            return None
        best = checkpoint.read(path)
        built.task.load_state_dict(best.state)
        return best

    def _conclude(self, built: Built, fitted: Fitted, loaders: Loaders) -> None:
        """Let the task make what is kept beside its weights, and take it as whoever reads the run back will."""
        device = fitted.trainer.strategy.root_device
        task = built.task.to(device)
        training = task.training
        task.eval()
        owner = self.recipe.task
        with torch.no_grad(), fitted.trainer.precision_plugin.forward_context(), calling(owner, "conclude"):
            conclusion = dict(task.conclude(partial(batches_of, loaders, built, device), partial(ids_of, loaders)))
        task.train(training)
        if not conclusion:
            return
        checkpoint.check_plain(f"{owner.name} ({owner.plugin}): `conclude`", conclusion)
        kept = {name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in conclusion.items()}
        with calling(owner, "load_conclusion"):
            task.load_conclusion(kept)
        if self.record is not None:
            with write_file(self.directory / "checkpoints" / checkpoint.CONCLUSION) as path:
                torch.save(kept, path)

    def _baseline(self, built: Built, prepared: Prepared, loaders: Loaders) -> Mapping[str, float]:
        """The baseline of the test; before training, since a metric of one process alone would wait for the others."""
        if self.record is None or self._test_loader(loaders) is None:
            return {}
        with calling(self.recipe.task, "baseline"):
            baseline = built.task.baseline(build.head(prepared, "train"), build.head(prepared, "test"))
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
    ) -> None:
        loader = self._test_loader(loaders)
        if loader is None:
            return
        examples = prepared.examples("test")
        evaluation = fitted.module.test(fitted.trainer, loader, examples, built.spec, self.directory / "predictions")
        if self.record is not None:
            judged = outcome.tested(best, fitted.trainer, fitted.epoch, built.task.headline)
            self.record.update(tested=judged)
            self.output(outcome.in_words(judged, built.task.headline))
            self._record_test(built, fitted.module, evaluation, baseline)

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
        for remark in module.remarks("test"):
            self.output(remark)

    # The end.

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Record how the run ended, and raise what a person should read."""
        try:
            yield
        except Preempted as stop:
            self._preempted(stop)
            raise
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning's answer to a signal that came before this run listened again.
            if self.signals.number is not None:
                preempted = Preempted(self.signals.number, "before training", saved=False)
                self._preempted(preempted)
                raise preempted from stop
            self._end("preempted", type(stop).__name__)
            raise
        except TaskkitError as error:
            self._end("failed", str(error))
            if error.__cause__ is not None and self.record is not None:
                self.record.log(traceback.format_exc())
            raise
        except Exception as error:
            message = self._explained(error)
            self._end("failed", message or f"{type(error).__name__}: {error}")
            if message is not None:
                raise RunFailedError(message) from error
            if self.record is not None:
                self.record.log(traceback.format_exc())
            raise
        self._end("finished", None)

    def _explained(self, error: Exception) -> str | None:
        if isinstance(error, torch.OutOfMemoryError):
            return out_of_memory(self.recipe, error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return (
                f"{self.directory}: the disk is full or a file is larger than it may be ({error.strerror}). The "
                f"checkpoint before is whole. Make room, and go on with: taskkit run --resume {self.directory}"
            )
        return str(lost_worker(error)) if is_lost_worker(error) else None

    def _preempted(self, stop: Preempted) -> None:
        self._end("preempted", str(stop))
        saved = " and saved" if stop.saved else ""
        self.output(f"Stopped by {stop}{saved}. Go on with: taskkit run --resume {self.directory}")

    def _end(self, status: Any, reason: str | None) -> None:
        if self.record is None:
            return
        try:
            self.record.end(status, reason)
        except OSError:
            # Of a disk that is still full: why the run failed matters more.
            if status != "failed":
                raise


def out_of_memory(r: Recipe, error: Exception) -> str:
    """What to change when the device's memory is full, with the numbers."""
    half = max(1, r.loader.batch_size // 2)
    return (
        f"The device's memory is full ({str(error).splitlines()[0]}). Halve the batch and keep the optimisation the "
        f"same: loader.batch_size={half} trainer.accumulate_grad_batches={2 * r.trainer.accumulate_grad_batches}; "
        "or set trainer.precision=bf16-mixed, or loader.resident=no."
    )


class _ConsoleHandler(logging.Handler):
    """Prints what taskkit's own modules log, such as what is being fetched."""

    def __init__(self, output: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        self.output(record.getMessage())


@contextmanager
def forward_logs(output: Callable[[str], None]) -> Iterator[None]:
    """Print what is logged while a run goes on."""
    logger, handler = logging.getLogger("taskkit"), _ConsoleHandler(output)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _augmented(data: DataModule, recipe: Recipe, batch: Batch) -> Batch:
    with calling(recipe.data, "augment", batch=batch):
        return data.augment(batch)


def _direction(built: Built, metric: str) -> Direction | None:
    headline = built.task.headline
    return headline.direction if metric == headline.metric else built.recipe.task.component.direction(metric)


def _code(built: Built, data: DataModule) -> dict[str, str | None]:
    """A hash of the code of each component, its package and what that has open to be edited; None: unreadable."""
    classes = {"task": type(built.task), "model": type(built.model), "data": type(data)}
    codes = {kind: code_of(each) for kind, each in classes.items()}
    return {
        kind: None if code is None else hashlib.sha256(repr(sorted(code.files.items())).encode()).hexdigest()
        for kind, code in codes.items()
    }


def _size(loader: Loader | StreamLoader) -> int | None:
    return len(loader.encoded.ids) if isinstance(loader, Loader) else None


def _unknown() -> None:
    return None
