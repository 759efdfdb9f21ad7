"""One call: each stage is a process with a share of the time; nothing here needs more than Python itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from on_device.kept import FAILED, FINISHED, STOPPED, begun, end

INSTALL, TESTS, RECIPES = "install", "tests", "recipes"
WORKS = ("vit_b16", "resnet50", "bert_base", "wav2vec2_base", "sasrec")
WEIGHTS: Mapping[str, float] = {INSTALL: 4.0, TESTS: 3.0, RECIPES: 2.4, **dict.fromkeys(WORKS, 1.4)}
"""What share of the time each stage has at most, of those still to come; what it leaves goes to these."""
GRACE = 5.0
"""Seconds that a stage has to end by itself once its share is over."""
SCRIPT = Path(__file__).parents[1] / "gpu.py"


@dataclass(frozen=True)
class Call:
    """What a person asked for."""

    out: Path
    minutes: float
    stages: Sequence[str]
    command: str
    options: Sequence[str]
    """Of the command line, handed on to each stage."""
    commit: str | None
    tiny: bool

    def run(self) -> bool:
        """Run the stages in turn; whether none failed."""
        self.out.mkdir(parents=True, exist_ok=True)
        until, python, sound = time.time() + 60 * self.minutes, sys.executable, True
        for number, stage in enumerate(self.stages):
            left = until - time.time()
            share = left * WEIGHTS[stage] / sum(WEIGHTS[each] for each in self.stages[number:])
            found = self._stage(stage, python, share)
            sound = sound and found["state"] in (FINISHED, STOPPED)
            python = found.get("interpreter", python)
            print(f"{stage:14} {found['state']}{': ' + found['reason'] if found['reason'] else ''}", flush=True)
        return sound

    def _stage(self, stage: str, python: str, share: float) -> Mapping[str, Any]:
        """What became of a stage, which ends or is ended in so many seconds."""
        path, began = self.out / f"{stage}.json", time.time()
        path.unlink(missing_ok=True)
        head = begun(stage, self.command, self.commit, tiny=self.tiny)
        until = max(began, began + share - GRACE)
        words = [
            python,
            "-P",
            str(SCRIPT),
            "stage",
            stage,
            "--until",
            str(until),
            "--out",
            str(self.out),
            *self.options,
        ]
        log = path.with_suffix(".log")
        with log.open("w") as said:
            process = subprocess.Popen(
                words, stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True
            )
            with _ending(process):
                try:
                    code = process.wait(share)
                except subprocess.TimeoutExpired:
                    return end(path, head, STOPPED, f"its share of the time was over, {share:.0f} s")
        if code:
            last = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])[-600:]
            return end(path, head, FAILED, f"it ended with {code}: {last}")
        return end(path, head, FINISHED, None)


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """See that a process and all that it started are gone afterwards, also where this process is told to end."""

    def told(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
