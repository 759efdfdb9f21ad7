"""Whether what a run will write fits on the disk, known before it is written."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from taskkit.batches.entries import size_text
from taskkit.contracts.recipe import OptimSection
from taskkit.engine import optim
from taskkit.engine.build import Built
from taskkit.errors import TaskkitError

VALIDATED, PLAIN = 4, 2
"""Checkpoints that are there at once: the last and the best, and while both are replaced two new ones."""


def check_room(built: Built, directory: Path, *, validated: bool) -> None:
    """Raise TaskkitError where the checkpoints of a run do not fit on the disk of its directory."""
    one, copies = checkpoint_bytes(built), VALIDATED if validated else PLAIN
    free = shutil.disk_usage(directory).free
    if one * copies > free:
        raise TaskkitError(
            f"{directory}: a checkpoint of this run takes about {size_text(one)}, {copies} are there while they are "
            f"replaced, and {size_text(free)} are free. Make room, or name another place with --out."
        )


def checkpoint_bytes(built: Built) -> int:
    """About how large a checkpoint is: weights, what the optimiser keeps of each, their mean, the processor's state."""
    section, task = built.recipe.optim, built.task
    weights: int = sum(
        value.numel() * value.element_size() for value in task.state_dict().values() if isinstance(value, torch.Tensor)
    )
    fixed = {id(p) for p in optim.never_trained(section, task)}
    trained = [p for p in task.parameters() if p.requires_grad and id(p) not in fixed]
    kept = sum(p.numel() * p.element_size() for p in trained)
    states = kept_per_weight(section) if trained and built.recipe.trainer.max_epochs != 0 else 0.0
    buffer = io.BytesIO()
    torch.save(dict(built.processor.state_dict()), buffer)
    return int(weights * (1 if section.ema is None else 2) + kept * states) + buffer.tell()


def kept_per_weight(section: OptimSection) -> float:
    """How many numbers the optimiser keeps of each weight, by a step on a few: 2 with Adam; 0 where it takes none."""
    weights = nn.Parameter(torch.zeros(16, 16))
    optimiser = optim.make_optimiser(replace(section, weight_decay=0.0), [{"params": [weights]}], fused=False)
    weights.grad = torch.zeros_like(weights)
    try:
        # Past torch's hooks, by which others count the steps of a training: this is none.
        step = type(optimiser).step
        getattr(step, "__wrapped__", step)(optimiser)
    except TypeError:  # Such as LBFGS, which asks for the loss again.
        return 0.0
    kept = [value.numel() for value in optimiser.state[weights].values() if isinstance(value, torch.Tensor)]
    return sum(size for size in kept if size > 1) / weights.numel()
