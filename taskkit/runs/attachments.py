"""Predictions that are files: written beside the others, and named after what was asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from taskkit.contracts.facts import Attachment, Prediction
from taskkit.errors import TaskkitError
from taskkit.runs.encryption import EncryptionKey, writing

_UNSAFE = re.compile(r"[^\w.-]+")


def attached(
    prediction: Prediction, folder: Path, stem: str, base: Path | None = None, key: EncryptionKey | None = None
) -> Prediction:
    """The prediction with its Attachments written into files, and their paths instead, relative to `base` if given.

    Raises TaskkitError where they cannot be written.
    """
    if not any(isinstance(value, Attachment) for value in prediction.values()):
        return prediction
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TaskkitError(
            f"{folder}: files of predictions cannot be written there ({error.strerror}). Name a folder with --out."
        ) from error
    written = dict(prediction)
    for name, value in prediction.items():
        if isinstance(value, Attachment):
            ending = "" if name == "prediction" else f".{name}"
            path = folder / f"{stem}{ending}{value.suffix}"
            with writing(path, key) as file:
                file.write(value.content)
            written[name] = str(path if base is None else path.relative_to(base))
    return written


def file_name(example: str) -> str:
    """A name for the files of an example: its id, with a hash where characters had to go, so that no two are one."""
    name = _UNSAFE.sub("_", example)[-100:].lstrip(".")
    return name if name == example else f"{name}-{hashlib.sha256(example.encode()).hexdigest()[:8]}"


def file_names(inputs: Sequence[str]) -> list[str]:
    """Names for the files of what a person gave: `land` for `land.png`, all numbered where two are the same."""
    stems = [_UNSAFE.sub("_", PurePath(each).stem)[-100:].lstrip(".") for each in inputs]
    if len({stem.casefold() for stem in stems}) < len(stems):
        return [f"{n}-{stem}" for n, stem in enumerate(stems, 1)]
    return stems
