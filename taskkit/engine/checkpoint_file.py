"""How a checkpoint gets onto the disk: written where it is to lie, and there to stay once that is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO

from taskkit.runs import checkpoint as checkpoints
from taskkit.runs.encryption import EncryptionKey, writing


class CheckpointFile(TorchCheckpointIO):
    """Writes a checkpoint straight into its file and waits until the disk has it; raises OSError where it cannot.

    With a key it is a stream of encrypted chunks, so that none ever lies on the disk as it is.

    Lightning's own makes it in memory, writes it into the system's folder for temporary files and moves it from there:
    a full /tmp would end a run whose own disk has room, and between two file systems a move is a copy that can be cut.
    """

    def __init__(self, key: EncryptionKey | None = None) -> None:
        self.key = key

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; whoever calls moves it to its final name."""
        with writing(Path(path), self.key) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch's complaint about the end of its archive hides what the system said.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
        settle(Path(path))

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint, as plain data on the CPU."""
        return checkpoints.load_safely(Path(path))


def settle(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
