"""Training and testing what a recipe says: the only file that makes a Trainer."""

from __future__ import annotations

import logging
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from rich.console import Console

from taskkit.batches import store
from taskkit.batches.loader import Loader, Placement
from taskkit.batches.plan import plan
from taskkit.contracts.data import DataModule
from taskkit.contracts.facts import SPLITS, Example, Split
from taskkit.contracts.recipe import EarlyStopping, Recipe
from taskkit.contracts.task import Headline
from taskkit.data.quality import NAMED
from taskkit.engine import build, optim
from taskkit.engine.build import Built
from taskkit.engine.checkpointing import Keeper, Preempted
from taskkit.engine.evaluate import Rows, sequential
from taskkit.engine.meter import Meter, scalars
from taskkit.engine.progress import LiveProgress, Progress
from taskkit.errors import DataError, RunFailedError, TaskkitError
from taskkit.plugins.discovery import Plugins
from taskkit.runs import checkpoint
from taskkit.runs.record import Record, environment
from taskkit.wording import did_you_mean

ENCODING_SECONDS = 5.0
"""How often to say how far the encoding of samples is."""

PARALLEL_FROM = 10_000
"""Fewer examples than this are encoded sooner by one process than it takes to start several."""

RUN_DIRECTORY = "TASKKIT_RUN_DIRECTORY"
"""Tells the processes that a Trainer starts where the run that they belong to is."""


