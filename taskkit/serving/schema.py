"""Requests and answers of a model as types, made of what it declares: its options and the facts of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from pydantic_core import from_json

from taskkit.contracts.facts import Classes, Record
from taskkit.contracts.settings import Setting, settings
from taskkit.explanation.value import MethodName
from taskkit.recipe.merge import scalar
from taskkit.serving.explaining import Why
from taskkit.serving.inputs import Asked, Upload
from taskkit.serving.models import Served
from taskkit.serving.refused import Refused

MOST_NAMES = 1000
"""So many classes are named in a schema; of more it says that they are texts."""


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="where, what, what was expected, what to do")


class ExplainedSum(BaseModel):
    """Whether attributions add up to what they are said to explain."""

    attributed: float = Field(description="all attributions together")
    change: float = Field(description="how far the explained number is from that of the baseline")
    tolerance: float = Field(description="how far these two may be apart")
    holds: bool = Field(description="whether they are no farther apart")


class ExplainedPart(BaseModel):
    """Attributions to one tensor of the input."""

    name: str = Field(description="of the tensor")
    kind: Literal["picture", "text", "items", "sequence", "number"]
    values: float | list[float] | list[list[float]] = Field(
        description="a number, a list or, of a picture, its rows; what is positive speaks for the answer"
    )
    names: list[str] = Field(description="what stands at each place, where that has a name")


class Explained(BaseModel):
    """What one answer rests on."""

    model_config = ConfigDict(extra="allow")

    input: str = Field(description="what was asked, as its client calls it, with the window where it has several")
    answer: str = Field(description="what is explained")
    quantity: str = Field(description="what the number is that stands for it, as `logit`")
    score: float
    method: str
    parts: list[ExplainedPart]
    sum: ExplainedSum | None = Field(description="null: the method promises no sum")
    baseline: str = Field(description="what the input is compared with, in words")
    settings: dict[str, JsonValue] = Field(description="what else decided the numbers: steps, samples, the layer")


class Explanations(BaseModel):
    """What answers rest on."""

    explanations: list[Explained] = Field(description="one for each input, or for each window of a long one")
    warnings: list[str] = Field(description="what to know of how the inputs were read")
    model: str = Field(description="which run was asked")


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
        # Not what it was asked first: the schema is for everybody, and that may be of the test.
        self._example = {"example": {"inputs": ["a text"]}} if served.taken.texts else {}
        fields: dict[str, Any] = self._options
        self.options = create_model(f"{self._name}Options", __config__=_CLOSED, **fields)
        self.request = self._request(served)
        self.why = create_model(
            f"{self._name}Why",
            __base__=self.request,
            method=(MethodName | None, Field(default=None, description=_METHOD)),
            target=(str | None, Field(default=None, description=_TARGET)),
        )
        self.response = self._response(served)

    def asked(self, body: bytes) -> Asked:
        """A request in JSON; raises Refused for what does not fit."""
        return _asked(_valid(self.request, _json(body)))

    def wanted(self, body: bytes) -> Why:
        """What a request in JSON wants explained; raises Refused for what does not fit."""
        found: Any = _valid(self.why, _json(body))
        return Why(_asked(found), found.method, found.target)

    def wanted_of(self, uploads: Sequence[Upload], fields: Mapping[str, str]) -> Why:
        """What a form wants explained; raises Refused for what does not fit."""
        own = {name: fields[name] for name in ("method", "target") if name in fields}
        options = self.from_fields({name: text for name, text in fields.items() if name not in own})
        found: Any = _valid(self.why, own)
        return Why(Asked(uploads, options), found.method, found.target)

    def from_fields(self, fields: Mapping[str, str]) -> Mapping[str, Any]:
        """The options among the fields of a form, which are all text; raises Refused for what does not fit."""
        return self.checked({name: self._value(name, text) for name, text in fields.items()})

    def checked(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """These options, once they fit; raises Refused."""
        return _valid(self.options, options).model_dump(exclude_unset=True)

    def body(self, *, why: bool = False) -> Mapping[str, Any]:
        """The bodies that a request may have, or one that asks `why`, for OpenAPI."""
        request = inlined((self.why if why else self.request).model_json_schema())
        options = inlined(self.options.model_json_schema())
        own = {name: request["properties"][name] for name in ("method", "target") if why}
        files = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
        form = {
            "type": "object",
            "required": ["file"],
            "additionalProperties": False,
            "properties": {"file": files, **options["properties"], **own},
        }
        return {
            "required": True,
            "content": {
                "application/json": {"schema": request, **self._example},
                "multipart/form-data": {"schema": form},
            },
        }

    def _value(self, name: str, text: str) -> Any:
        setting = self._options.get(name)
        return text if setting is None or takes_text(setting[0]) else scalar(text)

    def _request(self, served: Served) -> type[BaseModel]:
        rows = dict[str, JsonValue]
        item: Any = str | rows if served.taken.texts else rows
        row = "objects that are rows of a table"
        what = f"texts, or {row}" if served.taken.texts else row
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
_METHOD = "how it is found; null: the first method that applies and whose attributions add up"
_TARGET = "the answer to explain; null: the one that is given"


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


def _asked(found: Any) -> Asked:
    return Asked(found.inputs, found.options.model_dump(exclude_unset=True))


def _json(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, f"The body is no JSON: {error}. Correct it.") from None


def _valid(model: type[BaseModel], value: Any) -> BaseModel:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong = dict.fromkeys(_wrong(model, each["loc"], each["msg"]) for each in error.errors())
        raise Refused(422, "; ".join([*wrong][:10])) from None


def _wrong(model: type[BaseModel], place: Sequence[str | int], said: str) -> str:
    """What does not fit, in words; of an input pydantic would tell each of the types that it might have."""
    if len(place) > 1 and place[0] == "inputs":
        return f"inputs.{place[1]}: {model.model_fields['inputs'].description} were expected. Files are sent as a form"
    return f"{'.'.join(map(str, place)) or 'body'}: {said}"


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
