"""Checkpoints that Lightning writes encrypted, for runs that ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from taskkit.runs import checkpoint
from taskkit.runs.encryption import EncryptionKey, writing


class EncryptingIO(TorchCheckpointIO):
    """Writes checkpoints as a stream of encrypted chunks, so that none ever lies on the disk as it is."""

    def __init__(self, key: EncryptionKey) -> None:
        self.key = key

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        with writing(Path(path), self.key) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint, as plain data on the CPU."""
        return checkpoint.load_safely(Path(path))
