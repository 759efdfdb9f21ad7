"""What a checkpoint may hold as JSON and tensors: read back without torch, and without anything that could run."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskkit.errors import CheckpointError

_MARK = "$"
"""Begins the one name of a JSON object that stands for something else than a mapping."""


class Packed(NamedTuple):
    """A value as JSON, and the tensors in it by the names that it gives them."""

    json: Any
    tensors: dict[str, Any]


def pack(value: Any, name: str) -> Packed:
    """Divide plain data into JSON and tensors, whose names begin with `name`; see `runs.checkpoint.check_plain`."""
    tensors: dict[str, Any] = {}

    def packed(value: Any, at: str) -> Any:
        if isinstance(value, Mapping):
            if all(isinstance(key, str) and not key.startswith(_MARK) for key in value):
                return {key: packed(item, f"{at}.{key}") for key, item in value.items()}
            pairs = enumerate(value.items())
            return {"$mapping": [[packed(k, f"{at}.{n}.key"), packed(v, f"{at}.{n}")] for n, (k, v) in pairs]}
        if isinstance(value, list | tuple | set):
            items = [packed(item, f"{at}.{number}") for number, item in enumerate(value)]
            return items if isinstance(value, list) else {f"${type(value).__name__}": items}
        if isinstance(value, bytes):
            return {"$bytes": base64.b64encode(value).decode()}
        if isinstance(value, float) and not math.isfinite(value):
            return {"$float": str(value)}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        tensors[at] = value
        return {"$tensor": at}

    return Packed(packed(value, name), tensors)


def unpack(json: Any, tensors: Mapping[str, Any]) -> Any:
    """The value again, with these tensors, or arrays, in it; raises CheckpointError for what `pack` did not write."""
    if isinstance(json, list):
        return [unpack(item, tensors) for item in json]
    if not isinstance(json, dict):
        return json
    if len(json) != 1 or not (kind := next(iter(json))).startswith(_MARK):
        return {key: unpack(item, tensors) for key, item in json.items()}
    inside = json[kind]
    try:
        match kind:
            case "$mapping":
                return {unpack(key, tensors): unpack(item, tensors) for key, item in inside}
            case "$tuple":
                return tuple(unpack(item, tensors) for item in inside)
            case "$set":
                return {unpack(item, tensors) for item in inside}
            case "$bytes":
                return base64.b64decode(inside, validate=True)
            case "$float":
                return float(inside)
            case "$tensor":
                return tensors[inside]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"damaged: {kind} of {type(inside).__name__} ({error}).") from None
    raise CheckpointError(f"damaged: nothing is called {kind}.")
