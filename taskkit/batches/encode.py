"""From examples to samples: encoded once, by several processes, and kept in the store."""

from __future__ import annotations

import logging
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from taskkit.batches import entries
from taskkit.batches.store import Encoded, PackedSample, Writer, class_name
from taskkit.batches.workers import SLOW_SECONDS, leave_lost_connections_untold, received
from taskkit.cachedir import exclusive, filling
from taskkit.contracts.data import read_example
from taskkit.contracts.facts import Example, is_flag
from taskkit.contracts.model import Processor, Sample
from taskkit.errors import DataError, MachineError
from taskkit.wording import without_stop

log = logging.getLogger("taskkit")

EncodeProgress = Callable[[int, int], None]
"""Called with how many examples are encoded, and of how many."""

MANY, LOOKED_AT = 1000, 8
"""Of so many examples so few tell, before the rest are encoded, how large the samples will be."""

_CHUNK = 16
"""Examples that a worker encodes before it hands them over."""


def encode(
    examples: Sequence[Example],
    processor: Processor,
    *,
    key: str | None,
    workers: int = 0,
    progress: EncodeProgress | None = None,
    about: Mapping[str, Any] | None = None,
    training: bool = False,
) -> Encoded:
    """Encode all examples in order, in `workers` processes (0: this one), or find them encoded under `key`.

    For `training` the samples are those that views are drawn of. Without a key they stay in memory. With one they are
    kept, and least recently used ones are removed until the store is within its limit; `about` is what `taskkit cache`
    shows of them: `data`, `split` and `model`. A field has one dtype throughout; its shape may differ from sample to
    sample, and samples may lack it. Raises DataError, naming the example, when one cannot be encoded or gives no
    sample, and MachineError when the samples cannot be written or a worker dies.
    """
    work = _Work(examples, processor, training)
    if key is None:
        writer = Writer(None)
        _fill(writer, work, workers, progress)
        return writer.encoded()
    entry = entries.folder() / key
    if (found := _found(entry)) is not None:
        return found
    limit = entries.limit()  # whatever is wrong with it is known before the work
    _check_room(entry, work)
    made = _make(entry, work, workers, progress, about or {})
    if limit is not None:
        entries.evict(limit)
    return made


def encode_each(
    examples: Sequence[Example], processor: Processor, workers: int = 0
) -> Iterator[Sequence[Sample] | DataError]:
    """The samples of one example after another, or why there are none, from `workers` processes (0: this one).

    No more are in memory than the processes have ready. Raises MachineError when a worker dies.
    """
    if not workers:
        for number in range(len(examples)):
            try:
                yield samples_of(read_example(examples, number), processor)
            except DataError as error:
                yield error
        return
    for chunk in _chunks(_Work(examples, processor, training=False), workers):
        for result in chunk:
            yield result.error() if isinstance(result, Failure) else [sample.unpacked() for sample in result[1]]


def _found(entry: Path) -> Encoded | None:
    try:
        return Encoded.open(entry) if entry.exists() else None
    except DataError:
        return None


