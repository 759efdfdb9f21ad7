"""From prepared data to loaders: encode each split, plan its batches, place them where the Trainer is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from taskkit.batches import store
from taskkit.batches.encode import EncodeProgress, encode, has_own_drawable
from taskkit.batches.lazy import LazyEncoded
from taskkit.batches.loader import Loader, StreamLoader
from taskkit.batches.plan import Fixed, plan
from taskkit.batches.store import Encoded
from taskkit.contracts.data import Batch, Prepared, Stream
from taskkit.contracts.facts import SPLITS, Example, Split
from taskkit.contracts.model import Model
from taskkit.engine.build import Built
from taskkit.engine.evaluate import sequential
from taskkit.engine.guard import calling
from taskkit.errors import DataError, TaskkitError
from taskkit.shards.read import ShardExamples

PARALLEL_FROM = 10_000
"""Fewer examples than this are encoded sooner by one process than it takes to start several."""

Loaders = Mapping[Split, Loader | StreamLoader]


def make_loaders(built: Built, prepared: Prepared, progress: Callable[[Split], EncodeProgress | None]) -> Loaders:
    """The loaders of all splits that there are; `progress` gives what shows how far the encoding of a split is.

    Raises DataError for a training split that is empty, and for a stream where all of a split is judged; TaskkitError
    for settings that do not fit what there is.
    """
    recipe, loaders = built.recipe, dict[Split, Loader | StreamLoader]()
    for split in SPLITS:
        examples = prepared.examples(split)
        if isinstance(examples, Stream):
            loaders[split] = _of_stream(built, prepared, examples, split)
        elif len(examples):
            encoded = encoded_split(examples, built, split, training=split == "train", progress=progress(split))
            loaders[split] = _for_training(built, encoded) if split == "train" else for_judging(built, encoded)
    if "train" not in loaders:
        raise DataError(f"{recipe.data.name}: the training split is empty. At least one example was expected.")
    return loaders


def encoded_split(
    examples: Sequence[Example],
    built: Built,
    split: Split,
    *,
    training: bool = False,
    progress: EncodeProgress | None = None,
) -> Encoded:
    """A split's encoded samples, from the store when it has them, or encoded lazily, as the recipe wants.

    They are those that are judged, or for `training` those that views are drawn of, where these are others.
    """
    r, spec = built.recipe, built.spec
    training = training and has_own_drawable(built.processor)
    if r.loader.encode == "lazy":
        return LazyEncoded(examples, built.processor, training=training)
    section = r.plain()["model"]
    part = split if split != "train" or r.loader.fraction == 1 else f"{r.loader.fraction} of {split}"
    if training:
        part = f"{part} to be drawn of"
    key = store.key(spec.fingerprint, part, spec.target, built.processor, section) if r.loader.cache else None
    wanted = (os.cpu_count() or 1) if r.loader.workers is None else r.loader.workers
    workers = wanted if len(examples) >= PARALLEL_FROM else 0
    about = {"data": r.data.name, "split": split, "model": r.model.name}
    return encode(
        examples, built.processor, key=key, workers=workers, progress=progress, about=about, training=training
    )


def for_judging(built: Built, encoded: Encoded, **options: Any) -> Loader:
    """A loader that hands over every sample once and in order, in batches for evaluation."""
    section = built.recipe.loader
    size = section.eval_batch_size or section.batch_size
    return sequential(encoded, built.processor, size, section.budget, **{"workers": section.workers, **options})


def judged(loaders: Loaders, built: Built, prepared: Prepared, split: Split) -> Encoded | None:
    """A split's samples as they are judged, from its loader where that has them; None where it has no samples."""
    loader, examples = loaders.get(split), prepared.examples(split)
    if not isinstance(loader, Loader) or isinstance(examples, Stream):
        return None
    if split == "train" and has_own_drawable(built.processor):
        return encoded_split(examples, built, split)
    return loader.encoded


def fit_at_once(loaders: Loaders, built: Built, prepared: Prepared) -> None:
    """Let a model learn what it learns in one go from the encoded training samples."""
    if type(built.model).fit is Model.fit or (encoded := judged(loaders, built, prepared, "train")) is None:
        return
    with calling(built.recipe.model, "fit"):
        built.model.fit(built.network, encoded)


