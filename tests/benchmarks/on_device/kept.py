"""What a stage found, kept in a JSON file that is whole at each moment; nothing here needs more than Python itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
RUNNING, FINISHED, FAILED, STOPPED = "running", "finished", "failed", "stopped"


class Kept:
    """The file of one stage. Each `put` writes all of it anew, so that whoever is killed keeps what there was."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self.path = path
        self.found: dict[str, Any] = {**head, "state": RUNNING, "reason": None, "rows": []}
        self._write()

    def put(self, **values: Any) -> None:
        """Set values."""
        self.found |= values
        self._write()

    def row(self, **values: Any) -> None:
        """Add a row."""
        self.put(rows=[*self.found["rows"], values])

    def _write(self) -> None:
        half = self.path.with_name(f".{self.path.name}")
        half.write_text(json.dumps(self.found, indent=1) + "\n")
        half.replace(self.path)


def end(path: Path, head: Mapping[str, Any], state: str, reason: str | None) -> dict[str, Any]:
    """Say in a stage's file how its process ended; all that was found stays."""
    found = json.loads(path.read_text()) if path.exists() else {}
    kept = Kept(path, head)
    kept.put(**{**found, "state": state, "reason": reason})
    return kept.found


def begun(stage: str, command: str, commit: str | None, *, tiny: bool) -> dict[str, Any]:
    """What is known of a stage before it begins."""
    return {
        "benchmark": "gpu",
        "stage": stage,
        "tiny": tiny,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": commit or _commit(),
        "command": command,
    }


def _commit() -> str | None:
    """The commit of the checkout, marked where it has changes; None: there is none."""
    try:
        lines = [
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return lines[0] + (" with changes" if lines[1] else "")
