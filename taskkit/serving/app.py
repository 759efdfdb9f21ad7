"""The HTTP interface of models, as a value: an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskkit.errors import CheckpointError
from taskkit.serving import bodies, logs, oip
from taskkit.serving.explaining import Why
from taskkit.serving.inputs import Asked, Upload
from taskkit.serving.keys import Keys
from taskkit.serving.limits import Limits
from taskkit.serving.measured import Measured
from taskkit.serving.models import Models, Served
from taskkit.serving.page import Page
from taskkit.serving.refused import Refused
from taskkit.serving.schema import Explanations, Forms, Problem

BEARER = HTTPBearer(auto_error=False, description="a key of the server's --api-key-file")
WHY: Mapping[int, str] = {
    400: "The body cannot be read.",
    401: "The key is missing or wrong.",
    408: "The body did not come in time.",
    409: "The model's directory cannot be opened again; it answers as before.",
    413: "The body or the number of inputs is too large.",
    415: "The body is neither JSON nor a form.",
    422: "An input or an option does not fit.",
    429: "Too many requests wait: ask again after Retry-After.",
    500: "The model failed.",
    503: "The server is stopping or replacing the model: ask again after Retry-After.",
    504: "There was no answer in time.",
}


class Reload:
    """Replaces models by what is in their directories now, one at a time, while they are asked."""

    def __init__(self, models: Models, load: Callable[[str], Served]) -> None:
        self._models = models
        self._load = load
        self._one = asyncio.Lock()

    async def one(self, name: str) -> str:
        """Replace one model, and return the run that answers now.

        Raises Refused, with the words of the fault, where its directory cannot be opened; then nothing is changed.
        """
        async with self._one:
            try:
                loaded = await asyncio.to_thread(self._load, name)
            except CheckpointError as error:  # its words are of a directory, and quote no input
                logs.event("not reloaded", level=logging.ERROR, error=error, model=name, fault=str(error))
                raise Refused(409, f"{name} was not opened again, and answers as before. {error}") from None
            before = self._models.replace(loaded)
            await asyncio.to_thread(before.close)
        run = str(self._models[name].card["id"])
        logs.event("reloaded", model=name, run=run)
        return run

    async def all(self) -> None:
        """Replace all models; one that cannot be opened stays as it is."""
        for served in self._models:
            try:
                await self.one(served.name)
            except Refused:
                continue  # it is in the log
            except Exception as error:
                logs.event("not reloaded", level=logging.ERROR, error=error, model=served.name)


def app(models: Models, limits: Limits, keys: Keys | None, meter: Measured, reload: Reload | None = None) -> FastAPI:
    """The application; it closes the models when it ends.

    Without `keys` everybody may ask. Without `reload` no model can be replaced.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(models.close)

    made = FastAPI(
        title="taskkit",
        description="Predictions of models that taskkit trained.",
        version="1",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
    )
    made.add_exception_handler(Refused, _refused)
    made.add_exception_handler(404, _nothing_there([served.name for served in models]))
    made.add_exception_handler(500, _failed)
    made.add_middleware(_Observed, meter=meter)
    locked = [Depends(_checked(keys))]
    _about(made, models, meter, locked)
    _page(made, models, keys is not None)
    forms = {served.name: Forms(served) for served in models}
    oip.add(made, models, forms, limits, meter, locked)
    for served in models:
        paths = [f"/models/{served.name}", *([""] if len(list(models)) == 1 else [])]
        for path in paths:
            _model(made, path, served.name, forms[served.name], models, limits, meter, locked)
        if reload is not None:
            _reload(made, f"/models/{served.name}/reload", served.name, reload, locked)
    return made


