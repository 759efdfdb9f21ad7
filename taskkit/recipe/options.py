"""Options that a processor or a task declares, filled from words of the command line or from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskkit.contracts.settings import Setting, settings
from taskkit.errors import TaskkitError
from taskkit.recipe.coerce import Misfit, expected, to_section
from taskkit.recipe.merge import scalar
from taskkit.wording import did_you_mean


def parse(words: Sequence[str], takers: Sequence[type]) -> tuple[list[str], dict[str, Any]]:
    """Divide words into inputs and options: `--name value`, `--name=value`, and `--name` alone for what is on or off.

    `takers` are the dataclasses that the options belong to. Raises TaskkitError for an option that none of them has,
    that is given twice, or that lacks its value.
    """
    known = _known(takers)
    inputs: list[str] = []
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--") or word == "--":
            inputs.append(word)
            continue
        flag, given, value = word[2:].partition("=")
        name = flag.replace("-", "_")
        if name not in known:
            raise _unknown(flag, known)
        if name in values:
            raise TaskkitError(f"--{flag} is given twice, and has one value. Leave one of them out.")
        if given:
            values[name] = _worded(value, known[name])
        elif known[name].type is bool:
            values[name] = True
        elif (following := next(rest, None)) is None:
            raise TaskkitError(f"--{flag} needs a value: {known[name].doc}.")
        else:
            values[name] = _worded(following, known[name])
    return inputs, values


def fill(values: Mapping[str, Any], takers: Sequence[type]) -> list[Any]:
    """The dataclasses, each with those of the values that are its own; raises TaskkitError with all that is wrong."""
    known = _known(takers)
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        raise _unknown(unknown, known)
    filled, problems = [], []
    for taker in takers:
        own = {setting.name for setting in settings(taker)}
        given = {name: _as_text(value, known[name]) for name, value in values.items() if name in own}
        try:
            filled.append(to_section(taker, given, (), "predict"))
        except Misfit as misfit:
            problems += [f"--{message}" for _, message in misfit.problems]
    if problems:
        raise TaskkitError("\n".join(problems))
    return filled


def _known(takers: Sequence[type]) -> dict[str, Setting]:
    return {setting.name: setting for taker in takers for setting in settings(taker)}


def _worded(word: str, setting: Setting) -> Any:
    """A user whose name is 1e5, 1_000 or null is called so."""
    return word if _wants_text(setting) else scalar(word)


def _as_text(value: Any, setting: Setting) -> Any:
    """A user whose name is 42 is not a number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if number and _wants_text(setting) else value


def _wants_text(setting: Setting) -> bool:
    return setting.type is str or setting.type == str | None


def _unknown(flag: str, known: Mapping[str, Setting]) -> TaskkitError:
    what = "; ".join(f"--{name} ({expected(setting)}): {setting.doc}" for name, setting in known.items())
    offered = f"It takes {what}." if known else "It takes no options of its own."
    return TaskkitError(f"--{flag} is no option of this run's model or task.{did_you_mean(flag, known)} {offered}")
