"""The DataModule contract: what there is to learn from, and the facts about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from torch import Tensor
from typing_extensions import TypeVar

from taskkit.contracts.facts import DataProblem, DataSpec, Example, Fact, Split
from taskkit.contracts.refusal import refuse_ignored
from taskkit.errors import DataError

Batch = Mapping[str, Tensor]
"""Tensors by name. `target` and names that begin with `target_` are the task's, `example` is the host's (the number
of the example in its split); all the others are the network's keyword arguments."""

SectionT = TypeVar("SectionT", default=Any)


class Stream(ABC):
    """The examples of a split that cannot be counted or looked up by number, as those that come from a network.

    A run of one is as long as `trainer.max_steps` says and validates every `trainer.val_check_interval` batches; its
    samples are encoded while it trains, and one epoch follows the other. Where several processes train, each reads all
    examples and takes a batch of its own in turn.
    """

    @abstractmethod
    def read(self, epoch: int, start: int) -> Iterator[Example]:
        """The examples of an epoch from number `start` on.

        Those of one epoch come in the same order each time: that is how a run goes on where it was. A stream without
        end has one epoch.
        """


@dataclass(frozen=True)
class Prepared:
    """Data that were fetched, read and split: whole when it is made, and read as often as anybody likes."""

    spec: DataSpec
    splits: Mapping[Split, Sequence[Example] | Stream]
    """Examples in a fixed order; reading one may read a file. A split that is left out, or empty, is not there."""
    inspect: Callable[[], Iterable[DataProblem]] = tuple
    """Looks for what is wrong with the data: unreadable, empty, duplicate, leaking, skewed."""

    def examples(self, split: Split) -> Sequence[Example] | Stream:
        """The raw examples of a split, empty where there is no such split."""
        return self.splits.get(split, ())


class DataModule(ABC, Generic[SectionT]):
    """What there is to learn from; it knows no network and makes no loader.

    `config` is the section that the component declares.
    """

    def __init__(self, config: SectionT) -> None:
        self.config = config

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse, when it is defined, what nobody would call."""
        super().__init_subclass__(**kwargs)
        refuse_ignored(cls)

    @property
    def augment_settings(self) -> Sequence[str]:
        """The fields of the section that `augment` alone reads: they may change when data were packed into shards."""
        return ()

    @abstractmethod
    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch, verify and split, cheaply when that was done before, and state the facts.

        `target` is the fact that the task judges; data that can state only one may ignore it. Called once in every
        process of a run. Raises SourceError or DataError.
        """

    def augment(self, batch: Batch) -> Batch:
        """Distort a training batch, on the device that it is on, after it got there; by default it stays as it is.

        The names that it may count on are those of `tensors()` of the facts that the data state.
        """
        return batch


def read_example(examples: Sequence[Example], number: int) -> Example:
    """An example; raises DataError, which names it, for whatever reading it raises."""
    try:
        return examples[number]
    except Exception as error:
        why = str(error) if isinstance(error, DataError) else f"it cannot be read: {type(error).__name__}: {error}."
        raise DataError(f"example number {number}: {why}") from error
