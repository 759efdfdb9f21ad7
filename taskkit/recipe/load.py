"""How recipe files and overrides become one recipe, checked, with the origin of each value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.contracts.component import KINDS, Chosen
from taskkit.contracts.recipe import SECTIONS, SWITCHED_OFF, SWITCHES, Key, Recipe, root_settings
from taskkit.errors import Problem, RecipeError
from taskkit.recipe import interpolate, rules
from taskkit.recipe.draft import Draft, Form
from taskkit.recipe.dump import document
from taskkit.recipe.merge import CHANGES, SIZE, Layer, Origin, Tree, dotted, file_layer, override_layer
from taskkit.wording import did_you_mean, nearest, quoted, shown

if TYPE_CHECKING:
    from taskkit.plugins.discovery import Plugins


@dataclass(frozen=True)
class Resolved:
    """A recipe, and where everything in it came from."""

    recipe: Recipe
    files: tuple[Path, ...]
    """The recipe files, in the order in which they were merged."""
    sha256: str
    """Of the bytes of the files, one after the other."""
    notes: tuple[str, ...]
    """What a person should know about the merge: settings that a new component name dropped."""
    origins: Mapping[Key, tuple[Origin, ...]]
    """For each key every value that it was given, the one in force last."""

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data."""
        return self.recipe.plain()

    @property
    def changes(self) -> dict[Key, Any]:
        """The values that `key=value` changes set, by key, where they are in force."""
        last = {key: origins[-1] for key, origins in self.origins.items() if origins}
        return {key: each.value for key, each in last.items() if each.where.startswith("override ")}

    def why(self, key: str) -> dict[str, tuple[Origin, ...]]:
        """Who set a value, or each value of a section: by dotted key every origin, the one in force last.

        Raises RecipeError for a key that is not in the recipe.
        """
        leaves = dict(_leaves(self.plain()))
        wanted = [at for at in leaves if f"{dotted(at)}.".startswith(f"{key}.")]
        if not wanted:
            near = did_you_mean(key, [dotted(at) for at in leaves] + list(self.plain()))
            advice = near or " `taskkit show RECIPE` prints all of it."
            raise RecipeError([Problem("", key, f"{key} is not in the recipe.{advice}")])
        return {dotted(at): self.origins.get(at, ()) for at in wanted}

    def to_yaml(self) -> str:
        """The recipe as YAML that reads back the same, with a comment for where each value came from."""
        return document(self.plain(), {key: _said(origins[-1]) for key, origins in self.origins.items()})


def load(files: Sequence[str | Path], overrides: Sequence[str], plugins: Plugins) -> Resolved:
    """Read recipe files and overlays, merge them left to right and overrides on top, and check the result.

    A file may also be the name of a recipe that a plugin ships. Nothing is fetched and no torch is imported.
    Raises RecipeError with everything that is wrong.
    """
    sources, layers = _read(files, overrides, plugins)
    tree = Tree()
    for layer in layers:
        tree.merge(layer, named=KINDS, switches=SWITCHES)
    draft = _draft(tree, plugins, title=next(iter(sources)).stem)
    draft.problems += rules.problems(draft.parts, draft.components, draft.plugins)
    content = b"".join(sources.values())
    return Resolved(
        recipe=_finished(draft),
        files=tuple(sources),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=tuple(tree.notes),
        origins=tree.origins,
    )