class Run:
    """One process's part in a run; the process of rank 0 keeps the record and speaks."""

    def __init__(
        self,
        recipe: Recipe,
        plain: Mapping[str, Any],
        plugins: Plugins,
        directory: Path,
        record: Record | None,
        console: Console,
    ) -> None:
        self.recipe = recipe
        self.plain = plain
        self.plugins = plugins
        self.directory = directory
        self.record = record
        self.console = console

    def execute(self, resume: Path | None = None) -> None:
        """Prepare, train and test; the record says how it ended, whatever happens."""
        with quiet(), told(self.say), self._ending():
            pl.seed_everything(self.recipe.seed, workers=True, verbose=False)
            data = build.data_module(self.recipe, self.plugins)
            spec = build.prepare(data, self.recipe, self.plugins)
            built = build.build(self.recipe, data, spec, self.plugins)
            loaders = self._loaders(built, data)
            data.loaders = loaders
            self._describe(built, loaders)
            fit = self._fit(built, data, loaders, resume)
            self._test(built, data, loaders, fit)

    def say(self, text: str, style: str | None = None) -> None:
        """Tell the person, and the log."""
        if self.record is not None:
            self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
            self.record.log(text)

    def _encoding(self, split: Split) -> Callable[[int, int], None] | None:
        """Shows how far the encoding of a split is."""
        if self.record is None:
            return None
        said = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal said
            if time.monotonic() - said > ENCODING_SECONDS:
                said = time.monotonic()
                self.say(f"encoding {split}: {done:,} of {total:,}")

        return show

    # Data.

    def _loaders(self, built: Built, data: DataModule) -> dict[Split, Loader]:
        section, loaders = self.recipe.loader, dict[Split, Loader]()
        for split in SPLITS:
            examples = data.examples(split)
            if len(examples) == 0:
                continue
            encoded = encode(examples, built, split, self.plain["model"], section.cache, self._encoding(split))
            if split == "train":
                order = plan(
                    encoded,
                    built.processor,
                    section.batch_size,
                    section.budget,
                    seed=self.recipe.seed,
                    shuffle=True,
                    drop_last=section.drop_last,
                )
                if len(order) == 0 and self.recipe.trainer.max_epochs != 0:
                    raise DataError(
                        f"loader.batch_size: the training split has {len(encoded)} samples, fewer than one batch of "
                        f"{section.batch_size}. Lower it, or set loader.drop_last=false."
                    )
                loaders[split] = Loader(
                    encoded, built.processor, order, resident=section.resident, workers=section.workers
                )
            else:
                size = section.eval_batch_size or section.batch_size
                loaders[split] = sequential(encoded, built.processor, size, section.budget, workers=section.workers)
        if "train" not in loaders:
            raise DataError(f"{self.recipe.data_name}: the training split is empty. At least one example was expected.")
        return loaders

    def _describe(self, built: Built, loaders: Mapping[Split, Loader]) -> None:
        """Write down and say what is about to be trained on what."""
        sizes = {split: len(loader.encoded.ids) for split, loader in loaders.items()}
        parameters = sum(p.numel() for p in built.network.parameters())
        r = self.recipe
        self.say(f"{r.title or r.model_name}: {r.task_name}, {r.model_name}, {r.data_name}, seed {r.seed}")
        self.say(f"{parameters:,} parameters; " + ", ".join(f"{n:,} {split}" for split, n in sizes.items()))
        notes = {split: loader.encoded.notes() for split, loader in loaders.items()}
        for split, found in notes.items():
            for remark, ids in found.items():
                share, such = len(ids) / sizes[split], ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
                self.say(f"{len(ids):,} of {sizes[split]:,} {split} examples ({share:.1%}): {remark} ({such})")
        if self.record is None:
            return
        metrics = {name: type(metric).__name__ for name, metric in built.task.metrics().items()}
        self.record.update(
            data={
                "name": r.data_name,
                "fingerprint": built.spec.fingerprint,
                "sizes": sizes,
                "notes": {
                    split: {remark: {"count": len(ids), "examples": ids[:NAMED]} for remark, ids in found.items()}
                    for split, found in notes.items()
                },
                "origins": [asdict(origin) for origin in (*built.spec.origins, *built.origins)],
            },
            protocol={
                "task": r.task_name,
                "data": r.data_name,
                "splits": built.spec.fingerprint,
                "headline": list(built.task.headline),
                "metrics": metrics,
                "task_protocol": dict(built.task.protocol()),
                "data_protocol": dict(built.spec.protocol),
            },
            plugins=[asdict(plugin) for plugin in built.plugins],
            cost={"parameters": parameters},
        )

    # Training.

    def _fit(self, built: Built, data: DataModule, loaders: Mapping[Split, Loader], resume: Path | None) -> pl.Trainer:
        r, headline = self.recipe, built.task.headline
        contents = partial(checkpoint.contents, self.plain, built.spec, built.processor.state_dict(), built.plugins)
        keeper = Keeper(self.directory / "checkpoints", r.checkpoint, headline, contents)
        meter = Meter(
            r.meter.every_n_steps,
            loaders["train"],
            self.record,
            self._progress(built, headline),
            flops=r.meter.flops,
        )
        placement = Placement(loaders.values())
        others = [*self._callbacks(built, headline, "val" in loaders), *self.plugins.callbacks(r)]
        rows = Rows(data.examples("test"), built.spec)
        trainer = make_trainer(r, [placement, *others, meter, keeper, rows], len(loaders["train"]))
        self._say_where(trainer)
        self._check_processes(trainer)
        built.task.optimisers = partial(
            optim.configure,
            section=r.optim,
            network=built.network,
            blocks=built.model.blocks(built.network),
            batches=loaders["train"].__len__,
        )
        if r.compile:
            built.network.compile()
        if trainer.global_rank:
            torch.manual_seed(r.seed + trainer.global_rank)
        trainer.fit(built.task, datamodule=data, ckpt_path=None if resume is None else str(resume))
        keeper.save(trainer)
        trainer.strategy.barrier()
        if self.record is not None:
            cost = meter.cost(trainer.strategy.root_device, str(trainer.precision))
            names = {"last": keeper.last, "best": keeper.best}
            self.record.update(
                cost={**self.record.manifest["cost"], **cost},
                checkpoints={
                    name: str(path.relative_to(self.directory)) for name, path in names.items() if path.exists()
                },
            )
        return trainer

    def _callbacks(self, built: Built, headline: Headline, validated: bool) -> list[pl.Callback]:
        section, callbacks = self.recipe.optim, list[pl.Callback]()
        if section.freeze:
            callbacks.append(optim.Freeze(section.freeze, built.network))
        if section.ema is not None:
            callbacks.append(optim.moving_average(section.ema))
        if (stop := self.recipe.early_stopping) is not None:
            callbacks.append(early_stopping(stop, built.task.metrics(), headline, validated))
        return callbacks

    def _progress(self, built: Built, headline: Headline) -> Progress:
        unit = built.processor.unit.name
        if self.record is not None and self.console.is_terminal:
            return LiveProgress(self.console, self.say, headline.metric, unit)
        return Progress(self.say, headline.metric, unit)

    def _say_where(self, trainer: pl.Trainer) -> None:
        device = trainer.strategy.root_device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        processes = f", {trainer.world_size} processes" if trainer.world_size > 1 else ""
        self.say(f"{trainer.precision} on {name}{processes}; run directory {self.directory}")
        if self.record is not None:
            self.record.update(precision=str(trainer.precision), environment=environment(name))

    def _check_processes(self, trainer: pl.Trainer) -> None:
        if trainer.world_size > 1 and not self.recipe.loader.drop_last:
            raise TaskkitError(
                "loader.drop_last is false, but several processes train and must have as many batches each. "
                "Set loader.drop_last=true."
            )

    # Testing.

    def _test(self, built: Built, data: DataModule, loaders: Mapping[Split, Loader], trainer: pl.Trainer) -> None:
        if "test" not in loaders or self.recipe.trainer.limit_test_batches == 0:
            return
        best = self.directory / "checkpoints" / "best.ckpt"
        if best.exists():
            built.network.load_state_dict(checkpoint.read(best).state)
        trainer.test(built.task, datamodule=data, verbose=False)
        if self.record is None:
            return
        results, headline = built.task.results["test"], built.task.headline.metric
        values = scalars(results)
        baseline = built.task.baseline(data.examples("train"), data.examples("test"))
        self.record.update(
            metrics={f"test/{name}": value for name, value in values.items()},
            baseline={f"test/{name}": value for name, value in baseline.items()},
        )
        self.record.rows("predictions", rows_of(trainer))
        for name, table in built.task.tables(results).items():
            self.record.table(name, table)
        trivial = f" (baseline {baseline[headline]:.4f})" if headline in baseline else ""
        self.say(f"test/{headline} {values[headline]:.4f}{trivial}", style="bold")
        for remark in built.task.remarks(results):
            self.say(remark)

    # The end.

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Record how the run ended, and raise what a person should read."""
        try:
            yield
        except Preempted as stop:
            self._end("preempted", str(stop))
            self.say(f"Stopped by {stop} and saved. Go on with: taskkit run --resume {self.directory}")
            raise
        except (KeyboardInterrupt, SystemExit) as stop:
            self._end("preempted", type(stop).__name__)
            raise
        except TaskkitError as error:
            self._end("failed", str(error))
            raise
        except torch.cuda.OutOfMemoryError as error:
            message = out_of_memory(self.recipe, error)
            self._end("failed", message)
            raise RunFailedError(message) from error
        except Exception as error:
            self._end("failed", f"{type(error).__name__}: {error}")
            if self.record is not None:
                self.record.log(traceback.format_exc())
            raise
        self._end("finished", None)
        if self.record is not None:
            seconds = self.record.manifest["cost"]["train_seconds"]
            padding = self.record.manifest["cost"]["padding"]
            padded = f", {padding:.1%} of it padding" if padding else ""
            self.say(f"trained in {seconds:.0f} s{padded}; run directory {self.directory}")

    def _end(self, status: str, reason: str | None) -> None:
        if self.record is not None:
            self.record.end(status, reason)


def early_stopping(
    section: EarlyStopping, metrics: Iterable[str], headline: Headline, validated: bool
) -> pl.callbacks.EarlyStopping:
    """Lightning's early stopping; raises TaskkitError when nothing would tell it that validation got better."""
    if not validated:
        raise TaskkitError("early_stopping: these data have no validation split. Set early_stopping=null.")
    name, known = (section.monitor or headline.metric).removeprefix("val/"), ["loss", *metrics]
    if name not in known:
        raise TaskkitError(
            f"early_stopping.monitor: validation gives no {name!r}.{did_you_mean(name, known)} "
            f"Expected one of {', '.join(known)}."
        )
    mode = section.mode or headline.direction
    return pl.callbacks.EarlyStopping(
        f"val/{name}", mode=mode, patience=section.patience, min_delta=section.min_delta, check_finite=False
    )


