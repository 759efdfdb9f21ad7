"""What a person asks of a new plugin, and whether there can be such a one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from taskkit.contracts.component import KINDS, Kind
from taskkit.errors import PluginError
from taskkit.scaffold.naming import Names

Like = Literal["image", "text", "audio", "table", "pair"]
LIKES: tuple[Like, ...] = get_args(Like)


@dataclass(frozen=True)
class Part:
    """A model or data of a new plugin."""

    name: str
    """The last name of the component."""
    summary: str
    """The line that `taskkit list` shows of it."""


@dataclass(frozen=True)
class Look:
    """What plugins of one kind of inputs have in common; their code is in the templates of the same name."""

    thing: str
    """What one example is called."""
    input: str
    """The fact about the inputs; `{package}` is the plugin's own package."""
    model: Part
    data: Part
    base: str = ""
    """The distribution that has the fact, and components to go with those of the plugin; empty: the plugin itself."""
    lent: tuple[Kind, ...] = ()
    """The kinds of which `base` has a component that can be had anywhere."""


LOOKS: Mapping[Like, Look] = {
    "image": Look(
        "image",
        "taskkit_image.facts:Images",
        Part("cnn", "a small network of convolutions"),
        Part("shapes", "made pictures of circles, squares and crosses"),
        "taskkit-image",
        KINDS,
    ),
    "text": Look(
        "text",
        "taskkit_text.facts:Text",
        Part("bag", "hidden units over hashed n-grams of characters"),
        Part("requests", "made requests to a house, with slips of the finger"),
        "taskkit-text",
        KINDS,
    ),
    "audio": Look(
        "recording",
        "taskkit_speech.facts:Audio",
        Part("filters", "learnt filters, and how loud each is on average"),
        Part("tones", "made tones of four shapes of wave"),
        "taskkit-speech",
        ("task", "model"),
    ),
    "table": Look(
        "row",
        "{package}.facts:Rows",
        Part("mlp", "hidden layers over standardised numbers"),
        Part("tumours", "the tumours of the Wisconsin study, benign or malignant"),
    ),
    "pair": Look(
        "pair",
        "{package}.facts:Pair",
        Part("twins", "one network for both sides, whose answers are compared"),
        Part("digits", "pairs of handwritten digits, of the same number or not"),
    ),
}


@dataclass(frozen=True)
class Answers:
    """A plugin that can be written."""

    names: Names
    kinds: tuple[Kind, ...]
    """The kinds of which it has a component with code of its own."""
    like: Like

    def __post_init__(self) -> None:
        for why in _refusals(self.kinds, self.like):
            raise PluginError(f"--kinds {','.join(self.kinds)} --like {self.like}: {why}")

    @property
    def look(self) -> Look:
        """What it has in common with others of its kind of inputs."""
        return LOOKS[self.like]


def _refusals(kinds: tuple[Kind, ...], like: Like) -> Iterator[str]:
    """Why a recipe of such a plugin could not run."""
    look = LOOKS[like]
    missing = [kind for kind in KINDS if kind not in kinds]
    needed = [kind for kind in missing if kind not in (look.lent if look.base else ("task",))]
    if needed and not look.base:
        yield (
            f"a {look.thing} is an input of the plugin's own, so nothing else has {' or '.join(needed)} for it. Ask "
            "for model and data, with or without a task."
        )
    elif needed:
        yield (
            f"{look.base} has no small {' and '.join(needed)} with classes that can be had anywhere, so no recipe "
            f"would run as it is. Add {' and '.join(needed)} to the kinds; what is written can be deleted later."
        )
