"""The facts that pass from data to models and tasks, without torch: Fact, DataSpec, Example, DataProblem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from taskkit.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Severity = Literal["error", "warning", "info"]
"""Errors make a score wrong, warnings deserve a look, and the rest is good to know."""


@dataclass(frozen=True)
class Fact:
    """What data state about one side of their examples: subclass it as a frozen dataclass of plain values.

    A model or task that needs a fact accepts every subclass of it. The fields are saved in each checkpoint, so they
    hold only None, bool, int, float, str and tuples or mappings of these.
    """

    def readable(self, target: Any) -> Any:
        """A raw target as a person reads it, for tables of predictions; by default as it is."""
        return target

    def agrees(self, other: Fact) -> bool:
        """Whether a network made for `other` can be judged on this; by default when they are equal."""
        return self == other


@dataclass(frozen=True)
class Classes(Fact):
    """Each target is one of a fixed, ordered set of classes: the position in `names`."""

    names: tuple[str, ...]
    counts: tuple[int, ...] = ()
    """How many training examples each class has; empty: not known."""

    @classmethod
    def of(cls, labels: Iterable[str], names: Iterable[str] = ()) -> Classes:
        """The classes of training examples: in the order of numbers if all labels are numbers, else of letters.

        `names`, where the order is known, come first.
        """
        counts = Counter(labels)
        others = sorted(set(counts).difference(names))
        others.sort(key=int if all(map(str.isdecimal, others)) else None)
        ordered = (*names, *others)
        return cls(ordered, tuple(counts[name] for name in ordered))

    def number(self, label: str, where: str) -> int:
        """The number of the class of this name; raises DataError, which names `where` it stands, when there is none."""
        if label not in self._numbers:
            known = ", ".join(self.names[:10] + ("…",) * (len(self.names) > 10))
            raise DataError(
                f"{where}: no training example has its class {label!r}. One of {known} was expected. Correct the "
                "label, or add training examples of it."
            )
        return self._numbers[label]

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def readable(self, target: Any) -> Any:
        """The name of the class."""
        return self.names[target]

    def agrees(self, other: Fact) -> bool:
        """Whether the classes are the same; their counts may differ."""
        return isinstance(other, Classes) and self.names == other.names

    def balanced(self) -> list[float]:
        """A weight for each class, inverse to its frequency, whose mean over the training examples is 1.

        Raises DataError when the counts are not known or a class has no training example.
        """
        if not self.counts or 0 in self.counts:
            empty = [name for name, count in zip(self.names, self.counts, strict=False) if not count]
            why = f"no training example has the class {empty[0]!r}" if empty else "the data do not count them"
            raise DataError(
                f"task.class_weights: balanced needs training examples of every class; {why}. Set it to null."
            )
        total, classes = sum(self.counts), len(self.counts)
        return [total / (classes * count) for count in self.counts]


@dataclass(frozen=True)
class SelfSupervised(Fact):
    """A target made of the input alone, so that any data with the right input will do: masked or next parts of it.

    A subclass must be constructible without arguments.
    """


@dataclass(frozen=True)
class Origin:
    """Where data or weights came from, for the record of a run."""

    name: str
    source: str
    """The source that gave it: a folder, the cache, a package and its version, a download."""
    sha256: str = ""
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class DataSpec:
    """The facts that data state before any network is built."""

    input: Fact
    target: Fact
    fingerprint: str
    """A hash of everything that decides the examples and their splits; names cached samples and the protocol."""
    origins: tuple[Origin, ...] = ()
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """What decides how results on these data may be compared, in words and plain values: how they were split."""


@dataclass(frozen=True)
class Example:
    """One raw example: text, a uint8 image, a waveform, a history; no network's idea of it."""

    id: str
    """Stable over runs and machines, unique in its split; names the row in predictions.parquet."""
    input: Any
    target: Any = None
    """None when it is not known, as in prediction."""


class Line(str):
    """A line of text as a person wrote or piped it, which `Processor.read` must not take for the name of a file.

    A model that reads nothing but files takes it as one all the same.
    """


@dataclass(frozen=True)
class DataProblem:
    """Something a person should know about their data before training on them."""

    severity: Severity
    kind: str
    """A short fixed word: `unreadable`, `empty`, `duplicate`, `leak`, `skew`."""
    message: str
    examples: tuple[str, ...] = ()
    """Ids or paths of some of the examples concerned."""


Prediction = Mapping[str, Any]
"""One prediction as a person reads it and JSON can write it; `prediction` is the answer itself."""
