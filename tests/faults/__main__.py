"""Disturbs whole runs in every way that is known, and writes what came of it: `make faults`, an hour.

python -m tests.faults [MOMENTS] [FILES] [PAGE]
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from taskkit.runs.record import cpu, git_state
from taskkit.wording import printable
from tests.faults.children import taskkit
from tests.faults.files import files
from tests.faults.modalities import modalities
from tests.faults.moments import moments
from tests.faults.others import others
from tests.faults.places import begun, places
from tests.faults.report import Line
from tests.faults.runs import outcome

PAGE = Path("docs/results/faults.md")
MOMENTS = 50
FILES = 200
SEED = 2026


def main(times: int, count: int, page: Path) -> int:
    """Go through all faults, print each line as it comes, write the page, and return 1 where anything was wrong."""
    began, git, found = time.monotonic(), git_state() or {}, list[Line]()
    with tempfile.TemporaryDirectory(prefix="taskkit-faults-") as place:
        for line in _faults(times, count, Path(place)):
            found.append(line)
            print(line, *line.wrong, sep="\n  ", flush=True)
    commit = str(git.get("commit", "unknown"))[:7] + (", with changes" if git.get("dirty") else "")
    where = f"Python {platform.python_version()}, {cpu()}, {(time.monotonic() - began) / 60:.0f} minutes"
    page.write_text(rendered(found, f"{datetime.now(UTC).date()}, commit {commit}, {where}, seed {SEED}."))
    return int(any(line.wrong for line in found))


def _faults(times: int, count: int, place: Path) -> Iterator[Line]:
    folder = begun(place)
    taskkit(["run", "r.yaml", "--out", "run"], folder, {"TASKKIT_CACHE": str(folder / "cache")})
    expected = outcome(folder / "run")
    for modality in modalities():
        yield from files(modality, count, SEED, place)
    yield from places(place, expected)
    yield from others(place, expected)
    yield from moments(times, SEED, place)


def rendered(found: list[Line], when: str) -> str:
    """The page: what was done, what came of it, and what was wrong."""
    wrong = [f"- {printable(' '.join(problem.split()))}" for line in found for problem in line.wrong]
    return (
        TEXT
        + when
        + "\n\n| fault | times | came | wrong |\n|---|---|---|---|\n"
        + "\n".join(map(str, found))
        + "\n"
        + ("\n## What was wrong\n\n" + "\n".join(wrong) + "\n" if wrong else "")
    )


TEXT = """\
# Runs disturbed, and files damaged

What `make faults` does: a run of the digits is fetched, encoded into the store, trained for three epochs with nine
validations, checkpoints between them, tested and written, with two workers and with none. It is disturbed in real
processes: most are forked from one that has imported everything, every tenth begins with its imports. A signal comes
at a random moment of the whole wall time; the process is frozen at that moment, so that the stage is known and all
that lies under a final name can be read whole. `run.json` is read every ten milliseconds. Then the run is called
again, by `--resume RUN` or `--resume auto`; every third that was killed is killed once more while it goes on. At the
end weights of both checkpoints, logged lines, test metrics, predictions and tables must be those of an undisturbed
run, bit for bit, and no process may be left.

Damaged and odd files lie among sound ones, or are the table itself: cut, changed, spliced, mislabelled, with untrue
claims in their headers, odd cells, links, FIFOs, devices, odd names. Each may work, be named and counted, or be
refused by its name with exit code 2. A traceback, another exit code, more than 60 s, more than 512 MB beyond what a
sound file takes, or examples that are gone without a word are wrong.

"""


if __name__ == "__main__":
    sys.exit(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else MOMENTS,
            int(sys.argv[2]) if len(sys.argv) > 2 else FILES,
            Path(sys.argv[3]) if len(sys.argv) > 3 else PAGE,
        )
    )
