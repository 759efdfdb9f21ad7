"""Interpolation between the keys of a recipe: `${optim.lr}`; nothing is called and no environment is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from taskkit.contracts.recipe import Key
from taskkit.recipe.merge import Tree, dotted, items

if TYPE_CHECKING:
    from omegaconf import DictConfig

OPEN = "${"


def resolve(tree: Tree) -> list[tuple[Key, str]]:
    """Put values in the place of references and return what is wrong, as key and message."""
    found = [(key, value) for key, value in items(tree.values) if isinstance(value, str) and OPEN in value]
    if not found:
        return []
    problems = dict(_malformed(found))
    for key in problems:
        _put(tree.values, key, None)
    if len(found) > len(problems):
        _resolve(tree, [key for key, _ in found if key not in problems], problems)
    return [(key, f"{dotted(key)}: {message}") for key, message in problems.items()]


def _malformed(found: list[tuple[Key, str]]) -> Iterator[tuple[Key, str]]:
    # OmegaConf takes a third of a second to import; recipes without references need not wait for it.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for key, text in found:
        if calls(text):
            yield key, f"{text!r} calls a resolver. A recipe only refers to its own keys. Write a value."
            continue
        try:
            OmegaConf.create({"value": text})
        except OmegaConfBaseException:
            yield key, f"{text!r} is not a reference. Expected ${{section.key}}, such as ${{optim.lr}}."


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


def _resolve(tree: Tree, keys: list[Key], problems: dict[Key, str]) -> None:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = OmegaConf.create(tree.values)
    for key in keys:
        try:
            value = _select(config, key)
        except OmegaConfBaseException as error:
            value = None
            reason = str(error).splitlines()[0]
            problems[key] = f"{tree.origins[key][-1].value!r} leads nowhere: {reason}. Refer to a key of this recipe."
        if any(isinstance(item, str) and OPEN in item for _, item in items([value])):
            # Text put together of parts could otherwise become a reference that nobody checked.
            value = None
            problems[key] = f"the result still holds '{OPEN}'. Refer to a key whose value is plain."
        _put(tree.values, key, value)


def _select(config: DictConfig, key: Key) -> Any:
    from omegaconf import OmegaConf

    node: Any = config
    for name in key:
        node = node[int(name)] if OmegaConf.is_list(node) else node[name]
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _put(values: Any, key: Key, value: Any) -> None:
    for name in key[:-1]:
        values = values[int(name)] if isinstance(values, list) else values[name]
    values[int(key[-1]) if isinstance(values, list) else key[-1]] = value
