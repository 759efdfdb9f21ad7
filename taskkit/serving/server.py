"""Processes that serve an application: one, or several with a parent that starts again those that ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from taskkit.errors import MachineError
from taskkit.plugins.discovery import from_environment
from taskkit.serving import logs
from taskkit.serving.app import Reload, app
from taskkit.serving.keys import Keys
from taskkit.serving.limits import Limits
from taskkit.serving.measured import SHARED, Measured
from taskkit.serving.models import Models, Served, load

HEALTHY = 60
"""Seconds in which a process says that it lives, while it imports torch too."""


@dataclass(frozen=True)
class Place:
    """Where a server is reached."""

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: Path | None = None
    """With `key`, those of TLS, as PEM files."""
    key: Path | None = None


@dataclass(frozen=True)
class Service:
    """What is served: a value that other processes are given, each of which opens the models for itself."""

    runs: Mapping[str, Path]
    """Run directories by the names of their models."""
    limits: Limits
    keys: Path | None = None
    warm: str | None = None
    no_plugins: bool = False

    def open(self) -> tuple[FastAPI, Reload]:
        """The application with its models, and what replaces them."""
        meter, plugins = Measured(), from_environment(self.no_plugins)
        keys = None if self.keys is None else Keys.read(self.keys)

        def opened(name: str) -> Served:
            return load(name, self.runs[name], plugins, self.limits, meter, self.warm)

        models = Models([opened(name) for name in self.runs])
        for each in models:
            if each.warm is None:
                logs.event("not warmed up: give --warm-up a text or a file that the model answers", model=each.name)
        reload = Reload(models, opened)
        # Of several processes only one would hear of a request: they are all started anew by a signal to the parent.
        return app(models, self.limits, keys, meter, None if SHARED in os.environ else reload), reload

    def __call__(self) -> FastAPI:
        """The application, in a process of its own."""
        logs.write_lines()
        return self.open()[0]


def serve(service: Service, place: Place, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT, which let requests end that have begun; SIGHUP opens the models again.

    Raises TaskkitError for a run that cannot be opened and for an address that cannot be had.
    """
    logs.write_lines()
    if workers == 1:
        made, reload = service.open()
        config = _config(made, service, place)
        _Server(config, reload).run([_socket(config)])
        return
    with tempfile.TemporaryDirectory(prefix="taskkit-serve-") as shared:
        os.environ[SHARED] = shared
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
        config = _config(service, service, place, workers)
        Processes(config, [_socket(config)]).run()


class Processes(Multiprocess):
    """Processes that are started again at once, also where one dies while it is asked whether it lives."""

    def keep_subprocess_alive(self) -> None:
        """Start those again that ended."""
        for process in self.processes:
            # uvicorn keeps the child's end of the pipe open in the parent too: then who asks a process that was just
            # killed is told of no end, and waits the whole of HEALTHY before another takes its place.
            process.child_conn.close()
        super().keep_subprocess_alive()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, reload: Reload) -> None:
        super().__init__(config)
        self._reload = reload
        self._reloading: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._again)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; that it was asked to is no failure, of one process as of several, so no signal ends it after that."""
        await super().shutdown(sockets)
        self._captured_signals.clear()

    def _again(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload.all())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)


def _config(served: FastAPI | Service, service: Service, place: Place, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        served,
        factory=isinstance(served, Service),
        host=place.host,
        port=place.port,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=place.certificate,
        ssl_keyfile=place.key,
        timeout_graceful_shutdown=service.limits.drain,
        timeout_worker_healthcheck=HEALTHY,
    )


def _socket(config: uvicorn.Config) -> socket.socket:
    """The address, bound; uvicorn ends the process where it cannot be had, without our words."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((config.host, config.port))
    except OSError as error:
        bound.close()
        raise MachineError(
            f"{config.host}:{config.port} cannot be served ({error.strerror}). Give another --host or --port."
        ) from None
    bound.set_inheritable(True)
    # Who comes before a process accepts connections waits instead of being refused.
    bound.listen(2048)
    scheme = "https" if config.is_ssl else "http"
    host, port = bound.getsockname()[:2]
    logs.event("listening", url=f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
    return bound