def make_trainer(r: Recipe, callbacks: list[pl.Callback], batches: int | None = None) -> pl.Trainer:
    """The Trainer of a recipe; taskkit's own callbacks replace Lightning's logging, bar, summary and checkpoints.

    `batches`: how many an epoch has; validation may be rarer than epochs.
    """
    own = asdict(r.trainer)
    accelerator = own["accelerator"]
    own["precision"] = precision(own["precision"], accelerator)
    own["devices"] = int(own["devices"]) if str(own["devices"]).lstrip("-").isdigit() else own["devices"]
    own["max_steps"] = own["max_steps"] or -1
    own["max_epochs"] = -1 if own["max_epochs"] is None else own["max_epochs"]
    for name in ("limit_train_batches", "limit_val_batches", "limit_test_batches", "val_check_interval"):
        own[name] = int(own[name]) if own[name] > 1 or own[name] == 0 else float(own[name])
    if batches is not None and isinstance(own["val_check_interval"], int) and own["val_check_interval"] > batches:
        own["check_val_every_n_epoch"] = None
    return pl.Trainer(
        **own,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def precision(wanted: str, accelerator: str) -> str:
    """Lightning's name of the precision: `auto` is bf16-mixed where the device computes it natively, else 32-true."""
    if wanted != "auto":
        return wanted
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator == "cpu" or not torch.backends.mps.is_available():
        able = torch.cpu.get_capabilities()
        return "bf16-mixed" if able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16") else "32-true"
    return "32-true"


def rows_of(trainer: pl.Trainer) -> list[dict[str, Any]]:
    """What the trainer's Rows collected in its last test."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, Rows)).rows  # type: ignore[attr-defined]


def encode(
    examples: Sequence[Example],
    built: Built,
    split: Split,
    section: Mapping[str, Any],
    keep: bool,
    progress: Callable[[int, int], None] | None = None,
) -> store.Encoded:
    """A split's encoded samples, from the cache when it has them."""
    key = store.key(built.spec.fingerprint, split, built.processor, section) if keep else None
    workers = (os.cpu_count() or 1) if len(examples) >= PARALLEL_FROM else 0
    return store.encode(examples, built.processor, key=key, workers=workers, progress=progress)


def out_of_memory(r: Recipe, error: Exception) -> str:
    """What to change when the device's memory is full, with the numbers."""
    half = max(1, r.loader.batch_size // 2)
    return (
        f"The device's memory is full ({str(error).splitlines()[0]}). Halve the batch and keep the optimisation the "
        f"same: loader.batch_size={half} trainer.accumulate_grad_batches={2 * r.trainer.accumulate_grad_batches}; "
        "or set trainer.precision=bf16-mixed, or loader.resident=no."
    )


class _Teller(logging.Handler):
    """Says what taskkit's own modules log, such as what is being fetched."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say one message."""
        self.say(record.getMessage())


@contextmanager
def told(say: Callable[[str], None]) -> Iterator[None]:
    """Say what is logged while a run goes on."""
    logger, teller = logging.getLogger("taskkit"), _Teller(say)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)
        logger.setLevel(level)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's banners and hints off the terminal; they are about what taskkit decides itself."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
