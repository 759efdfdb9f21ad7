"""The hooks that a plugin may implement: few, declarative and cheap; but for callbacks, none may import torch.

An implementation returns data and changes nothing. An argument may be added at any time, since an implementation takes
those that it names; one goes only after `warn_on_impl_args` has said so for some versions, by `deprecated.warning`.
Lifecycle events are Lightning callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from taskkit.contracts.component import Component, RecipeFile
from taskkit.contracts.guess import Guess, UserData

if TYPE_CHECKING:
    import click
    from pytorch_lightning import Callback

    from taskkit.contracts.recipe import Recipe

GROUP = "taskkit"
"""The entry-point group, and the name of the pluggy project."""

API_VERSION = "0.2"
"""The version of these hooks and of the contracts; a plugin module may state `taskkit_api = ">=0.2,<0.3"`."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def taskkit_components() -> Iterable[Component]:
    """Declare tasks, models and data modules."""
    return ()


@hookspec
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Name the recipes shipped inside the package."""
    return ()


@hookspec
def taskkit_commands() -> Iterable[click.Command]:
    """Add verbs to the command line; a host's verb of the same name wins."""
    return ()


@hookspec
def taskkit_recognise(data: UserData) -> Iterable[Guess]:
    """Say what a person's files may be to this plugin, for `taskkit new data`; nothing where they are not its own."""
    return ()


@hookspec
def taskkit_callbacks(recipe: Recipe) -> Iterable[Callback]:
    """Add Lightning callbacks to the run of a recipe; called just before training, torch may be imported here."""
    return ()


def hooks() -> Mapping[str, Callable[..., Any]]:
    """All of them by name, in their order."""
    return {name: hook for name, hook in globals().items() if name.startswith("taskkit_")}
