"""A client of `taskkit serve`: it asks a model over HTTP, and asks again where the server says so."""

from __future__ import annotations

import json
import random
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from taskkit.errors import TaskkitError

try:
    import httpx
except ImportError:
    raise TaskkitError("taskkit.client needs httpx: pip install taskkit-ml[client]") from None

AGAIN = frozenset({429, 503})
"""Statuses after which the same request may be answered."""
LONGEST = 30.0
"""Seconds between two attempts at most."""


class ServerError(TaskkitError):
    """What a server said instead of an answer; `status` is that of HTTP, or None where it could not be reached."""

    def __init__(self, detail: str, status: int | None) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class Prediction:
    """The answer to one input."""

    input: str
    """What was asked."""
    prediction: Any
    """The answer itself: a class, a text, a list of items, whatever the model gives."""
    flags: tuple[str, ...]
    """Marks of its input, as `truncated`."""
    more: Mapping[str, Any]
    """What else the model says, such as `probability`."""


@dataclass(frozen=True)
class Answer:
    """The answers to a request."""

    predictions: tuple[Prediction, ...]
    """One for each input, or for each row of a table, in their order."""
    warnings: tuple[str, ...]
    """What to know of how the inputs were read."""
    model: str
    """Which run answered."""


class Client:
    """Asks the server at `url`, with `key` where it wants one; several threads may ask at once.

    `model` is the name of one of several models. An attempt takes `timeout` seconds at most. A question that the server
    is too busy for, or whose connection is lost, is asked up to `retries` times more, after pauses that grow. `verify`
    says whose TLS certificates are believed.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        model: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, verify=verify)
        self._path = "" if model is None else f"/models/{model}"
        self._retries = retries

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, inputs: Sequence[str | Mapping[str, Any]] = (), **options: Any) -> Answer:
        """Ask about texts, or about mappings: rows of a table; options are those of `taskkit predict`.

        Raises ServerError.
        """
        return _answer(self._send("POST", f"{self._path}/predict", json={"inputs": list(inputs), "options": options}))

    def predict_files(self, files: Sequence[str | Path], **options: Any) -> Answer:
        """Ask about files: pictures, sounds, texts or tables.

        Raises ServerError, and OSError for a file that cannot be read.
        """
        return _answer(self._send("POST", f"{self._path}/predict", **_sent(files, options)))

    def explain(
        self,
        inputs: Sequence[str | Mapping[str, Any]] = (),
        *,
        method: str | None = None,
        target: str | None = None,
        **options: Any,
    ) -> tuple[Mapping[str, Any], ...]:
        """What answers to texts or mappings rest on, one explanation for each; `taskkit explain` says what they hold.

        Raises ServerError.
        """
        asked = {"inputs": list(inputs), "options": options, "method": method, "target": target}
        return tuple(self._send("POST", f"{self._path}/explain", json=asked)["explanations"])

    def explain_files(
        self, files: Sequence[str | Path], *, method: str | None = None, target: str | None = None, **options: Any
    ) -> tuple[Mapping[str, Any], ...]:
        """The same of files; raises ServerError, and OSError for a file that cannot be read."""
        own = {name: value for name, value in (("method", method), ("target", target)) if value is not None}
        sent = _sent(files, {**options, **own})
        return tuple(self._send("POST", f"{self._path}/explain", **sent)["explanations"])

    def card(self) -> Mapping[str, Any]:
        """What is known of the model: its data, its metrics with intervals, its cost; raises ServerError."""
        found: Mapping[str, Any] = self._send("GET", self._path or "/model")
        return found

    def models(self) -> tuple[str, ...]:
        """The names of the models; raises ServerError."""
        return tuple(self._send("GET", "/models")["models"])

    def ready(self) -> bool:
        """Whether the server can be asked now."""
        try:
            return self._http.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def reload(self, model: str) -> str:
        """Let the server open a model again, and return the run that answers now; raises ServerError."""
        return str(self._send("POST", f"/models/{model}/reload")["model"])

    def _send(self, method: str, path: str, **what: Any) -> Any:
        """What the server answers; a question changes nothing there, so that it can be asked twice."""
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                found = self._http.request(method, path, **what)
            except httpx.TransportError as error:
                if last or isinstance(error, httpx.UnsupportedProtocol):
                    raise ServerError(f"{self._http.base_url}: no answer ({error}). Is it served?", None) from None
                time.sleep(_pause(attempt, None))
                continue
            if found.status_code not in AGAIN or last:
                break
            time.sleep(_pause(attempt, found.headers.get("Retry-After")))
        if found.is_success:
            return found.json()
        raise ServerError(_detail(found), found.status_code)


def _sent(files: Sequence[str | Path], options: Mapping[str, Any]) -> dict[str, Any]:
    """A form of files, with options as its other fields."""
    sent = [("file", (Path(file).name, Path(file).read_bytes())) for file in files]
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
    return {"files": sent, "data": fields}


def _pause(attempt: int, after: str | None) -> float:
    """Seconds before the next attempt: as the server says, with some chance, so that clients do not come together."""
    least = float(after) if after is not None and after.isdecimal() else 0.1 * 2**attempt
    return float(min(least * random.uniform(1.0, 1.5), LONGEST))


def _detail(found: httpx.Response) -> str:
    try:
        return str(found.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {found.status_code} {found.reason_phrase}."


def _answer(found: Mapping[str, Any]) -> Answer:
    known = ("input", "prediction", "flags")
    predictions = tuple(
        Prediction(
            each["input"],
            each["prediction"],
            tuple(each.get("flags") or ()),
            {name: value for name, value in each.items() if name not in known},
        )
        for each in found["predictions"]
    )
    return Answer(predictions, tuple(found["warnings"]), found["model"])