def batches_of(
    loaders: Loaders, built: Built, prepared: Prepared, device: torch.device, split: Split
) -> Iterator[Batch]:
    """The batches of a split on the device, each sample once and in order; none of a split that is not there."""
    encoded = judged(loaders, built, prepared, split)
    if encoded is None:
        return
    once = for_judging(built, encoded, resident="no", workers=0)
    once.place(device, rank=0, world=1)
    for batch in once:
        yield {name: tensor.to(device) for name, tensor in batch.tensors.items()}


def ids_of(loaders: Loaders, split: Split) -> Sequence[str]:
    """The id of each example of a split by its number."""
    loader = loaders.get(split)
    return loader.encoded.ids if isinstance(loader, Loader) else ()


class PlaceLoaders(pl.Callback):
    """Places loaders once the Trainer knows its device and the process its rank."""

    def __init__(self, loaders: Iterable[Loader | StreamLoader]) -> None:
        self.loaders = list(loaders)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Place every loader."""
        for loader in self.loaders:
            loader.place(trainer.strategy.root_device, trainer.global_rank, trainer.world_size)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let go of what they hold: a Trainer outlives its run."""
        for loader in self.loaders:
            loader.release()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch before any checkpoint is written."""
        for loader in self.loaders:
            if isinstance(loader, StreamLoader):
                loader.trained()


def _for_training(built: Built, encoded: Encoded) -> Loader:
    recipe, section = built.recipe, built.recipe.loader
    order = plan(
        encoded,
        built.processor,
        section.batch_size,
        section.budget,
        seed=recipe.seed,
        shuffle=True,
        drop_last=section.drop_last,
    )
    if section.shuffle_shards is not None and isinstance(encoded, LazyEncoded):
        assert isinstance(encoded.examples, ShardExamples)
        order.blocks, order.together = encoded.examples.ends, section.shuffle_shards
    if len(order) == 0 and recipe.trainer.max_epochs != 0:
        raise DataError(
            f"loader.batch_size: the training split has {len(encoded)} samples, fewer than one batch of "
            f"{section.batch_size}. Lower it, or set loader.drop_last=false."
        )
    if isinstance(order, Fixed) and not order.drop_last and len(encoded) % order.batch_size == 1:
        _refuse_one_left(built, len(encoded), order.batch_size)
    return Loader(encoded, built.processor, order, resident=section.resident, workers=section.workers)


def _refuse_one_left(built: Built, samples: int, batch_size: int) -> None:
    """Raise TaskkitError where a batch of one sample would be normalised by itself, at the end of the first epoch."""
    if any(isinstance(module, _BatchNorm) for module in built.network.modules()):
        raise TaskkitError(
            f"loader.drop_last is false, and of {samples} samples in batches of {batch_size} one is left over, by "
            f"which {built.recipe.model.name} cannot take the mean that its batch normalisation needs. Set "
            "loader.drop_last=true, or another loader.batch_size."
        )


def _of_stream(built: Built, prepared: Prepared, stream: Stream, split: Split) -> StreamLoader:
    recipe = built.recipe
    trainer, name = recipe.trainer, recipe.data.name
    if split != "train":
        raise DataError(
            f"{name}: its {split} split is a stream. A sequence of examples was expected, all of which is judged."
        )
    if trainer.max_steps is None:
        raise TaskkitError(f"trainer.max_steps is null, but {name} is a stream, whose end nobody knows. Set it.")
    if prepared.splits.get("val") and trainer.limit_val_batches and trainer.val_check_interval <= 1:
        raise TaskkitError(
            f"trainer.val_check_interval is {trainer.val_check_interval:g}, a share of an epoch, but {name} is a "
            "stream, whose end nobody knows. Set it to a number of batches, or trainer.limit_val_batches=0."
        )
    if trainer.limit_train_batches != 1:
        raise TaskkitError(
            f"trainer.limit_train_batches is {trainer.limit_train_batches:g}, but {name} is a stream, of which "
            "trainer.max_steps is what is used. Set it to 1."
        )
    return StreamLoader(stream, built.processor, recipe.loader.batch_size, recipe.seed)
