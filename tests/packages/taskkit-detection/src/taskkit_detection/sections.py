"""The facts and settings of the plugin, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskkit import Fact, setting


@dataclass(frozen=True)
class Pictures(Fact):
    """Each input is a picture: uint8 (height, width, 3); networks see it as a square of `size` pixels."""

    size: int

    def tensors(self) -> Mapping[str, str]:
        """`image`: the picture, channels first."""
        return {"image": f"uint8 (batch, 3, {self.size}, {self.size})"}


@dataclass(frozen=True)
class Boxes(Fact):
    """Each target is a list of `{"label": name, "box": [left, top, right, bottom]}`, in pixels of the picture."""

    names: tuple[str, ...]

    def tensors(self) -> Mapping[str, str]:
        """`target_boxes` in pixels of `image`, and `target_labels`, numbers of `names`; -1 where a batch is padded."""
        return {"target_boxes": "float (batch, boxes, 4)", "target_labels": "int (batch, boxes)"}


@dataclass
class Answer:
    """What `taskkit predict` takes."""

    threshold: float = setting(0.5, "leave out objects with a lower score", ge=0, le=1)


@dataclass
class Retina:
    """Settings of the network."""

    width: int = setting(32, "channels", ge=8)
    anchors: list[int] = setting(
        [16, 24], "sides of the boxes that those of objects are measured from, in pixels", gt=0
    )


@dataclass
class Shapes:
    """Settings of the data."""

    train: int = setting(256, "training pictures", ge=1)
    val: int = setting(32, "validation pictures", ge=0)
    test: int = setting(33, "test pictures", ge=0)
    size: int = setting(64, "pixels on a side", ge=32)
    flip: float = setting(0.5, "share of training pictures seen in a mirror", ge=0, le=1)
