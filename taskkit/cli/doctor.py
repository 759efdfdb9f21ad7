"""`taskkit doctor`: whether this machine and this environment are fit to train, and what to do where not."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psutil

from taskkit import cachedir, cores
from taskkit.batches import entries
from taskkit.batches.entries import size_text
from taskkit.cli import Context
from taskkit.cli.checks import tell
from taskkit.errors import TaskkitError
from taskkit.plugins import health
from taskkit.plugins.health import Check

LEAST_SPACE = 5 * 10**9
"""Bytes that should be free where runs and samples are written."""


@click.command(name="doctor", short_help="Look for what is wrong with this machine and environment.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, as_json: bool) -> None:
    """Look at machine, devices, threads, disk, caches, plugins and packages, and say what to do.

    Exit code 1: something is wrong. What is only worth knowing is a note.
    """
    tell([check for look in _LOOKS for check in look(ours)], as_json)


# The machine.


def _machine(ours: Context) -> Iterator[Check]:
    yield Check("ok", "python", f"{platform.python_version()} at {sys.prefix}")
    yield Check("ok", "system", platform.platform())
    memory = psutil.virtual_memory()
    yield Check("ok", "memory", f"{size_text(memory.available)} of {size_text(memory.total)} free")


def _threads(ours: Context) -> Iterator[Check]:
    able, said = len(cores.usable()), os.environ.get("OMP_NUM_THREADS")
    found = f"{able} cores for this process of {os.cpu_count()}; OMP_NUM_THREADS {said or 'not set'}"
    if said is not None and not said.split(",")[0].strip().isdigit():
        yield Check("wrong", "threads", found, "Set OMP_NUM_THREADS to a number, or not at all.")
    elif said is not None and int(said.split(",")[0]) > able:
        yield Check("note", "threads", found, f"More threads than cores wait for each other: set it to {able} or less.")
    else:
        yield Check("ok", "threads", found)


def _devices(ours: Context) -> Iterator[Check]:
    """What torch sees; a process that dies while it is imported must not take this one along."""
    source = (
        "import json, torch; c = torch.cuda; print(json.dumps({'torch': torch.__version__, 'cuda': torch.version.cuda, "
        "'devices': [c.get_device_name(n) for n in range(c.device_count())], "
        "'mps': torch.backends.mps.is_available()}))"
    )
    try:
        asked = subprocess.run([sys.executable, "-P", "-c", source], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        yield Check("wrong", "torch", "did not answer within 60 s", "Look for a hanging driver: nvidia-smi.")
        return
    if asked.returncode:
        said = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        yield Check("wrong", "torch", f"cannot be imported: {said}", "Install torch for this machine.")
        return
    found = json.loads(asked.stdout.splitlines()[-1])
    yield Check("ok", "torch", f"{found['torch']}, built for {'CUDA ' + found['cuda'] if found['cuda'] else 'the CPU'}")
    driver = _driver()
    names = found["devices"] or (["Apple GPU"] if found["mps"] else ["cpu"])
    if driver and not found["devices"]:
        other = "Update the driver, or look at CUDA_VISIBLE_DEVICES."
        do = other if found["cuda"] else "Install a torch that is built for CUDA."
        yield Check("wrong", "devices", f"driver {driver}, but torch sees no CUDA device", do)
    else:
        yield Check("ok", "devices", ", ".join(names) + (f"; driver {driver}" if driver else ""))


def _driver() -> str:
    """The version of the NVIDIA driver; empty where there is none."""
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return ""


def _disk(ours: Context) -> Iterator[Check]:
    for what, place in (("cache", cachedir.cache_directory()), ("here", Path.cwd())):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            do = "Name another with TASKKIT_CACHE=FOLDER." if what == "cache" else "Name run directories with --out."
            yield Check("wrong", what, f"{place} cannot be written", do)
        elif free < LEAST_SPACE:
            yield Check("note", what, f"{size_text(free)} free at {place}", "Make room: taskkit cache --prune.")
        else:
            yield Check("ok", what, f"{size_text(free)} free at {place}")
    try:
        entries.limit()
    except TaskkitError as error:
        yield Check("wrong", "cache limit", str(error), f"Mend {entries.LIMIT}.")


def _installed(ours: Context) -> Iterator[Check]:
    yield from health.checks(ours.plugins)
    if health.version("torchaudio") and not health.version("torchcodec"):
        do = "Install torchcodec where something of yours calls torchaudio.load; taskkit itself reads sound otherwise."
        yield Check("note", "torchaudio", "torchaudio.load needs torchcodec, which is not installed", do)


_LOOKS: tuple[Callable[[Context], Iterator[Check]], ...] = (_machine, _threads, _devices, _disk, _installed)
