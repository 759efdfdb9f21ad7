"""Between training and test: the weights that are tested, and what a task keeps beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from taskkit.contracts.data import Prepared
from taskkit.engine.build import Built
from taskkit.engine.guard import calling
from taskkit.engine.loaders import Loaders, batches_of, ids_of
from taskkit.runs import checkpoint
from taskkit.runs.checkpoint import Saved
from taskkit.runs.encryption import EncryptionKey, writing
from taskkit.runs.record import write_file


def use_best(built: Built, folder: Path) -> Saved | None:
    """Take the best weights from a folder of checkpoints, where a validation chose some."""
    path = folder / "best.ckpt"
    if not path.exists():
        return None
    best = checkpoint.read(path)
    built.task.load_state_dict(best.state)
    return best


def conclude(
    built: Built,
    prepared: Prepared,
    loaders: Loaders,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> dict[str, Any]:
    """Let the task make what is kept beside its weights, and take it as whoever reads the run back will."""
    task, owner = built.task.to(device), built.recipe.task
    training = task.training
    task.eval()
    with torch.no_grad(), autocast(), calling(owner, "conclude"):
        batches = partial(batches_of, loaders, built, prepared, device)
        conclusion = dict(task.conclude(batches, partial(ids_of, loaders)))
    task.train(training)
    if not conclusion:
        return {}
    checkpoint.check_plain(f"{owner.name} ({owner.plugin}): `conclude`", conclusion)
    kept = {name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in conclusion.items()}
    with calling(owner, "load_conclusion"):
        task.load_conclusion(kept)
    return kept


def keep(conclusion: dict[str, Any], folder: Path, key: EncryptionKey | None) -> None:
    """Write a conclusion beside the checkpoints."""
    path = folder / checkpoint.CONCLUSION
    with write_file(path) as beside, writing(beside, key) as file:
        torch.save(conclusion, file)
