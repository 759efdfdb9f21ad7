"""Sections: the typed settings of a recipe, as dataclasses whose fields carry their own documentation."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from taskkit.contracts.deprecation import deprecated

BOUNDS = ("gt", "ge", "lt", "le")

Problems = Iterable[tuple[str, str]]
"""Fields of a section and what is wrong with the meaning of their values: what its `problems()` gives."""


def setting(
    default: Any = MISSING,
    doc: str = "",
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    deprecated: deprecated | None = None,
) -> Any:
    """Declare one field of a section: its default (none: required), its line of documentation and its bounds.

    A list or dictionary given as the default is copied for each section. `gt`, `ge`, `lt` and `le` bound a
    number, or each number of a list; None is always within bounds. A recipe that gives a `deprecated` field is told.
    """
    bounds = {k: v for k, v in zip(BOUNDS, (gt, ge, lt, le), strict=True) if v is not None}
    announced = {} if deprecated is None else {"deprecated": deprecated}
    metadata = {"doc": doc, **bounds, **announced}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Setting:
    """One field of a section, as messages, `show`, schemas and the reference need it."""

    name: str
    type: Any
    default: Any
    """A fresh copy; MISSING: required."""
    doc: str
    bounds: Mapping[str, float]
    announced: deprecated | None = None
    """That it will go; None: it stays."""

    @property
    def required(self) -> bool:
        """Whether a recipe must give it."""
        return self.default is MISSING


def settings(section: type) -> tuple[Setting, ...]:
    """Describe the fields of a section, in their order; raises TypeError for what is not a dataclass."""
    types = typing.get_type_hints(section)
    return tuple(
        Setting(
            name=field.name,
            type=types[field.name],
            default=field.default_factory() if field.default_factory is not MISSING else field.default,
            doc=_doc(field.metadata),
            bounds={name: field.metadata[name] for name in BOUNDS if name in field.metadata},
            announced=field.metadata.get("deprecated"),
        )
        for field in dataclasses.fields(section)
        if field.init
    )


def _doc(metadata: Mapping[str, Any]) -> str:
    announced = metadata.get("deprecated")
    gone = "" if announced is None else f" (deprecated since {announced.since}: use {announced.instead})"
    return f"{metadata.get('doc', '')}{gone}"


def to_plain(value: Any) -> Any:
    """Turn a section, or a value of one, back into plain data: mappings, lists, text, numbers, true, null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


@dataclass
class NoOptions:
    """No options."""


@dataclass(kw_only=True)
class PseudonymSection:
    """Settings of data whose tables name people."""

    pseudonymise: bool = setting(False, "hash what names people and examples with a key, so that no name is in the run")
    key: str | None = setting(
        None, "the file of that key; null: one in your configuration directory, made when it is not there"
    )

    def problems(self) -> Problems:
        """A key without use."""
        if self.key is not None and not self.pseudonymise:
            yield "key", f"{self.key!r} is the key of pseudonyms, but pseudonymise is false. Set it to true."


@dataclass
class ClassificationSection:
    """Settings of every task that chooses one class of a fixed set."""

    label_smoothing: float = setting(0.0, "share of each target spread over all classes", ge=0, lt=1)
    class_weights: Literal["balanced"] | None = setting(
        None, "`balanced` weighs each class by the inverse of its frequency"
    )
    top_k: int = setting(5, "also report top-k accuracy when there are more classes than this", ge=2)


@dataclass
class ClassificationOptions:
    """What may be asked of a task that chooses one class, beside its answer."""

    top: int | None = setting(None, "how many classes are named, the most probable first; null: task.top_k", ge=1)
    probabilities: bool = setting(False, "give the probability of every class")
    entropy: bool = setting(False, "give the entropy of all probabilities, in nats: 0 where it is certain")


CLASSIFICATION_METRICS: Mapping[str, Literal["max", "min"]] = {
    **dict.fromkeys(("accuracy", "precision", "recall", "f1", "top*_accuracy"), "max"),
    "calibration_error": "min",
}
"""The metrics of a `taskkit.Classification` and which way each is better, for the Component of a task."""


@dataclass
class RegressionSection:
    """Settings of every task that predicts numbers."""

    loss: Literal["squared", "absolute", "huber"] = setting("squared", "how far off counts, in standard deviations")


REGRESSION_METRICS: Mapping[str, Literal["max", "min"]] = {"rmse": "min", "mae": "min", "r2": "max"}
"""The metrics of a `taskkit.Regression` and which way each is better, for the Component of a task."""
