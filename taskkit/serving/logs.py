"""Logs as lines of JSON, without what was asked, and warnings that go to the one who asked."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

REQUESTS = logging.getLogger("taskkit.serving")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1]:
            # The message of an error may quote an input: its kind and where it was raised tell enough to look for it.
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)
            line["error"] = type(error).__name__
            line["at"] = [f"{frame.filename}:{frame.lineno}" for frame in frames[-3:]]
        return json.dumps(line, ensure_ascii=False, default=str)


class _Warnings(logging.Handler):
    """Gives what is logged in a thread that listens to it, and to nobody else: it may quote inputs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if (said := getattr(self.heard, "said", None)) is not None:
            said.append(record.getMessage())


_warnings = _Warnings()


@contextmanager
def warnings() -> Iterator[list[str]]:
    """The warnings for a person that this thread logs meanwhile."""
    said: list[str] = []
    _warnings.heard.said = said
    try:
        yield said
    finally:
        _warnings.heard.said = None


def write_lines() -> None:
    """Let this process log lines of JSON to stderr: of the server itself, and of each request."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Lines())
    host = logging.getLogger("taskkit")
    host.handlers, host.propagate = [_warnings], False
    for name in ("taskkit.serving", "uvicorn", "uvicorn.error"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [lines], False
        log.setLevel(logging.INFO)
    # It writes the path of each request, which `REQUESTS` does with more.
    logging.getLogger("uvicorn.access").disabled = True


def event(what: str, *, level: int = logging.INFO, error: BaseException | None = None, **fields: Any) -> None:
    """Log one line; of an error its kind and place, never its message."""
    REQUESTS.log(level, what, extra={"fields": fields}, exc_info=error)
