"""JSON Schema (draft 2020-12) of sections and recipes, for editors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from taskkit.contracts.component import KINDS, Kind
from taskkit.contracts.recipe import SECTIONS, SWITCHED_OFF, SWITCHES, root_settings
from taskkit.contracts.settings import Setting, settings, to_plain

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string", NoneType: "null"}
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_REFERENCE = {"type": "string", "pattern": r"\$\{", "description": "the value of another key"}


def recipe_schema(names: Mapping[Kind, str], sections: Mapping[Kind, type]) -> dict[str, Any]:
    """The schema of recipes that use these components; `sections` are theirs."""
    components: dict[str, Any] = {kind: _component(names[kind], sections[kind]) for kind in KINDS}
    host = {name: _optional(section_schema(section), name) for name, section in SECTIONS.items()}
    roots = {root.name: _field(root) for root in root_settings()}
    return {
        "$schema": DIALECT,
        "title": "taskkit recipe: " + ", ".join(names[kind] for kind in KINDS),
        **_mapping({**roots, **components, **host}, required=KINDS),
    }


def section_schema(section: type) -> dict[str, Any]:
    """The schema of one section."""
    fields = settings(section)
    doc = (section.__doc__ or "").strip().partition("\n")[0]
    required = [field.name for field in fields if field.required]
    schema = _mapping({field.name: _field(field) for field in fields}, required)
    return {"description": doc, **schema} if doc else schema


def _component(name: str, section: type) -> dict[str, Any]:
    schema = section_schema(section)
    named = {"name": {"const": name, "description": "the component; another has other fields"}}
    return schema | {
        "properties": named | schema["properties"],
        "required": ["name", *schema.get("required", [])],
    }


def _optional(schema: dict[str, Any], name: str) -> dict[str, Any]:
    if name in SWITCHES:
        return schema | {"type": ["object", "array"], "items": {"enum": [*schema["properties"]]}, "uniqueItems": True}
    return schema | {"type": ["object", "null"]} if name in SWITCHED_OFF else schema


def _mapping(properties: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    schema = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return schema | {"required": list(required)} if required else schema


def _field(setting: Setting) -> dict[str, Any]:
    schema = _type(setting.type, {_BOUNDS[name]: limit for name, limit in setting.bounds.items()})
    if schema and schema.get("type") != "string":
        schema = {"anyOf": [schema, _REFERENCE]}
    if setting.doc:
        schema["description"] = setting.doc
    if not setting.required:
        schema["default"] = to_plain(setting.default)
    return schema


def _type(hint: Any, bounds: Mapping[str, float]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (int, float):
        return {"type": _TYPES[hint], **bounds}
    if hint is str:
        return {"type": ["string", "integer"]}
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return {"anyOf": [_type(member, bounds) for member in arguments]}
    if origin is tuple and arguments[-1:] != (...,):
        items = [_type(member, bounds) for member in arguments]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": _type(arguments[0], bounds)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type(arguments[1], bounds)}
    return section_schema(hint) if dataclasses.is_dataclass(hint) and isinstance(hint, type) else {}
