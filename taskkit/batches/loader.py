"""Loaders: the order of samples is a function of seed and epoch alone, so a run can go on inside an epoch."""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.util
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from taskkit.batches.encode import Failure, samples_of, view_of
from taskkit.batches.plan import Indices, Plan
from taskkit.batches.raised import Raised
from taskkit.batches.resident import Even, Resident, is_uniform, resident
from taskkit.batches.store import Encoded
from taskkit.batches.workers import SLOW_SECONDS, leave_lost_connections_untold, received
from taskkit.contracts.data import Batch, Stream
from taskkit.contracts.facts import Example, is_flag
from taskkit.contracts.model import Processor, Sample
from taskkit.errors import DataError

Made = TypeVar("Made")

RESIDENT_SHARE = 0.25
"""The share of a device's free memory that resident data may take."""


class HostBatch(NamedTuple):
    """A batch on its way to a task, with what the host knows of it."""

    tensors: Batch
    indices: Indices
    """The number of each of its samples; of a stream the number of its example."""
    real_size: int
    """Their lengths together, padding left out, in the processor's units."""

    @property
    def samples(self) -> int:
        """How many samples it holds."""
        return len(self.indices)


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
        self.batches_done = 0
        self._resume: Mapping[str, int] | None = None
        self._columns: dict[str, Resident] | None = None
        self._read: _Remaining | None = None
        self._data_loader: DataLoader[Any] | None = None

    def place(self, device: torch.device, rank: int, world: int) -> None:
        """Choose the device on which batches are wanted, and which of how many processes this is.

        Raises DataError when resident data were asked for and cannot be.
        """
        self.plan.rank, self.plan.world = rank, world
        uniform = is_uniform(self.encoded, self.processor) and not self._draws
        if self.resident == "yes" and not uniform:
            raise DataError(
                "loader.resident: yes needs samples of one shape, stacked as they are, or lists that are filled up; "
                "these differ, are drawn anew each time or are collated in a way of their own. Set it to auto."
            )
        keep = self.resident == "yes" or (self.resident == "auto" and uniform and fits(self.encoded.nbytes, device))
        self.device = device if keep else None
        self.pin_memory = device.type == "cuda"
        if self.workers is None:
            self.workers = min(8, max(1, (os.cpu_count() or 1) - 1)) if device.type == "cuda" else 0

    def release(self) -> None:
        """End the processes that read, and give the device's memory back; whoever reads again begins anew."""
        self._columns = self._read = self._data_loader = None

    @property
    def samples_per_batch(self) -> float | None:
        """The mean number of samples in a batch, where batches of a budget hold different numbers; else None."""
        return self.plan.samples_per_batch

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[HostBatch]:
        # A generator, so that nothing is read before Lightning has set the epoch.
        resume, self._resume = self._resume, None
        start = resume["batch"] if resume is not None and resume["epoch"] == self.plan.epoch else 0
        self.batches_done = start
        read = self._from_workers if self.device is None else self._from_device
        for batch in read(start):
            # Counted before it is handed over: the state of a checkpoint is that after the batch.
            self.batches_done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches are done."""
        return {"epoch": self.plan.epoch, "batch": self.batches_done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on after the batches that are done, without reading them."""
        self._resume = dict(state)

    @property
    def _draws(self) -> bool:
        """Whether training samples are made anew each time."""
        return self.plan.shuffle and type(self.processor).draw is not Processor.draw

    def _from_device(self, start: int) -> Iterator[HostBatch]:
        assert self.device is not None
        if self._columns is None:
            self._columns = {
                name: resident(column, self.processor.fill_values.get(name), self.device)
                for name, column in self.encoded.columns.items()
                if not is_flag(name)
            }
            self._columns["example"] = Even(torch.from_numpy(self.encoded.example_of).to(self.device))
        batches = list(self.plan.batches(start))
        if not batches:
            return
        # One transfer for the whole epoch: one for each batch would make the host wait for the device.
        order, at = torch.from_numpy(np.concatenate(batches)).to(self.device), 0
        for indices in batches:
            where = order[at : at + len(indices)]
            at += len(indices)
            batch = {name: column.take(where, indices) for name, column in self._columns.items()}
            yield HostBatch(batch, indices, int(self.encoded.lengths[indices].sum()))

    def _from_workers(self, start: int) -> Iterator[HostBatch]:
        if self._data_loader is None:
            self._read = _Remaining(self.plan)
            if self.workers:
                _end_workers_with(os.getpid())
            self._data_loader = DataLoader(
                _Numbered(self.encoded, self.processor, self._draws),
                batch_sampler=self._read,
                collate_fn=_Collate(self.processor),
                num_workers=self.workers or 0,
                pin_memory=self.pin_memory,
                persistent_workers=bool(self.workers),
                timeout=SLOW_SECONDS if self.workers else 0,
                worker_init_fn=_leave_signals_to_the_parent,
                # A generator of its own: the default one draws from torch's and a resumed run would draw once more.
                generator=torch.Generator(),
            )
        assert self._read is not None
        self._read.start = start
        for batch in received(self._data_loader):
            if isinstance(batch, Failure | Raised):
                raise batch.error()
            yield batch


