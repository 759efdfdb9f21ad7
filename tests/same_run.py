"""What two runs must have alike to be the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The last weights of a run."""
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def losses(run: Path) -> list[dict[str, Any]]:
    """The logged lines without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


def assert_same_weights(one: Path, other: Path) -> None:
    """The same weights, bit for bit."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def assert_same_run(one: Path, other: Path) -> None:
    """The same weights, bit for bit, and the same logged losses."""
    assert losses(one) == losses(other)
    assert_same_weights(one, other)
