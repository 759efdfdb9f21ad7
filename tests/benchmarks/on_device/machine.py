"""The machine that results are of."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from lightning_fabric.utilities.throughput import get_available_flops

from taskkit.runs.record import cpu

PACKAGES = (
    "taskkit-ml",
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "transformers",
    "accelerate",
    "timm",
    "torchvision",
    "torchaudio",
    "triton",
    "numpy",
)


def described(*, tiny: bool) -> dict[str, Any]:
    """Device, processor and versions; raises SystemExit where there is no CUDA device and one is needed."""
    if not tiny and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device here. Expected one. To see on a CPU that this works, add --tiny.")
    machine: dict[str, Any] = {"cpu": cpu(), "load": os.getloadavg()[0]}
    if not tiny:
        about = torch.cuda.get_device_properties(0)
        machine |= {"device": about.name, "memory": about.total_memory, "capability": f"{about.major}.{about.minor}"}
        machine |= {"cuda": torch.version.cuda, "driver": _driver()}
    packages = {name: found for name in PACKAGES if (found := _version(name))}
    return {"machine": machine, "python": platform.python_version(), "packages": packages}


def peak() -> float | None:
    """Operations a second in bf16 that the device is sold with, by its name; None: the name is not known."""
    if not torch.cuda.is_available():
        return None
    found = get_available_flops(torch.device("cuda", 0), torch.bfloat16)
    return None if found is None else float(found)


def _driver() -> str | None:
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
