"""The Open Inference Protocol, version 2, as KServe and Triton speak it, beside our own interface."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from taskkit.serving import bodies
from taskkit.serving.inputs import Asked, Input, Upload
from taskkit.serving.limits import Limits
from taskkit.serving.measured import Measured
from taskkit.serving.models import Models
from taskkit.serving.refused import Refused
from taskkit.serving.schema import Forms, inlined

ROOT = "/v2"
TEXT, ROW = "text/plain", "application/json"
INPUTS: Sequence[Any] = [{"name": "inputs", "datatype": "BYTES", "shape": [-1]}]
OUTPUTS: Sequence[Any] = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("prediction", "answer")]


class Error(BaseModel):
    """Why there is no answer."""

    error: str


class TensorParameters(BaseModel):
    """What the elements of a tensor are."""

    model_config = ConfigDict(extra="forbid")
    content_type: str = Field(
        TEXT, description="text/plain; application/json, a row of a table; or of a file, as image/png, in base64"
    )


class Tensor(BaseModel):
    """The inputs, one an element."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    shape: list[int] = Field(max_length=2)
    datatype: Literal["BYTES"]
    parameters: TensorParameters = TensorParameters(content_type=TEXT)
    data: list[str] = Field(min_length=1)


class Wanted(BaseModel):
    """An output that is asked for; all are given."""

    name: Literal["prediction", "answer"]


class Infer(BaseModel):
    """A request: its parameters are the options of the model."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: str = ""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: list[Tensor] = Field(min_length=1, max_length=1)
    outputs: list[Wanted] = Field(default_factory=list)


class Output(BaseModel):
    """`prediction`, as text, or `answer`, all of it as JSON."""

    name: str
    shape: list[int]
    datatype: Literal["BYTES"] = "BYTES"
    data: list[str]


class Inferred(BaseModel):
    """The answers to a request."""

    model_name: str
    model_version: str
    id: str
    outputs: list[Output]


def add(
    made: FastAPI, models: Models, forms: Mapping[str, Forms], limits: Limits, meter: Measured, locked: Sequence[Any]
) -> None:
    """Let the application speak the protocol for each of its models."""
    options: dict[str, Any] = {"tags": ["Open Inference Protocol"]}

    @made.get(ROOT, summary="What the server is", **options)
    async def server() -> dict[str, Any]:
        return {"name": "taskkit", "version": version("taskkit-ml"), "extensions": []}

    @made.get(f"{ROOT}/health/live", summary="Whether the server runs", **options)
    async def live() -> dict[str, bool]:
        return {"live": True}

    @made.get(f"{ROOT}/health/ready", summary="Whether all models can be asked", **options)
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    for served in models:
        _model(made, served.name, models, forms[served.name], limits, meter, {**options, "dependencies": locked})


def _model(
    made: FastAPI, name: str, models: Models, forms: Forms, limits: Limits, meter: Measured, options: Mapping[str, Any]
) -> None:
    path = f"{ROOT}/models/{name}"
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": Error} for status in (400, 401, 408, 413, 422, 429, 500, 503, 504)
    }
    body = {"required": True, "content": {ROW: {"schema": inlined(Infer.model_json_schema())}}}

    @made.get(path, operation_id=f"v2_{name}", responses={401: {"model": Error}}, **options)
    async def metadata() -> dict[str, Any]:
        run = str(models[name].card["id"])
        return {"name": name, "versions": [run], "platform": "taskkit", "inputs": INPUTS, "outputs": OUTPUTS}

    @made.get(f"{path}/ready", operation_id=f"v2_ready_{name}", responses={401: {"model": Error}}, **options)
    async def ready() -> dict[str, Any]:
        return {"name": name, "ready": True}

    @made.post(
        f"{path}/infer",
        operation_id=f"v2_infer_{name}",
        responses=errors,
        openapi_extra={"requestBody": body},
        **options,
    )
    async def infer(request: Request) -> Inferred:
        request.state.model = name
        asked = _asked(await bodies.whole(request, limits))
        served = models[name]
        found = await served.ask(Asked(_inputs(asked.inputs[0]), forms.checked(asked.parameters)))
        meter.inputs(name, len(found.predictions))
        request.state.inputs = len(found.predictions)
        said = [[_text(each["prediction"]) for each in found.predictions], list(map(_json, found.predictions))]
        outputs = [
            Output(name=output["name"], shape=[len(data)], data=data)
            for output, data in zip(OUTPUTS, said, strict=True)
        ]
        return Inferred(model_name=name, model_version=str(served.card["id"]), id=asked.id, outputs=outputs)


def _asked(body: bytes) -> Infer:
    try:
        return Infer.model_validate_json(body)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
        raise Refused(400, "; ".join(wrong[:10])) from None


def _inputs(tensor: Tensor) -> list[Input]:
    size = 1
    for length in tensor.shape:
        size *= length
    if size != len(tensor.data):
        raise Refused(400, f"inputs.0: its shape has {size} elements, and its data {len(tensor.data)}. Correct one.")
    return [_input(text, tensor.parameters.content_type) for text in tensor.data]


def _input(text: str, kind: str) -> Input:
    if kind == TEXT:
        return text
    if kind == ROW:
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"inputs.0: a row is no JSON ({error}). Correct it.") from None
        if not isinstance(row, dict):
            raise Refused(400, 'inputs.0: a row is no object, as {"column": "value"}. Correct it.')
        return row
    suffix = mimetypes.guess_extension(kind)
    if suffix is None:
        raise Refused(400, f"inputs.0: nobody knows the content type {kind!r}. Give one as image/png.")
    try:
        return Upload(f"input{suffix}", base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise Refused(400, f"inputs.0: a file of {kind} is no base64. Encode it so.") from None


def _text(said: Any) -> str:
    return said if isinstance(said, str) else _json(said)


def _json(said: Any) -> str:
    return json.dumps(said, ensure_ascii=False)
