"""What a proof found, and verify.json, which keeps it with the run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from taskkit.errors import CheckpointError
from taskkit.runs.record import write_atomically

SCHEMA = 1
FILE = "verify.json"

Proof = Literal[
    "resume",
    "accumulate",
    "determinism",
    "precision",
    "devices",
    "batch-size",
    "order",
    "processes",
    "export",
    "onnx",
]
Outcome = Literal["pass", "fail", "skipped"]

PROOFS: tuple[Proof, ...] = get_args(Proof)


@dataclass(frozen=True)
class Finding:
    """What one proof found."""

    proof: Proof
    outcome: Outcome
    compared: str
    """What was compared with what; of a proof that was skipped the reason."""
    largest: float | None = None
    """The largest difference, in the measure that `compared` names; None: nothing was comparable."""
    where: str = ""
    """In which weight, line or metric the largest difference was."""
    limit: float | None = None
    """The largest difference that passes."""
    advice: str = ""
    """What to look at, where it failed."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What decided the proof: steps, examples, seed, and where processes were killed."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions of Python and torch, and the device."""
    ended: str = ""
    """When, in UTC."""
    avoidable: bool = False
    """Of a proof that was skipped: whether it would say something with more data or other settings."""


def read(run: Path) -> dict[Proof, Finding]:
    """The findings that are kept with a run, by proof; raises CheckpointError when they cannot be read."""
    path = run / FILE
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        if found["schema"] != SCHEMA:
            raise ValueError(f"its schema is {found['schema']!r}, not {SCHEMA}")
        return {each["proof"]: Finding(**each) for each in found["findings"]}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). What `taskkit verify` wrote was expected. Remove it and verify again."
        ) from None


def keep(run: Path, findings: Sequence[Finding]) -> None:
    """Write findings to a run's verify.json, in one piece; those of other proofs stay. Raises CheckpointError."""
    kept = read(run) | {finding.proof: finding for finding in findings}
    ordered = [dataclasses.asdict(kept[proof]) for proof in PROOFS if proof in kept]
    write_atomically(run / FILE, json.dumps({"schema": SCHEMA, "findings": ordered}, indent=2) + "\n")
