"""Interpolation between the keys of a recipe: `${optim.lr}`; nothing is called and no environment is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from taskkit.contracts.recipe import Key
from taskkit.recipe.merge import Tree, dotted, items
from taskkit.wording import shown

if TYPE_CHECKING:
    from omegaconf import DictConfig

OPEN = "${"
MISSING = "???"
"""What OmegaConf takes for a value that is not there yet."""
REFERENCES = 100
"""The most references in a recipe."""
GROWTH = 20_000
"""The most characters that all references together may stand for, so that ten lines cannot stand for a billion."""


def resolve(tree: Tree) -> list[tuple[Key, str]]:
    """Put values in the place of references and return what is wrong, as key and message.

    A reference may lead to others; all of them together may not grow a recipe by more than `GROWTH`.
    """
    found = [(key, value) for key, value in items(tree.values) if isinstance(value, str) and OPEN in value]
    if not found:
        return []
    problems = dict(_malformed(found))
    if sum(value.count(OPEN) for _, value in found) > REFERENCES:
        problems |= {(): f"the recipe holds more than {REFERENCES} references. Write values instead."}
    for key, _ in found:
        _put(tree.values, key, None)
    if () not in problems:
        problems |= _resolve(tree, {key: text for key, text in found if key not in problems})
    return [(key, f"{dotted(key)}: {message}" if key else message) for key, message in problems.items()]


def _malformed(found: list[tuple[Key, str]]) -> Iterator[tuple[Key, str]]:
    # OmegaConf takes a third of a second to import; recipes without references need not wait for it.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for key, text in found:
        if calls(text):
            yield key, f"{shown(text)} calls a resolver. A recipe only refers to its own keys. Write a value."
            continue
        try:
            OmegaConf.create({"value": text})
        except OmegaConfBaseException:
            yield key, f"{shown(text)} is not a reference. Expected ${{section.key}}, such as ${{optim.lr}}."


def calls(text: str) -> bool:
    """Whether a colon stands inside `${…}`, however nested or escaped: that is how a resolver is called."""
    depth = 0
    for i, character in enumerate(text):
        if text.startswith(OPEN, i):
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == ":" and depth:
            return True
    return False


def _resolve(tree: Tree, texts: Mapping[Key, str]) -> dict[Key, str]:
    """Resolve each reference once all that it leads to is plain, so that none is followed twice; return problems."""
    from omegaconf import OmegaConf

    config, problems, waiting = OmegaConf.create(tree.values), dict[Key, str](), dict(texts)
    for key in waiting:
        _put_node(config, key, MISSING)
    room, before, forwards = GROWTH, len(waiting) + 1, True
    while len(waiting) < before:
        before = len(waiting)
        # A chain of references may lead up or down the page.
        turn, forwards = list(waiting.items())[:: 1 if forwards else -1], not forwards
        for key, text in turn:
            value, problem = _follow(config, key, text)
            if value is MISSING:
                continue
            del waiting[key]
            room -= _size(value)
            if room < 0:
                problem = (
                    f"with {shown(text)} the references stand for more than {GROWTH:,} characters. "
                    "Refer to something smaller."
                )
                return {**problems, key: problem}
            if problem:
                problems[key] = problem
            else:
                _put(tree.values, key, value)
                _put_node(config, key, value)
    unmet = "leads back to itself or to a broken reference. Refer to a key whose value is plain."
    return problems | {key: f"{shown(text)} {unmet}" for key, text in waiting.items()}


def _follow(config: DictConfig, key: Key, text: str) -> tuple[Any, str]:
    """The value of a reference, MISSING when it leads to one that is not resolved yet; or what is wrong with it."""
    from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

    _put_node(config, key, text)
    try:
        value = _select(config, key)
    except (InterpolationToMissingValueError, MissingMandatoryValue):
        return MISSING, ""
    except OmegaConfBaseException as error:
        return None, f"{shown(text)} leads nowhere: {str(error).splitlines()[0]}. Refer to a key of this recipe."
    finally:
        _put_node(config, key, MISSING)
    if any(isinstance(item, str) and OPEN in item for _, item in items([value])):
        # Text put together of parts could otherwise become a reference that nobody checked.
        return None, f"the result still holds '{OPEN}'. Refer to a key whose value is plain."
    return value, ""


def _size(value: Any) -> int:
    """How much a value adds to a recipe: a character for each one of its text, and one for each thing in it."""
    return sum(1 if isinstance(item, dict | list) else 1 + len(str(item)) for _, item in items([value]))


def _select(config: DictConfig, key: Key) -> Any:
    from omegaconf import OmegaConf

    node = _node(config, key)
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True) if OmegaConf.is_config(node) else node


def _node(config: Any, key: Key) -> Any:
    from omegaconf import OmegaConf

    for name in key:
        config = config[int(name)] if OmegaConf.is_list(config) else config[name]
    return config


def _put_node(config: DictConfig, key: Key, value: Any) -> None:
    from omegaconf import OmegaConf

    parent = _node(config, key[:-1])
    parent[int(key[-1]) if OmegaConf.is_list(parent) else key[-1]] = value


def _put(values: Any, key: Key, value: Any) -> None:
    for name in key[:-1]:
        values = values[int(name)] if isinstance(values, list) else values[name]
    values[int(key[-1]) if isinstance(values, list) else key[-1]] = value
