"""`taskkit serve`: answer over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.errors import DataError, TaskkitError
from taskkit.handover import folder
from taskkit.runs import manifest
from taskkit.serving import keys

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MEGABYTE = 2**20


@click.command(name="serve", short_help="Answer over HTTP.")
@click.argument("runs", nargs=-1, metavar="[NAME=]RUN|DIR…")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at; 0.0.0.0: all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: one that is free.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that answer.")
@click.option("--batch-ms", type=click.FloatRange(0), default=1.0, show_default=True, help="Wait so long for others.")
@click.option("--max-body", type=click.IntRange(1), default=32, show_default=True, help="Of a request, in MiB.")
@click.option("--max-inputs", type=click.IntRange(1), default=256, show_default=True, help="Of one request.")
@click.option("--queue", type=click.IntRange(1), default=1024, show_default=True, help="Inputs of a model that wait.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="In seconds.")
@click.option("--drain", type=click.IntRange(1), default=30, show_default=True, help="Seconds to end in, when stopped.")
@click.option("--api-key-file", type=click.Path(path_type=Path), help="Answer those alone whose key is in this file.")
@click.option("--new-key", metavar="NAME", help="Add a key to --api-key-file, print it, and end.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="A PEM file.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="A PEM file.")
@click.option("--warm-up", metavar="TEXT|FILE", help="What each model is asked before it is ready.")
@click.pass_obj
def command(
    ours: Context,
    runs: tuple[str, ...],
    host: str,
    port: int,
    workers: int,
    batch_ms: float,
    max_body: int,
    max_inputs: int,
    queue: int,
    timeout: float,
    drain: int,
    api_key_file: Path | None,
    new_key: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    warm_up: str | None,
) -> None:
    """Answer over HTTP with each RUN, or DIR that `taskkit export` wrote, under its name or that of its directory,
    until SIGTERM or Ctrl-C.

    Raises DataError for a file of TLS that is not there.
    """
    _needed()
    if new_key is not None:
        if api_key_file is None:
            raise click.UsageError("--new-key needs --api-key-file FILE, which keeps a hash of it.")
        say(keys.new_key(api_key_file, new_key))
        return
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key need each other.")
    for file in filter(None, (tls_cert, tls_key)):
        if not file.is_file():
            raise DataError(f"{file}: there is no such file. A PEM file was expected. Correct the path.")
    named = dict(_named(runs))
    if not named:
        raise click.UsageError("Name a run to serve.")
    if len(named) < len(runs):
        raise click.UsageError("Two runs have the same name. Give one another: NAME=RUN.")
    for path in named.values():
        folder.read(path) if folder.is_export(path) else manifest.read(path)
    if api_key_file is not None:
        keys.Keys.read(api_key_file)
    with loading():
        from taskkit.serving.limits import Limits
        from taskkit.serving.server import Place, Service, serve

    limits = Limits(
        body=max_body * MEGABYTE,
        inputs=max_inputs,
        queue=max(queue, max_inputs),
        timeout=timeout,
        drain=drain,
        batch_ms=batch_ms,
    )
    service = Service(named, limits, api_key_file, warm_up, ours.no_plugins)
    serve(service, Place(host, port, tls_cert, tls_key), workers)


def _named(runs: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for word in runs:
        name, given, path = word.partition("=")
        if not given or NAME.fullmatch(name) is None:
            # As `2026-11-27T14-45-06_seed=1`, which is no name in an address.
            name, path = re.sub("[^A-Za-z0-9._-]", "-", Path(word).absolute().name).lstrip("._-"), word
        if not name:
            raise click.UsageError(f"{word!r} has no name for an address. Give it one: NAME={word}")
        yield name, Path(path)


def _needed() -> None:
    """Raise TaskkitError where what HTTP needs is not installed."""
    try:
        import fastapi  # noqa: F401
        import multipart  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise TaskkitError(f"taskkit serve needs {error.name}: pip install taskkit-ml[serve]") from None