@dataclass
class StreamLoader:
    """Training batches of a stream, encoded while it is read: one epoch after the other, without end.

    All processes together take `world` batches of `batch_size` examples at a time, in the order of the stream, each its
    own. What is left at the end of an epoch and does not give every process a whole batch is left out. Its state is
    where the run goes on after the batches that were trained on.
    """

    stream: Stream
    processor: Processor
    batch_size: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    epoch: int = 0
    start: int = 0
    """The number in the epoch of the first example that was not trained on."""
    samples_per_batch: None = None
    _ahead: deque[tuple[int, int]] = field(default_factory=deque)
    """For each batch that was handed over and not trained on: the epoch and the number of what follows it."""

    def place(self, device: torch.device, rank: int, world: int) -> None:
        """Choose which of how many processes this is."""
        self.rank, self.world = rank, world

    def release(self) -> None:
        """Nothing is held."""

    def __iter__(self) -> Iterator[HostBatch]:
        epoch, start = self.epoch, self.start
        self._ahead.clear()
        while True:
            for number, examples in self._chunks(epoch, start):
                mine = self.rank * self.batch_size
                batch = self._batch(epoch, number + mine, examples[mine : mine + self.batch_size])
                self._ahead.append((epoch, number + len(examples)))
                yield batch
            epoch, start = epoch + 1, 0

    def trained(self) -> None:
        """Count the next batch, in order: whoever trains on them reads some ahead."""
        self.epoch, self.start = self._ahead.popleft()

    def _chunks(self, epoch: int, start: int) -> Iterator[tuple[int, list[Example]]]:
        """What all processes take at a time from number `start` on, with the number of the first example."""
        size, number = self.world * self.batch_size, start
        examples = self.stream.read(epoch, start)
        while len(chunk := list(islice(examples, size))) == size:
            yield number, chunk
            number += size
        if number == 0:
            raise DataError(
                f"{type(self.stream).__name__}: epoch {epoch} has {len(chunk)} examples. A batch for each process was "
                f"expected, {size} in all. Lower loader.batch_size, or look at the stream."
            )

    def _batch(self, epoch: int, first: int, examples: Sequence[Example]) -> HostBatch:
        samples: list[Sample] = []
        numbers: list[int] = []
        for number, example in enumerate(examples, first):
            random = generator(self.seed, epoch, number)
            for sample in samples_of(example, self.processor, training=True):
                samples.append(view_of(sample, self.processor, random, partial(str, example.id)))
                numbers.append(number)
        batch = {**self.processor.collate(samples), "example": torch.tensor(numbers)}
        return HostBatch(batch, np.array(numbers), sum(map(self.processor.length, samples)))

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the number in it of the first example that was not trained on."""
        return {"epoch": self.epoch, "start": self.start}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on there."""
        self.epoch, self.start = state["epoch"], state["start"]


@dataclass
class _Remaining:
    """The batch sampler of what is left of an epoch; samples are drawn by seed, epoch and number."""

    plan: Plan
    start: int = 0

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for indices in self.plan.batches(self.start):
            yield [(self.plan.seed, self.plan.epoch, index) for index in indices.tolist()]

    def __len__(self) -> int:
        return len(self.plan) - self.start


class _One(NamedTuple):
    """A sample, with its own number and its example's."""

    sample_number: int
    example_number: int
    sample: Sample


@dataclass
class _Numbered(Dataset[_One | Failure | Raised]):
    """The samples by seed, epoch and number, in training views of them; what cannot be made is handed over like one.

    Views are drawn one by one: what they are drawn of may be many times as large.
    """

    encoded: Encoded
    processor: Processor
    draws: bool

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, which: tuple[int, int, int]) -> _One | Failure | Raised:
        return _handed_over(partial(self._one, which))

    def _one(self, which: tuple[int, int, int]) -> _One:
        index = which[2]
        sample, number = self.encoded[index], int(self.encoded.example_of[index])
        if self.draws:
            made = view_of(sample, self.processor, generator(*which), lambda: self.encoded.ids[number])
        else:
            made = {name: value for name, value in sample.items() if not is_flag(name)}
        return _One(index, number, made)


@dataclass
class _Collate:
    """The processor's collate, with the numbers of the examples beside it."""

    processor: Processor

    def __call__(self, numbered: Sequence[_One | Failure | Raised]) -> HostBatch | Failure | Raised:
        for each in numbered:
            if isinstance(each, Failure | Raised):
                return each
        return _handed_over(partial(self._batch, [each for each in numbered if isinstance(each, _One)]))

    def _batch(self, numbered: Sequence[_One]) -> HostBatch:
        indices, numbers, samples = zip(*numbered, strict=True)
        batch = {**self.processor.collate(samples), "example": torch.tensor(numbers)}
        return HostBatch(batch, np.array(indices), sum(map(self.processor.length, samples)))


def _handed_over(make: Callable[[], Made]) -> Made | Failure | Raised:
    """What is made, or what is raised instead; in the process that trains, what is no DataError is raised at once."""
    try:
        return make()
    except DataError as error:
        return Failure(str(error), traceback.format_exc())
    except Exception as error:
        if get_worker_info() is None:
            raise
        return Raised.of(error)


def _leave_signals_to_the_parent(worker: int) -> None:
    # A terminal and a scheduler send a signal to all processes of a job; the parent still needs batches then.
    # Workers end when it asks them to by their queue, or is gone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    leave_lost_connections_untold(worker)


@cache
def _end_workers_with(process: int) -> None:
    # Where an error that ends the process still holds a loader, nobody asks its workers by their queue, Python by a
    # SIGTERM that they ignore, and then it waits for them.
    multiprocessing.util.Finalize(None, _kill_workers, exitpriority=0)


def _kill_workers() -> None:
    # Else torch's handler tells of their death as of an error.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def generator(seed: int, epoch: int, number: int) -> torch.Generator:
    """Random numbers that follow from seed, epoch and sample alone, in whatever process and order it is read."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{number}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)


def fits(nbytes: int, device: torch.device) -> bool:
    """Whether so many bytes are small beside the free memory of a device."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return nbytes <= RESIDENT_SHARE * free