def _about(made: FastAPI, models: Models, meter: Measured, locked: Any) -> None:
    @made.get("/health", tags=["server"], summary="Whether the server runs")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @made.get("/ready", tags=["server"], summary="Whether models can be asked, each was or was not asked once")
    async def ready() -> dict[str, Any]:
        return {"status": "ready", "models": {each.name: {"warm": each.warm is not None} for each in models}}

    @made.get("/models", tags=["server"], summary="The names of the models", dependencies=locked)
    async def names() -> dict[str, list[str]]:
        return {"models": [each.name for each in models]}

    @made.get(
        "/metrics",
        tags=["server"],
        summary="Counters for Prometheus",
        dependencies=locked,
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(meter.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _page(made: FastAPI, models: Models, locked: bool) -> None:
    page = Page()

    @made.get("/", include_in_schema=False)
    async def ask() -> Response:
        policy = {"Content-Security-Policy": page.policy, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(page.text(models, locked), headers=policy)


def _model(
    made: FastAPI, path: str, name: str, forms: Forms, models: Models, limits: Limits, meter: Measured, locked: Any
) -> None:
    async def predict(request: Request) -> Response:
        request.state.model = name
        asked = await _asked(request, forms, limits)
        served = models[name]
        found = await served.ask(asked)
        meter.inputs(name, len(found.predictions))
        request.state.inputs = len(found.predictions)
        return JSONResponse(
            {
                "predictions": list(found.predictions),
                "warnings": list(found.warnings),
                "model": str(served.card["id"]),
            }
        )

    async def explain(request: Request) -> Response:
        request.state.model = name
        why = await _wanted(request, forms, limits)
        served = models[name]
        found = await served.explain(why)
        request.state.inputs = len(found.explanations)
        return JSONResponse(
            {
                "explanations": list(found.explanations),
                "warnings": list(found.warnings),
                "model": str(served.card["id"]),
            }
        )

    async def card() -> dict[str, Any]:
        return dict(models[name].card)

    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": why} for status, why in WHY.items()
    }
    asks = {
        "predict": (predict, f"Ask {name}", forms.response),
        "explain": (explain, f"What answers of {name} rest on", Explanations),
    }
    for verb, (answer, summary, response) in asks.items():
        made.add_api_route(
            f"{path}/{verb}",
            answer,
            methods=["POST"],
            tags=[name],
            summary=summary,
            response_model=response,
            responses=refusals,
            dependencies=locked,
            openapi_extra={"requestBody": forms.body(why=verb == "explain")},
            operation_id=f"{verb}_{name}{'' if path else '_alone'}",
        )
    made.add_api_route(
        path or "/model",
        card,
        tags=[name],
        summary=f"What is known of {name}: data, metrics with intervals, cost",
        responses={401: refusals[401]},
        dependencies=locked,
        operation_id=f"card_{name}{'' if path else '_alone'}",
    )


def _reload(made: FastAPI, path: str, name: str, reload: Reload, locked: Any) -> None:
    @made.post(
        path,
        tags=[name],
        summary=f"Open {name} again, as its directory is now",
        dependencies=locked,
        operation_id=f"reload_{name}",
        responses={status: {"model": Problem, "description": WHY[status]} for status in (401, 409)},
    )
    async def replace() -> dict[str, str]:
        return {"model": await reload.one(name)}


def _checked(keys: Keys | None) -> Callable[..., Awaitable[None]]:
    """What refuses a request without a key."""

    async def check(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        if keys is None:
            return
        owner = None if given is None else keys.owner(given.credentials)
        if owner is None:
            raise Refused(401, "The key is missing or wrong. Send it as `Authorization: Bearer KEY`.")
        request.state.client = owner

    async def everybody() -> None:
        return

    return everybody if keys is None else check


async def _asked(request: Request, forms: Forms, limits: Limits) -> Asked:
    """What a request asks; raises Refused for a body that is too large, too slow, or not what it says."""
    if _is_json(request):
        return forms.asked(await bodies.whole(request, limits))
    uploads, fields = await _form(request, limits)
    return Asked(uploads, forms.from_fields(fields))


async def _wanted(request: Request, forms: Forms, limits: Limits) -> Why:
    """What a request wants explained; raises Refused as `_asked` does."""
    if _is_json(request):
        return forms.wanted(await bodies.whole(request, limits))
    return forms.wanted_of(*await _form(request, limits))


def _is_json(request: Request) -> bool:
    """Whether a body is JSON and no form; raises Refused where it is neither."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "multipart/form-data"):
        raise Refused(415, f"The content type {kind!r} is not read. Send application/json or multipart/form-data.")
    return kind == "application/json"


async def _form(request: Request, limits: Limits) -> tuple[list[Upload], dict[str, str]]:
    """The files and the other fields of a form; raises Refused."""
    uploads: list[Upload] = []
    fields: dict[str, str] = {}
    async with bodies.in_time(limits):
        parser = MultiPartParser(request.headers, bodies.chunks(request, limits), max_files=limits.inputs)
        try:
            form = await parser.parse()
        except (MultiPartException, KeyError, UnicodeDecodeError, LookupError) as error:
            raise Refused(400, f"The form cannot be read: {getattr(error, 'message', error)}. Correct it.") from None
        try:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name != "file":
                        raise Refused(422, f"{name}: files were expected in the field `file`. Name it so.")
                    uploads.append(Upload(value.filename or "", await value.read()))
                elif name in fields:
                    raise Refused(422, f"{name}: it is given twice. Give it once.")
                else:
                    fields[name] = value
        finally:
            await form.close()
    return uploads, fields


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {} if error.again is None else {"Retry-After": str(error.again)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    name = "error" if request.url.path.startswith(oip.ROOT) else "detail"
    return JSONResponse({name: error.detail}, error.status, headers)


def _nothing_there(names: Sequence[str]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What tells a request for an address that there is not how models are asked."""
    detail = f"Nothing has this address. Ask /models/NAME/predict, where NAME is one of {', '.join(names)}."

    async def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"error" if request.url.path.startswith(oip.ROOT) else "detail": detail}, 404)

    return answer


async def _failed(request: Request, error: Exception) -> Response:
    number = request.scope["request_id"]
    logs.event("failed", level=logging.ERROR, error=error, request=number)
    return JSONResponse({"detail": f"The model failed. The server's log says more of request {number}."}, 500)


class _Observed:
    """Counts and logs each request, and numbers it: `X-Request-ID`."""

    def __init__(self, app: ASGIApp, meter: Measured) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        scope["request_id"] = number = secrets.token_hex(8)
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", number.encode()), (b"x-content-type-options", b"nosniff")]
                message["headers"] = [*message["headers"], *own, (b"cache-control", b"no-store")]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "none")
            state = scope.get("state", {})
            self._meter.request(route, str(state.get("model", "")), status, seconds)
            known = {name: state[name] for name in ("model", "client", "inputs") if name in state}
            logs.event(
                "request",
                request=number,
                method=scope["method"],
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                **known,
            )
