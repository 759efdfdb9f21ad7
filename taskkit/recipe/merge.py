"""Recipe files and overrides as layers of plain values, merged left to right; each value keeps its origin."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from taskkit.contracts.recipe import Key
from taskkit.errors import Problem, RecipeError
from taskkit.wording import shown

DEFAULT = "default"

SIZE = 250_000
"""The most bytes of a recipe file, and the most characters of a change."""
VALUES = 10_000
"""The most values in a file or a change, sections and lists among them."""
CHANGES = 1_000
"""The most changes on top of the files."""
DEPTH = 20
"""The most levels of sections and lists."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# Without the times, octals and `yes` that YAML 1.1 turns into numbers and booleans behind a writer's back.
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]{0,30})")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9_]*)(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF|nan|NaN|NAN)")
_OVERRIDE = re.compile(r"(?P<key>[^.=\s]+(\.[^.=\s]+)*)=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True)
class Origin:
    """A value as it was written, and where: `file:line:column`, `override 'key=value'` or `default`."""

    where: str
    value: Any
    text: str = ""
    """What stands there, of a whole number that is not written as Python writes it, such as `1_000`; else empty."""


@dataclass(frozen=True)
class Layer:
    """The values of one file or override, and the place of each."""

    values: dict[str, Any]
    places: Mapping[Key, str]
    texts: Mapping[Key, str] = field(default_factory=dict)
    """What stands there, of whole numbers that are not written as Python writes them."""


@dataclass
class Tree:
    """Layers merged: mappings by key, anything else replaced by the later layer."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, tuple[Origin, ...]] = field(default_factory=dict)
    """For each key every value that it was given, the one in force last."""
    notes: list[str] = field(default_factory=list)
    """What a person should know about the merge."""

    def merge(self, layer: Layer, named: Iterable[str] = (), switches: Iterable[str] = ()) -> None:
        """Lay a layer on top; a section of `named` starts afresh where the layer gives it another name.

        So does one of `switches` where the layer lists the names of those that are on.
        """
        for section in named:
            self._rename(section, layer)
        for section in switches:
            if (listed := _switched_on(section, layer)) is not layer:
                self.values.pop(section, None)
                layer = listed
        if () in layer.places:
            self._remember((), layer.values, layer)
        self._lay(layer.values, self.values, (), layer)

    def under(self, defaults: Mapping[str, Any]) -> None:
        """Put default values beneath those that are given."""
        self._fill(defaults, self.values, ())

    def where(self, key: Key) -> str:
        """The place of a value, or of the section around it: where that was named, else where it begins."""
        own = self._written(key)
        if own and not isinstance(own[-1].value, dict):
            return own[-1].where
        for end in range(len(key), -1, -1):
            if end and (named := self._written((*key[:end], "name"))):
                return named[-1].where
            if section := self._written(key[:end]):
                return section[0].where
        return ""

    def _written(self, key: Key) -> list[Origin]:
        return [origin for origin in self.origins.get(key, ()) if origin.where != DEFAULT]

    def _rename(self, section: str, layer: Layer) -> None:
        before, after = self.values.get(section), layer.values.get(section)
        if not isinstance(before, dict) or not isinstance(after, dict):
            return
        old, new = before.get("name"), after.get("name", before.get("name"))
        if old is None or old == new:
            return
        dropped = [key for key in before if key != "name"]
        self.values[section] = {"name": old}
        self.origins = {
            key: o for key, o in self.origins.items() if key[:1] != (section,) or key[1:] in ((), ("name",))
        }
        if dropped:
            place = layer.places.get((section, "name"), "")
            kept = ", ".join(dropped)
            self.notes.append(f"{place}: {section}.name is now {new}, so these settings of {old} are dropped: {kept}.")

    def _lay(self, values: Mapping[str, Any], into: dict[str, Any], at: Key, layer: Layer) -> None:
        for name, value in values.items():
            key = (*at, name)
            self._remember(key, value, layer)
            if isinstance(value, dict) and isinstance(into.get(name), dict):
                self._lay(value, into[name], key, layer)
            else:
                into[name] = copy.deepcopy(value)
                for below, item in items(value, key):
                    self._remember(below, item, layer)

    def _remember(self, key: Key, value: Any, layer: Layer) -> None:
        origin = Origin(layer.places.get(key, ""), value, layer.texts.get(key, ""))
        self.origins[key] = (*self.origins.get(key, ()), origin)

    def _fill(self, defaults: Mapping[str, Any], into: dict[str, Any], at: Key) -> None:
        for name, default in defaults.items():
            key = (*at, name)
            self.origins[key] = (Origin(DEFAULT, default), *self.origins.get(key, ()))
            if name not in into:
                into[name] = copy.deepcopy(default)
            if isinstance(default, dict) and isinstance(into[name], dict):
                self._fill(default, into[name], key)


def _switched_on(section: str, layer: Layer) -> Layer:
    """The layer with a list of different names as a mapping of switches that are on; as it is without such a list."""
    names = layer.values.get(section)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        return layer
    places: dict[Key, str] = {(section, name): layer.places.get((section, str(i)), "") for i, name in enumerate(names)}
    return Layer({**layer.values, section: dict.fromkeys(names, True)}, {**layer.places, **places})


def items(value: Any, at: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Everything inside mappings and lists, each with the way to it."""
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = [(str(i), item) for i, item in enumerate(value)]
    else:
        return
    for name, item in inside:
        yield (*at, name), item
        yield from items(item, (*at, name))


def dotted(key: Key) -> str:
    """A key as a person writes it: `optim.lr`."""
    return ".".join(key)


EXAMPLES = {
    "recipe": "model: {name: image.vit}",
    "study": "recipes: [recipes/mlp.yaml]",
    "conformance.yaml": "recipes: {short: [NAME, trainer.max_epochs=1]}",
}
"""What may stand in a file, by what the file is."""


def file_layer(name: str, content: bytes, what: str = "recipe") -> Layer:
    """Read a recipe file, or one of those that `EXAMPLES` names; raises RecipeError with the line and column of all
    that is wrong with its form."""
    if len(content) > SIZE:
        raise _error(name, f"this file is larger than the {SIZE:,} bytes that a {what} may have. Name a {what}.")
    text = _text(name, content)
    reader = _Reader(name)
    node = reader.parse(text)
    if node is None:
        raise _error(f"{name}:1:1", f"the file is empty. A {what} holds sections such as `{EXAMPLES[what]}`.")
    values = reader.value(node, ())
    if not isinstance(values, dict):
        reader.report(
            node, (), f"a {what} is a mapping of sections, this is {shown(values)}. Write `key: value` lines."
        )
    if reader.problems:
        raise RecipeError(reader.problems)
    return Layer(values, {(): f"{name}:1:1", **reader.places}, reader.texts)


def override_layer(override: str) -> Layer:
    """Read `key=value`, whose value is YAML; raises RecipeError when it is not of that form."""
    where = f"override {override[:200]!r}"
    if len(override) > SIZE or override.partition("=")[0].count(".") >= DEPTH:
        raise _error(
            where,
            f"this is no change of a recipe. Expected at most {SIZE:,} characters and {DEPTH} levels. Shorten it.",
        )
    match = _OVERRIDE.fullmatch(override)
    if not match:
        raise _error(where, "this is not a change. Expected KEY=VALUE with a dotted key, such as optim.lr=1e-3.")
    key = tuple(match["key"].split("."))
    reader = _Reader(where, positions=False)
    node = reader.parse(match["value"])
    value = None if node is None else reader.value(node, key)
    if reader.problems:
        raise RecipeError(reader.problems)
    places = {key[:end]: where for end in range(1, len(key) + 1)}
    for name in reversed(key):
        value = {name: value}
    assert isinstance(value, dict)
    return Layer(value, {**places, **reader.places}, reader.texts)


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        message = f"byte {content[error.start]:#04x} is not UTF-8. A recipe is text. Save the file as UTF-8."
        raise _error(f"{name}:{line}:{column}", message) from None


def _error(where: str, message: str) -> RecipeError:
    return RecipeError([Problem(where, "", message)])


class _TooLarge(Exception):
    """More than a recipe may hold, and the place where that begins."""

    def __init__(self, message: str, mark: yaml.Mark) -> None:
        super().__init__(message)
        self.mark = mark


class _BoundedLoader(yaml.BaseLoader):
    """PyYAML's loader of plain text, which stops at the first value that is one too many or too deep."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.values = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a value and those in it; raises _TooLarge."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        names_a_value = isinstance(parent, yaml.MappingNode) and index is None
        self.values += not names_a_value
        self.depth += 1
        if self.values > VALUES:
            raise _TooLarge(f"a recipe holds at most {VALUES:,} values; here begins one more. Shorten it.", mark)
        if self.depth > DEPTH:
            raise _TooLarge(f"a recipe has at most {DEPTH} levels of sections and lists. Use fewer.", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Half of a character; those left out stand for bytes of file names that are not UTF-8."""


def _whole_characters(text: str) -> str:
    """Put together the halves of characters that JSON writes as two escapes, which PyYAML leaves apart."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


class _Reader:
    """Turns YAML into plain values and notes places and problems; no tags, no aliases, no key twice."""

    def __init__(self, name: str, positions: bool = True) -> None:
        self.name = name
        self.positions = positions
        self.places: dict[Key, str] = {}
        self.texts: dict[Key, str] = {}
        self.problems: list[Problem] = []
        self.seen: set[int] = set()

    def parse(self, text: str) -> yaml.Node | None:
        """The YAML node tree, in which every scalar is still text; None: nothing there."""
        try:
            node: yaml.Node | None = yaml.compose(text, Loader=_BoundedLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise _error(self._at(mark), _bad_yaml(error, text)) from None
        except yaml.reader.ReaderError as error:
            mark = yaml.Mark("", 0, text.count("\n", 0, error.position), _column(text, error.position), None, 0)
            message = f"the control character {error.character:#04x} is not allowed in YAML. Remove it."
            raise _error(self._at(mark), message) from None
        except _TooLarge as error:
            raise _error(self._at(error.mark), str(error)) from None
        return node

    def value(self, node: yaml.Node, key: Key) -> Any:
        """The plain value of a node."""
        self.places.setdefault(key, self._at(node.start_mark))
        if id(node) in self.seen:
            self.report(node, key, "aliases (`*name`) are not read in recipes. Use ${key} to repeat a value.")
            return None
        self.seen.add(id(node))
        kinds = {yaml.MappingNode: "map", yaml.SequenceNode: "seq", yaml.ScalarNode: "str"}
        if node.tag != f"tag:yaml.org,2002:{kinds[type(node)]}":
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.report(node, key, f"the tag {tag} is refused: a recipe is plain data. Remove the tag.")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*key, str(i))) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        text = _whole_characters(node.value)
        if half := _HALF.search(text):
            self.report(node, key, f"it holds {half[0]!a}, half of a character. Write the whole character.")
            return None
        value = scalar(text) if node.style is None else text
        if isinstance(value, int) and not isinstance(value, bool) and str(value) != text:
            self.texts[key] = text
        return value

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, inside in node.value:
            if not isinstance(name, yaml.ScalarNode) or (name.style is None and name.value in _NULL):
                self.report(name, key, "a key must be a single word. Write `key: value`.")
                continue
            below = (*key, name.value)
            if name.value in values:
                message = f"{dotted(below)} is given twice, first at {self.places[below]}. Keep one of them."
                self.report(name, below, message)
                continue
            self.places[below] = self._at(name.start_mark)
            values[name.value] = self.value(inside, below)
        return values

    def report(self, node: yaml.Node, key: Key, message: str) -> None:
        """Note a problem at a node."""
        self.problems.append(Problem(self._at(node.start_mark), dotted(key), message))

    def _at(self, mark: yaml.Mark | None) -> str:
        return f"{self.name}:{mark.line + 1}:{mark.column + 1}" if self.positions and mark else self.name


def scalar(text: str) -> Any:
    """The value of an unquoted YAML word: null, true, false, a number, or else the text itself."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _WHOLE.fullmatch(text):
        return int(text.replace("_", ""))
    if _NUMBER.fullmatch(text):
        return float(text.replace("_", ""))
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _column(text: str, position: int) -> int:
    return position - (text.rfind("\n", 0, position) + 1)


def _bad_yaml(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    if mark and mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        return "a tab stands where YAML wants spaces. Indent with spaces."
    said = " ".join(str(error.problem or error.context).split())
    return f"this is not YAML: {said}. Check indentation, brackets, quotes and colons here."
