"""The lines of metrics.jsonl: one for each drain of the training scalars and for each validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from taskkit.errors import CheckpointError

FILE = "metrics.jsonl"


def read(run: Path) -> list[dict[str, Any]]:
    """The lines of a run, none where nothing was logged; raises CheckpointError for a damaged one."""
    path, lines = run / FILE, []
    if not path.exists():
        return []
    # What a killed run wrote last has no end of line.
    for number, text in enumerate(path.read_text().split("\n")[:-1], 1):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            raise CheckpointError(f"{path}:{number}: damaged. A JSON object was expected. Remove the line.")
        lines.append(line)
    return lines