def from_plain(data: Mapping[str, Any], plugins: Plugins, overrides: Sequence[str] = ()) -> Recipe:
    """Read back what `Recipe.plain` gave, with overrides on top.

    The checks of meaning are left out: a run's data may be gone by now. Raises RecipeError when the installed plugins
    do not know the recipe, or not with these fields.
    """
    tree = Tree()
    for layer in (Layer(dict(data), {}), *map(override_layer, overrides)):
        tree.merge(layer, named=KINDS, switches=SWITCHES)
    return _finished(_draft(tree, plugins, title=""))


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell recipe files from `key=value` overrides."""
    files: list[str] = []
    overrides: list[str] = []
    for word in words:
        (overrides if "=" in word and not _exists(Path(word)) else files).append(word)
    return files, overrides


def find(name: str | Path, plugins: Plugins, *, alone: bool = False) -> Path:
    """The path of a recipe file, or of the recipe of this name that a plugin ships; raises RecipeError.

    `alone`: no changes can stand beside it, so none was meant.
    """
    path = Path(name)
    shipped = {recipe.name: recipe.path for recipe in plugins.recipes()}
    if str(name) in shipped and not (_exists(path) and path.is_file()):
        return shipped[str(name)]
    if _exists(path):
        return path
    if clash := plugins.clash("recipe", str(name)):
        raise _no_recipe(str(name), f"{clash.reason}. {clash.hint}")
    beside = [str(file) for folder in (path.parent, Path("recipes")) for file in sorted(folder.glob("*.yaml"))]
    # `mlp` is meant for recipes/mlp.yaml, and `recipes/mlp` too; endings, which all files share, make none alike.
    is_file = path.suffix in (".yaml", ".yml")
    names, files = {known: known for known in shipped}, {Path(known).stem: known for known in reversed(beside)}
    stems = {**names, **files} if is_file else {**files, **names}
    wanted = path.stem if is_file else path.name
    near = f" Did you mean {stems[found]!r}?" if (found := nearest(wanted, stems)) else ""
    if not near and not path.suffix and (broken := plugins.broken):
        # What a plugin that does not load would ship is not known.
        told = "\n".join(map(str, broken))
        raise _no_recipe(str(name), f"no file or recipe of a plugin that loads. It may be one of these:\n{told}")
    advice = (
        near or f" `taskkit list recipes` shows those installed{'' if alone else '; a change is written KEY=VALUE'}."
    )
    raise _no_recipe(str(name), f"there is no such file, and no recipe of this name.{advice}")


def _draft(tree: Tree, plugins: Plugins, title: str) -> Draft:
    return Draft(
        tree,
        plugins.preferring(_preferred(tree)),
        Form(root_settings(), SECTIONS, SWITCHED_OFF, SWITCHES, {"title": title}),
    )


def _preferred(tree: Tree) -> list[str]:
    """The plugins that a recipe prefers: its components are found by them, before anything in it has its type."""
    section = tree.values.get("plugins")
    given = section.get("prefer") if isinstance(section, dict) else None
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def _finished(draft: Draft) -> Recipe:
    """The recipe; raises RecipeError with all problems and their places."""
    if draft.problems:
        where = draft.tree.where
        raise RecipeError([Problem(where(key), dotted(key), message) for key, message in draft.problems])
    chosen: dict[str, Chosen] = {
        kind: Chosen(component, draft.plugins.owner(component), draft.parts[kind])
        for kind, component in draft.components.items()
    }
    parts: dict[str, Any] = {**draft.parts, **chosen}
    return Recipe(**parts)


def _read(
    files: Sequence[str | Path], overrides: Sequence[str], plugins: Plugins
) -> tuple[dict[Path, bytes], list[Layer]]:
    sources: dict[Path, bytes] = {}
    layers: list[Layer] = []
    problems: list[Problem] = []
    if not files:
        raise _no_recipe("", "No recipe was given. Expected a path or a name, such as recipes/vit.yaml.")
    if len(overrides) > CHANGES:
        raise _no_recipe(
            "", f"{len(overrides):,} changes were given. Expected at most {CHANGES:,}: write an overlay file."
        )
    for name in files:
        try:
            path = find(name, plugins)
            sources[path] = _content(path)
            layers.append(file_layer(str(path), sources[path]))
        except RecipeError as error:
            problems += error.problems
    # Names go first: the other overrides of a section must not be lost when one of them starts it afresh.
    names = [f"{kind}.name" for kind in KINDS]
    for override in sorted(overrides, key=lambda word: word.partition("=")[0] not in names):
        try:
            layers.append(override_layer(override))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return sources, layers


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SIZE + 1)  # A file that is too large need not be read to be refused.
    except IsADirectoryError:
        if (path / "run.json").exists():
            message = (
                f"this is a run. Go on with it by `taskkit run --resume {quoted(path)}`, or name its recipe, "
                f"{path / 'recipe.yaml'}, to begin another."
            )
            raise _no_recipe(str(path), message) from None
        inside = ", ".join(str(file) for file in sorted(path.glob("*.yaml"))[:5])
        message = f"this is a directory. Expected a recipe file{f', such as {inside}' if inside else ''}."
    except OSError as error:
        message = f"cannot be read ({error.strerror}). Expected a recipe file. Check its permissions."
    raise _no_recipe(str(path), message)


def _no_recipe(where: str, message: str) -> RecipeError:
    return RecipeError([Problem(where, "", message)])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # A long override is no possible file name.
        return False


def _leaves(values: Mapping[str, Any], at: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*at, name))
        else:
            yield (*at, name), value


def _said(origin: Origin) -> str:
    reference = isinstance(origin.value, str) and interpolate.OPEN in origin.value
    return f"{origin.where}, {shown(origin.value)}" if reference else origin.where