def _check_room(entry: Path, work: _Work) -> None:
    """Raise RunFailedError where a few of the samples tell that all of them do not fit on the disk."""
    total = len(work)
    if total < MANY:
        return
    few = [work[number * (total - 1) // (LOOKED_AT - 1)] for number in range(LOOKED_AT)]
    sizes = [
        sum(len(content) for sample in result[1] for _, _, content in sample.tensors.values())
        for result in few
        if not isinstance(result, Failure)
    ]
    needed = sum(sizes) * total // max(len(sizes), 1)
    place = next(folder for folder in entry.parents if folder.exists())
    if needed > (free := shutil.disk_usage(place).free):
        raise MachineError(
            f"{place}: the encoded samples take about {entries.size_text(needed)}, by {LOOKED_AT} of {total:,} "
            f"examples, and {entries.size_text(free)} are free. Make room, as with `taskkit cache --prune`, name "
            "another place with TASKKIT_CACHE=FOLDER, or encode while training with loader.encode=lazy."
        )


def _make(entry: Path, work: _Work, workers: int, progress: EncodeProgress | None, about: Mapping[str, Any]) -> Encoded:
    """Encode into the store, unless another process did while this one waited for it."""
    with exclusive(entry):
        if (found := _found(entry)) is not None:
            return found
        if entry.exists():
            log.warning("the samples in %s are damaged and are encoded again", entry)
        try:
            with filling(entry) as folder, Writer(folder) as writer:
                _fill(writer, work, workers, progress)
                writer.save({**about, "processor": class_name(work.processor)})
        except OSError as error:
            raise MachineError(
                f"{entry}: the encoded samples cannot be written: {without_stop(str(error))}. Room in the cache was "
                "expected. Make some, as with `taskkit cache --prune`, name another with TASKKIT_CACHE=FOLDER, or do "
                "without it with loader.cache=false."
            ) from error
        return Encoded.open(entry)


def _fill(writer: Writer, work: _Work, workers: int, progress: EncodeProgress | None) -> None:
    """Write all samples, in order; raises what the first example that failed is to raise."""
    done = 0
    for chunk in _chunks(work, workers):
        for result in chunk:
            if isinstance(result, Failure):
                raise result.error()
            writer.add(*result)
        done += len(chunk)
        if progress is not None:
            progress(done, len(work))


class Failure(NamedTuple):
    """Why an example could not be encoded, and where in the code: what a process hands over in place of samples."""

    message: str
    trace: str

    def error(self) -> DataError:
        """The same to be raised; torch would put the whole trace into the message."""
        error = DataError(self.message)
        error.add_note(self.trace)
        return error


@dataclass(frozen=True)
class _Work(Dataset[tuple[str, list[PackedSample]] | Failure]):
    """Encodes one example after another, in any process; errors are handed over like samples."""

    examples: Sequence[Example]
    processor: Processor
    training: bool

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> tuple[str, list[PackedSample]] | Failure:
        try:
            example = read_example(self.examples, number)
            samples = samples_of(example, self.processor, training=self.training)
            with _naming(example, self.processor):
                return example.id, [PackedSample.of(sample, length_of(sample, self.processor)) for sample in samples]
        except DataError as error:
            return Failure(str(error), traceback.format_exc())


def length_of(sample: Sample, processor: Processor) -> int:
    """Units of a sample; raises DataError where there are none and batches are planned by them."""
    length = processor.length(sample)
    if length < 1 and processor.layout != "stacked":
        raise DataError(
            f"{type(processor).__name__} makes a sample of it whose length is {length}. 1 at least was expected: "
            "`encode` is to refuse what is empty, or the data to leave it out."
        )
    return length


def samples_of(example: Example, processor: Processor, *, training: bool = False) -> Sequence[Sample]:
    """What a processor makes of an example; raises DataError, which names it, for whatever the processor raises.

    For `training` it is what views are drawn of.
    """
    with _naming(example, processor):
        if example.fault:
            raise DataError(example.fault)
        samples = processor.drawable(example) if training else processor.encode(example)
        if not samples:
            raise DataError(f"{type(processor).__name__} makes no sample of it. One at least was expected.")
        for sample in samples:
            for name, value in sample.items():
                if not isinstance(value, torch.Tensor):
                    raise DataError(f"field {name!r} is a {type(value).__name__}. A tensor was expected.")
        return samples


def has_own_drawable(processor: Processor) -> bool:
    """Whether views are drawn of other samples than those that are judged."""
    return type(processor).drawable is not Processor.drawable


def view_of(sample: Sample, processor: Processor, random: torch.Generator, example: Callable[[], str]) -> Sample:
    """A fresh training view of a sample, without what marks it; a DataError names the `example`, by its id."""
    plain = {name: value for name, value in sample.items() if not is_flag(name)}
    try:
        return processor.draw(plain, random)
    except DataError as error:
        raise DataError(f"example {example()!r}: {error}") from error


@contextmanager
def _naming(example: Example, processor: Processor) -> Iterator[None]:
    name = f"example {example.id!r}"
    try:
        yield
    except DataError as error:
        if str(error).startswith(name):
            raise
        raise DataError(f"{name}: {error}") from error
    except Exception as error:
        what = f"{type(processor).__name__} cannot encode it: {type(error).__name__}: {error}"
        raise DataError(f"{name}: {what}. Mend the example, or leave it out of the data.") from error


def _chunks(work: _Work, workers: int) -> Iterator[list[tuple[str, list[PackedSample]] | Failure]]:
    # Its own generator leaves torch's alone: a run must not depend on whether its samples were found.
    generator = torch.Generator()
    workers = min(workers, -(-len(work) // _CHUNK))
    timeout = SLOW_SECONDS if workers else 0
    loader = DataLoader(
        work,
        _CHUNK,
        num_workers=workers,
        collate_fn=list,
        generator=generator,
        timeout=timeout,
        worker_init_fn=leave_lost_connections_untold,
    )
    yield from received(loader)
