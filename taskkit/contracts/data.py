"""The DataModule contract: raw examples, and the facts about them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from taskkit.contracts.facts import DataProblem, DataSpec, Example, Fact, Split

Batch = Mapping[str, Tensor]
"""Tensors by name. `target` and names that begin with `target_` are the task's, `example` is the host's (the number
of the example in its split); all the others are the network's keyword arguments."""


class DataModule(pl.LightningDataModule):
    """What there is to learn from; it knows no network and makes no loader.

    `config` is the section that the component declares.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.loaders: Mapping[Split, Any] = {}

    @abstractmethod
    def prepare(self, target: type[Fact]) -> DataSpec:
        """Fetch, verify and split, cheaply when that was done before, and state the facts.

        `target` is the fact that the task judges; data that can state only one may ignore it. Called once in every
        process of a run, before any other method. Raises SourceError or DataError.
        """

    @abstractmethod
    def examples(self, split: Split) -> Sequence[Example]:
        """The raw examples of a split, in a fixed order; reading one may read a file. Empty: there is no such split."""

    def augment(self, batch: Batch) -> Batch:
        """Distort a training batch, on the device that it is on, after it got there; by default it stays as it is."""
        return batch

    def inspect(self) -> Iterable[DataProblem]:
        """Look for what is wrong with the data, after `prepare`: unreadable, empty, duplicate, leaking, skewed."""
        return ()

    # What Lightning asks for; the host attaches the loaders.

    def train_dataloader(self) -> Any:
        """The loader that the host attached for training."""
        return self.loaders["train"]

    def val_dataloader(self) -> Any:
        """The loader that the host attached for validation, or none."""
        return self.loaders.get("val", [])

    def test_dataloader(self) -> Any:
        """The loader that the host attached for testing."""
        return self.loaders["test"]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches once they are on the device."""
        if self.trainer is not None and self.trainer.training:
            return self.augment(batch)
        return batch
