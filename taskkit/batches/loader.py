"""Loaders: the order of samples is a function of seed and epoch alone, so a run can go on inside an epoch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import psutil
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from taskkit.batches.plan import Numbers, Plan
from taskkit.batches.store import Encoded, is_note
from taskkit.contracts.data import Batch
from taskkit.contracts.model import Processor, Sample
from taskkit.errors import DataError

RESIDENT_SHARE = 0.25
"""The share of a device's free memory that resident data may take."""


class Loader:
    """Batches of encoded samples, with `example` numbers; its state is saved and restored by the Trainer.

    Resident samples live on the device and batches are cut out of them there; others are read batch by batch, with
    `workers` processes (None: as the device wants).
    """

    def __init__(
        self,
        encoded: Encoded,
        processor: Processor,
        plan: Plan,
        *,
        resident: Literal["auto", "yes", "no"] = "auto",
        workers: int | None = None,
    ) -> None:
        self.encoded = encoded
        self.processor = processor
        self.plan = plan
        # What Lightning looks for in a loader: it calls `set_epoch` of the sampler.
        self.sampler, self.batch_sampler = plan, None
        self.resident = resident
        self.workers = workers
        self.device: torch.device | None = None
        self.pin_memory = False
        self.handed = 0
        self.current: Numbers = np.empty(0, np.int64)
        self._resume: Mapping[str, int] | None = None
        self._columns: dict[str, torch.Tensor] | None = None
        self._read: _Remaining | None = None
        self._data_loader: DataLoader[Any] | None = None

    def place(self, device: torch.device, rank: int, world: int) -> None:
        """Say on which device batches are wanted, by which of how many processes.

        Raises DataError when resident data were asked for and cannot be.
        """
        self.plan.rank, self.plan.world = rank, world
        uniform = is_uniform(self.encoded, self.processor)
        if self.resident == "yes" and not uniform:
            raise DataError(
                "loader.resident: yes needs samples of one shape, stacked as they are; these differ or are collated "
                "in a way of their own. Set it to auto."
            )
        keep = self.resident == "yes" or (self.resident == "auto" and uniform and fits(self.encoded.nbytes, device))
        self.device = device if keep else None
        self.pin_memory = device.type == "cuda"
        if self.workers is None:
            self.workers = min(8, max(1, (os.cpu_count() or 1) - 1)) if device.type == "cuda" else 0

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        # A generator, so that nothing is read before Lightning has set the epoch.
        resume, self._resume = self._resume, None
        start = resume["batch"] if resume is not None and resume["epoch"] == self.plan.epoch else 0
        self.handed = start
        read = self._from_workers if self.device is None else self._from_device
        for self.current, batch in read(start):
            self.handed += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were handed over."""
        return {"epoch": self.plan.epoch, "batch": self.handed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on after the batches that were handed over, without reading them."""
        self._resume = dict(state)

    def useful(self) -> int:
        """The useful size of the batch handed over last, in the processor's lengths."""
        return int(self.encoded.lengths[self.current].sum())

    def _from_device(self, start: int) -> Iterator[tuple[Any, Batch]]:
        if self._columns is None:
            self._columns = {
                name: self._column(name).to(self.device) for name in self.encoded.fields if not is_note(name)
            }
            self._columns["example"] = torch.from_numpy(self.encoded.example_of).to(self.device)
        batches = list(self.plan.batches(start))
        if not batches:
            return
        # One transfer for the whole epoch: one for each batch would make the host wait for the device.
        order, at = torch.from_numpy(np.concatenate(batches)).to(self.device), 0
        for numbers in batches:
            where = order[at : at + len(numbers)]
            at += len(numbers)
            yield numbers, {name: column.index_select(0, where) for name, column in self._columns.items()}

    def _column(self, name: str) -> torch.Tensor:
        column = self.encoded.column(name)
        assert column is not None, "resident data have one shape"
        return column

    def _from_workers(self, start: int) -> Iterator[tuple[Any, Batch]]:
        if self._data_loader is None:
            self._read = _Remaining(self.plan)
            self._data_loader = DataLoader(
                _Numbered(self.encoded),
                batch_sampler=self._read,
                collate_fn=_Collate(self.processor),
                num_workers=self.workers or 0,
                pin_memory=self.pin_memory,
                persistent_workers=bool(self.workers),
                # A generator of its own: the default one draws from torch's and a resumed run would draw once more.
                generator=torch.Generator(),
            )
        assert self._read is not None
        self._read.start = start
        yield from zip(self.plan.batches(start), self._data_loader, strict=True)


@dataclass
class _Remaining:
    """The batch sampler of what is left of an epoch."""

    plan: Plan
    start: int = 0

    def __iter__(self) -> Iterator[list[int]]:
        for numbers in self.plan.batches(self.start):
            yield numbers.tolist()

    def __len__(self) -> int:
        return len(self.plan) - self.start


@dataclass
class _Numbered(Dataset[tuple[int, Sample]]):
    """Samples, each with its example's number."""

    encoded: Encoded

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, i: int) -> tuple[int, Sample]:
        sample = self.encoded[i]
        return int(self.encoded.example_of[i]), {name: value for name, value in sample.items() if not is_note(name)}


@dataclass
class _Collate:
    """The processor's collate, with the numbers of the examples beside it."""

    processor: Processor

    def __call__(self, numbered: Sequence[tuple[int, Sample]]) -> dict[str, torch.Tensor]:
        numbers, samples = zip(*numbered, strict=True)
        return {**self.processor.collate(samples), "example": torch.tensor(numbers)}


class Placement(pl.Callback):
    """Places loaders once the Trainer knows its device and the process its rank; tells the task the size of batches."""

    def __init__(self, loaders: Iterable[Loader]) -> None:
        self.loaders = list(loaders)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Place every loader; training batches are those in random order."""
        for loader in self.loaders:
            loader.place(trainer.strategy.root_device, trainer.global_rank, trainer.world_size)
            if loader.plan.shuffle:
                pl_module.samples_per_batch = loader.plan.samples_per_batch  # type: ignore[assignment]


def is_uniform(encoded: Encoded, processor: Processor) -> bool:
    """Whether all samples have one shape and the processor stacks them as they are."""
    stacked = type(processor).collate is Processor.collate
    return stacked and all(encoded.column(name) is not None for name in encoded.fields if not is_note(name))


def fits(nbytes: int, device: torch.device) -> bool:
    """Whether so many bytes are small beside the free memory of a device."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return nbytes <= RESIDENT_SHARE * free
