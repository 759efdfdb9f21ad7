"""One file from one address: tried again when that may help, and from where it broke off."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import time
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead
from pathlib import Path
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError

log = logging.getLogger("taskkit")

SCHEMES = ("http", "https", "file")
TIMEOUT = 60.0
"""Seconds without a byte after which a try has failed."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds between two tries."""
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that may be others a little later."""


def transfer(url: str, target: Path, retries: int) -> None:
    """Write what an http, https or file address gives into a file.

    What may pass is tried again up to `retries` times: no answer, one that breaks off, status 408, 429 or 5xx. The
    waits are 1, 2, 4 … seconds, none longer than 30. A new try asks only for the rest (RFC 9110, section 14.2) where
    the server names the version that it gave, so that parts of two are never joined; a server that gives no parts
    gives all of it again. Raises OSError, which says why the last try failed.
    """
    version = ""
    for tries in range(1, retries + 2):
        try:
            with _answer(url, target, version) as answer:
                version = _version(answer.headers)
                _write(answer, target)
            return
        except (OSError, HTTPException) as error:
            cause = _cause(error)
            reason = _reason(cause) + (f" (tried {tries} times)" if tries > 1 else "")
            if isinstance(error, HTTPError):
                error.close()
            if tries > retries or not _may_pass(cause):
                raise OSError(reason) from error
        wait = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
        log.info("%s: %s; trying again in %g seconds", url, reason, wait)
        time.sleep(wait)


def _answer(url: str, target: Path, version: str) -> Any:
    start = target.stat().st_size if version else 0
    rest = {"Range": f"bytes={start}-", "If-Range": version} if start else {}
    opener = request.OpenerDirector()
    # Without the handlers of other schemes, so that no redirection leads to these.
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.FileHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener.open(request.Request(url, headers={"User-Agent": "taskkit", **rest}), timeout=TIMEOUT)


def _version(headers: Mapping[str, str]) -> str:
    """What names the version of a file that an answer gives, byte for byte; empty: nothing does."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _write(answer: Any, target: Path) -> None:
    with target.open("ab" if answer.status == 206 else "wb") as file:
        start = file.tell()
        shutil.copyfileobj(answer, file, 1 << 16)
        size = file.tell()
    expected = start + int(answer.headers.get("Content-Length") or 0)
    if size < expected:
        raise ConnectionError(f"it broke off after {size} of {expected} bytes")


def _cause(error: Exception) -> Exception:
    """What is inside of a URLError, which hides the kind of failure."""
    hidden = error.reason if isinstance(error, URLError) else None
    return hidden if isinstance(hidden, Exception) else error


def _may_pass(cause: Exception) -> bool:
    if isinstance(cause, HTTPError):
        return cause.code in PASSING
    return isinstance(cause, ConnectionError | TimeoutError | IncompleteRead | BadStatusLine | ssl.SSLEOFError)


def _reason(cause: Exception) -> str:
    match cause:
        case HTTPError():
            return f"HTTP status {cause.code} ({cause.reason})"
        case socket.gaierror():
            return f"its host was not found ({cause.strerror})"
        case TimeoutError():
            return f"no byte came for {TIMEOUT:g} seconds"
    return str(cause)
