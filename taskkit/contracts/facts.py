"""The facts that pass from data to models and tasks, without torch: Fact, DataSpec, Example, DataProblem."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args, overload

from taskkit.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Severity = Literal["error", "warning", "info"]
"""Errors make a score wrong, warnings deserve a look, and the rest is good to know."""


@dataclass(frozen=True)
class Fact:
    """What data state about one side of their examples: subclass it as a frozen dataclass of plain values.

    A model or task that needs a fact accepts every subclass of it. The fields are saved in each checkpoint, so they
    hold only None, bool, int, float, str, other facts, a `Catalogue`, and tuples or mappings of these.
    """

    @classmethod
    def reference(cls) -> str:
        """How checkpoints and messages name it: by its public path, `taskkit:Classes` or `package.module:Name`."""
        home = "taskkit" if cls.__module__.startswith("taskkit.") else cls.__module__
        return f"{home}:{cls.__qualname__}"

    def tensors(self) -> Mapping[str, str]:
        """The tensors of a batch that everybody may count on, as `{"image": "uint8 (batch, 3, height, width)"}`.

        Data that distort a batch and tasks that judge it meet the processor on these names. The first batch is checked
        against them: the dtype (`int` and `float` are any of their kind), the number of dimensions, and those of a
        fixed size.
        """
        return {}

    def readable(self, target: Any) -> Any:
        """A raw target as a person reads it, for tables of predictions; by default as it is."""
        return target

    def show(self, value: Any) -> Any:
        """A raw input as a person sees, hears or reads it, for a report; by default as it is.

        It is a text, an `Attachment` (a picture: .png, .jpg, .gif, .webp, .svg; a sound: .wav, .flac, .mp3, .ogg), or a
        list or a mapping of these, whose names stand beside them; of anything else the fields are printed. A small one
        is wanted: a thumbnail, some seconds.
        """
        return value

    def shades(self, value: Any) -> Sequence[Sequence[float]] | None:
        """How dark an input that has no picture is drawn, from 0 to 1, in rows from the top: a spectrogram of a sound.

        Columns follow the input's own order from beginning to end; `value` is the tensor that a network is given. By
        default None: it is drawn as a line.
        """
        return None

    def agrees(self, other: Fact) -> bool:
        """Whether a network made for `other` can be judged on this; by default when they are equal."""
        return self == other


@dataclass(frozen=True)
class Record(Fact):
    """Several facts under names, as of an image and its caption, or of two targets of one example.

    The raw input or target is a mapping with the same names. Subclass it to declare one in a component.
    """

    fields: Mapping[str, Fact] = field(hash=False)
    """A mapping has no hash; equality compares it."""

    def __getitem__(self, name: str) -> Fact:
        return self.fields[name]

    def tensors(self) -> Mapping[str, str]:
        """Those of all fields; a field `digit` names its `target` `target_digit`."""
        return {
            f"target_{name}" if tensor == "target" else tensor: form
            for name, fact in self.fields.items()
            for tensor, form in fact.tensors().items()
        }

    def readable(self, target: Any) -> Any:
        """Each target as a person reads it."""
        return {name: fact.readable(target[name]) for name, fact in self.fields.items()}

    def show(self, value: Any) -> Any:
        """Each field as a person sees, hears or reads it."""
        return {name: fact.show(value[name]) for name, fact in self.fields.items()}

    def agrees(self, other: Fact) -> bool:
        """Whether all fields agree."""
        return (
            isinstance(other, Record)
            and self.fields.keys() == other.fields.keys()
            and all(fact.agrees(other.fields[name]) for name, fact in self.fields.items())
        )


class Catalogue(Sequence[str]):
    """Names by number, of which a checkpoint keeps the size and a hash alone.

    Millions of items would else be saved again with each fact that states them; the names themselves belong to the
    state of the processor that needs them. One that was read back has no names: asking for one raises LookupError.
    """

    def __init__(self, names: Sequence[str] | None, size: int = 0, sha256: str = "") -> None:
        self._names = None if names is None else tuple(names)
        self.size = size if self._names is None else len(self._names)
        self.sha256 = sha256 if self._names is None else _sha256(self._names)

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[str]: ...
    def __getitem__(self, number: int | slice) -> str | Sequence[str]:
        if self._names is None:
            raise LookupError("This catalogue was read back from a checkpoint, which keeps no names.")
        return self._names[number]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and (self.size, self.sha256) == (other.size, other.sha256)

    def __hash__(self) -> int:
        return hash((self.size, self.sha256))

    def __repr__(self) -> str:
        return f"Catalogue of {self.size:,}"


def _sha256(names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{len(name)}:{name}".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Classes(Fact):
    """Each target is one of a fixed, ordered set of classes: the position in `names`."""

    names: tuple[str, ...]
    counts: tuple[int, ...] = ()
    """How many training examples each class has; empty: not known."""

    def __len__(self) -> int:
        return len(self.names)

    def tensors(self) -> Mapping[str, str]:
        """`target`: the number of the class."""
        return {"target": "int (batch)"}

    @classmethod
    def of(cls, labels: Iterable[str], names: Iterable[str] = ()) -> Classes:
        """The classes of training examples: in the order of numbers if all labels are numbers, else of letters.

        `names`, where the order is known, come first.
        """
        counts = Counter(labels)
        others = sorted(set(counts).difference(names))
        # Python makes no number of thousands of digits.
        are_numbers = all(other.isdecimal() and len(other) < 1000 for other in others)
        others.sort(key=int if are_numbers else None)
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
class Values(Fact):
    """Each target is one number, or several: a tuple of floats in the order of `names`."""

    names: tuple[str, ...] = ("value",)
    """What each number is, with its unit where it has one: `price, EUR`."""
    means: tuple[float, ...] = ()
    """Of the training targets, one for each name; a network learns what differs from them."""
    deviations: tuple[float, ...] = ()
    """Standard deviations of the training targets, one for each name; never zero."""

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, targets: Sequence[Sequence[float]], names: Sequence[str] = ("value",)) -> Values:
        """Those of training targets (examples, values); raises DataError when there are none or they are not finite."""
        if not targets or any(len(t) != len(names) or not all(map(math.isfinite, t)) for t in targets):
            raise DataError(
                f"{len(names)} finite numbers were expected in each training target, one for each of "
                f"{', '.join(names)}. Fill in or leave out examples without a target."
            )
        columns = list(zip(*targets, strict=True))
        deviations = tuple(statistics.pstdev(column) or 1.0 for column in columns)
        return cls(tuple(names), tuple(statistics.fmean(column) for column in columns), deviations)

    def tensors(self) -> Mapping[str, str]:
        """`target`: the numbers."""
        return {"target": f"float (batch, {len(self.names)})"}

    def readable(self, target: Any) -> Any:
        """The number itself where there is one only."""
        values = list(target)
        return values[0] if len(self.names) == 1 else dict(zip(self.names, values, strict=True))

    def agrees(self, other: Fact) -> bool:
        """Whether the values are the same; how they lie may differ."""
        return isinstance(other, Values) and self.names == other.names


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
    group: str | None = None
    """What other examples are alike it, as those of one speaker, user or document; None: nobody knows of any. Intervals
    and tests draw such examples together."""
    columns: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """The row of the table that it was read from to predict; it goes with the prediction into a file."""
    fault: str = field(default="", repr=False)
    """Why its input cannot be read, where reading the table found out: it has this error instead of an answer."""


def is_flag(field: str) -> bool:
    """Whether a field of a sample marks it for a person, as `flag_truncated` does; no batch holds it."""
    return field.startswith("flag_")


def flag_words(field: str) -> str:
    """What a person is told of a sample that is marked: the field without its `flag_`, and with blanks."""
    return field.removeprefix("flag_").replace("_", " ")


class TextLine(str):
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


@dataclass(frozen=True)
class Word:
    """A part of an answer that lies at a stretch of the input."""

    text: str
    start: float
    """Where it begins, as a share of the input, from 0 to 1."""
    end: float
    """Where it ends, as a share of the input."""


@dataclass(frozen=True)
class Attachment:
    """A file as a value: in a prediction, such as a mask, the host writes it and gives its path; a report embeds it."""

    content: bytes
    suffix: str
    """How the file's name ends: `.png`."""


Prediction = Mapping[str, Any]
"""One prediction as a person reads it: `prediction` is the answer itself. Values are what JSON can write, or an
Attachment."""
