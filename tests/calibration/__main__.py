"""Checks intervals and tests against a known truth and writes what came out: `make calibration`, some ten minutes.

python -m tests.calibration [TIMES] [PAGE]
"""

from __future__ import annotations

import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import scipy

from taskkit.runs.record import environment, git_state
from tests.calibration.simulate import Share, coverage, nulls, power, seeds

PAGE = Path("docs/explanation/calibration.md")
TIMES = 1000


def main(times: int, page: Path) -> None:
    """Simulate, print each line as it comes, and write the page."""
    git, lines = git_state() or {}, []
    for part in (coverage, seeds, nulls, power):
        for share in part(times):
            lines.append(_line(share))
            print(lines[-1], flush=True)
    commit = str(git.get("commit", "unknown"))[:7] + (", with changes" if git.get("dirty") else "")
    page.write_text(
        "# What the intervals and tests are worth, measured\n\n"
        f"Written by `make calibration`: {times} simulations with a known truth for each line (a quarter of them where "
        "methods are compared), bootstrap intervals of 999 resamples. "
        f"{datetime.now(UTC).date()}, commit {commit}, Python {platform.python_version()}, scipy {scipy.__version__}, "
        f"{environment('cpu')['cpu']}, {time.process_time() / 60:.0f} minutes of a processor. ± is one standard "
        "error of the simulation; lines without it are computed, not simulated. [What a number is worth](numbers.md) "
        "says what follows.\n\n"
        "| | setting | share |\n|---|---|---|\n" + "\n".join(lines) + "\n"
    )


def _line(share: Share) -> str:
    error = f" ± {share.error:.1%}" if share.error else ""
    return f"| {share.what} | {share.setting} | {share.found:.1%}{error} |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TIMES, Path(sys.argv[2]) if len(sys.argv) > 2 else PAGE)
