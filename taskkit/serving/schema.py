"""Requests and answers of a model as types, made of what it declares: its options and the facts of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from pydantic_core import from_json

from taskkit.contracts.facts import Classes, Record
from taskkit.contracts.settings import Setting, settings
from taskkit.recipe.merge import scalar
from taskkit.serving.inputs import Asked
from taskkit.serving.models import Served
from taskkit.serving.refused import Refused

MOST_NAMES = 1000
"""So many classes are named in a schema; of more it says that they are texts."""


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="where, what, what was expected, what to do")


class Forms:
    """The types of a model's requests and answers."""

    def __init__(self, served: Served) -> None:
        self._name = "".join(part.capitalize() for part in served.name.replace("_", "-").split("-")) or "Model"
        self._options = {
            setting.name: _field(setting)
            for taker in served.answerer.predict_options
            for setting in settings(taker)
            if offered(setting)
        }
        self._most = served.limits.inputs
        fields: dict[str, Any] = self._options
        self.options = create_model(f"{self._name}Options", __config__=_CLOSED, **fields)
        self.request = self._request(served)
        self.response = self._response(served)

    def asked(self, body: bytes) -> Asked:
        """A request in JSON; raises Refused for what does not fit."""
        try:
            value = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise Refused(400, f"The body is no JSON: {error}. Correct it.") from None
        found: Any = _valid(self.request, value)
        return Asked(found.inputs, found.options.model_dump(exclude_unset=True))

    def from_fields(self, fields: Mapping[str, str]) -> Mapping[str, Any]:
        """The options among the fields of a form, which are all text; raises Refused for what does not fit."""
        return self.checked({name: self._value(name, text) for name, text in fields.items()})

    def checked(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """These options, once they fit; raises Refused."""
        return _valid(self.options, options).model_dump(exclude_unset=True)

    def body(self) -> Mapping[str, Any]:
        """The bodies that a request may have, for OpenAPI."""
        options = inlined(self.options.model_json_schema())
        files = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
        form = {
            "type": "object",
            "required": ["file"],
            "additionalProperties": False,
            "properties": {"file": files, **options["properties"]},
        }
        return {
            "required": True,
            "content": {
                "application/json": {"schema": inlined(self.request.model_json_schema())},
                "multipart/form-data": {"schema": form},
            },
        }

    def _value(self, name: str, text: str) -> Any:
        setting = self._options.get(name)
        return text if setting is None or takes_text(setting[0]) else scalar(text)

    def _request(self, served: Served) -> type[BaseModel]:
        rows = dict[str, JsonValue]
        item: Any = str | rows if served.taken.texts else rows
        what = "texts, or objects: each a row of a table" if served.taken.texts else "objects: each a row of a table"
        inputs: Any = (list[item], Field(default=[], max_length=self._most, description=what))
        options = (self.options, Field(default_factory=self.options, description="how to read and to answer"))
        return create_model(f"{self._name}Request", __config__=_CLOSED, inputs=inputs, options=options)

    def _response(self, served: Served) -> type[BaseModel]:
        said: Mapping[str, Any] = served.warm or {}
        prediction = create_model(
            f"{self._name}Prediction",
            __config__=ConfigDict(extra="allow"),
            input=(str, Field(description="what was asked, as its client calls it")),
            prediction=(_answer(served, said.get("prediction")), Field(description="the answer")),
            flags=(list[str] | None, Field(default=None, description="marks of its input, as `truncated`")),
        )
        return create_model(
            f"{self._name}Response",
            predictions=(list[prediction], Field(description="one for each input, in their order")),  # type: ignore[valid-type]
            warnings=(list[str], Field(description="what to know of how the inputs were read")),
            model=(str, Field(description="which run answered")),
        )


_CLOSED = ConfigDict(extra="forbid", strict=True)


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with its definitions where they are referred to."""
    known = schema.get("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, Mapping):
            if "$ref" in value:
                others = {key: each for key, each in value.items() if key != "$ref"}
                named = value["$ref"].rpartition("/")[2]
                # What may be any JSON value refers to itself.
                return others if named == "JsonValue" else {**resolved(known[named]), **others}
            return {key: resolved(each) for key, each in value.items() if key != "$defs"}
        return [resolved(each) for each in value] if isinstance(value, list) else value

    found: dict[str, Any] = resolved(schema)
    return found


def _valid(model: type[BaseModel], value: Any) -> BaseModel:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
        raise Refused(422, "; ".join(wrong[:10])) from None


def _field(setting: Setting) -> tuple[Any, Any]:
    bounds: dict[str, Any] = dict(setting.bounds)
    if setting.name.startswith("max_") and isinstance(setting.default, int | float):
        # A limit of the server's: a client may ask for less.
        bounds["le"] = setting.default
    default: Any = ... if setting.required else setting.default
    return setting.type, Field(default, description=setting.doc, **bounds)


def offered(setting: Setting) -> bool:
    """Whether a request may give it: not where it is a file, of the server's."""
    return not _is_path(setting.type)


def takes_text(hint: Any) -> bool:
    """Whether a setting of this type is a text, which is taken as it is written."""
    return hint is str or hint == str | None


def _is_path(hint: Any) -> bool:
    return hint is Path or any(_is_path(each) for each in get_args(hint))


def _answer(served: Served, said: Any) -> Any:
    """The type of an answer: the name of a class, or what kind of value the first answer was."""
    target = served.answerer.spec.target
    if isinstance(target, Classes) and isinstance(said, str) and said in target.names[:MOST_NAMES]:
        return Literal[target.names] if len(target.names) <= MOST_NAMES else str
    if isinstance(said, bool) or said is None or isinstance(target, Record):
        return Any
    return next((kind for kind in _KINDS if isinstance(said, kind)), float if isinstance(said, int) else Any)


_KINDS: Sequence[type] = (str, float, list, dict)
