"""Facts and sections with a field of every type that a section may have."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from taskkit import Fact, SelfSupervised, setting


@dataclass(frozen=True)
class Points(Fact):
    """Inputs are points."""

    dimensions: int


@dataclass(frozen=True)
class Planar(Points):
    """Inputs are points in a plane."""


@dataclass(frozen=True)
class Sounds(Fact):
    """Inputs are sounds."""


@dataclass(frozen=True)
class Words(Fact):
    """Targets are words."""


@dataclass(frozen=True)
class Hidden(SelfSupervised):
    """Targets are hidden coordinates."""


NOT_A_FACT = 3


@dataclass
class Nothing:
    """No settings."""


@dataclass
class Layer:
    """One layer of a network."""

    width: int = setting(8, "units", ge=1)
    bias: bool = setting(True, "whether units have a bias")


@dataclass
class Net:
    """A network on points."""

    width: int = setting(8, "hidden units", ge=1)
    activation: Literal["relu", "gelu"] = setting("relu", "what follows each layer")
    dropout: float = setting(0.0, "share of units dropped", ge=0, lt=1)
    sizes: list[int] = setting([4, 4], "units of each hidden layer", ge=1)
    scale: tuple[float, float] = setting((0.5, 2.0), "smallest and largest factor")
    depth: int | Literal["auto"] = setting("auto", "layers")
    note: str | None = setting(None, "a remark")
    named: dict[str, float] = setting({}, "factors by name")
    anything: Any = setting(None, "whatever it is")
    last: Layer = field(default_factory=Layer)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Widths that are odd."""
        if self.width % 2:
            yield "width", f"{self.width} is odd. Expected an even number. Write {self.width + 1}."


@dataclass
class Folder:
    """Points in files."""

    root: Path = setting(doc="folder of points")
    labels: str = setting("labels.csv", "file of labels")

    def problems(self) -> Iterator[tuple[str, str]]:
        """A folder that is not there."""
        if not self.root.is_dir():
            yield "root", f"there is no folder '{self.root}'. Expected one with points in it."


@dataclass
class Clumsy:
    """A section whose own check fails."""

    size: int = setting(1, "a size")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Raise."""
        raise ZeroDivisionError("of course")


@dataclass
class Unreadable:
    """A section with a type that does not exist."""

    size: "Nowhere" = 3  # noqa: F821
