"""The same works by taskkit and by what people use, whole processes in turns.

python tests/benchmarks/beside.py run sasrec --recbole PYTHON [--rounds 2] [--threads 1]
python tests/benchmarks/beside.py run vit --timm TRAIN.PY
python tests/benchmarks/beside.py run ctc
python tests/benchmarks/beside.py page

Measured is from the call to the end of a process. A work is written to docs/results/beside-WORK-cpu.json, and the page
is rendered from those that are there. PYTHON is an interpreter that has RecBole 1.2.1, which wants older packages than
taskkit; TRAIN.PY is in the repository of timm, and not in its package.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

from results import RESULTS, Result, ranged, rounds_said, setting, write
from same_work import ctc, sasrec, vit
from same_work.work import Ours, Work

WORKS = {work.name: work for work in (sasrec.WORK, vit.WORK, ctc.WORK)}
TEXT = """# The same work, beside what people use

Measured with `tests/benchmarks/beside.py`, which also renders this page from the results beside it. A row is a whole
process, from the call to its end: it imports, reads the data, trains, validates, tests and writes. All rows of a table
do the same work, with one seed and one thread, and run in turns, every second round backwards. A row with another
number of parameters, of steps in an epoch or of examples in the test, or with a score that is farther from the best
than is said, has FAILED and no figure. Seconds of the CPU, of the process and those that it started, are the measure,
since others use the machine too. A run of taskkit also writes intervals, looks for faults in the data and measures how
fast it answers, which is in its figures.
[Fine-tuning beside Hugging Face's Trainer](fine-tuning.md) is a page of its own.
"""


def page(results: Mapping[str, Result]) -> str:
    """The page of the works that were measured."""
    return TEXT + "".join(section(work, results[name]) for name, work in WORKS.items() if name in results)


def section(work: Work, result: Result) -> str:
    """What was measured of a work."""
    rows, protocol = result["rows"], result["protocol"]
    packages = {name: number for row in rows for name, number in row["runs"][0].get("packages", {}).items()}
    others = ", ".join(
        f"{name} {packages[name]}" for name in packages if packages[name] != result["packages"].get(name)
    )
    facts = {name: f"{value:,}" for name, value in protocol["work"].items() if isinstance(value, int)}
    head = f"| | epochs | seconds of the CPU | seconds | memory, GiB | {work.score.says} |"
    return "\n".join(
        [
            f"\n## {work.title}\n",
            f"{work.about.format(**facts)}\n",
            setting(result, protocol["threads"])
            + (f" Of the row that has its own packages: {others}." if others else ""),
            f"{rounds_said(protocol['rounds'])} No score may be more than {work.score.farthest} from the best.\n",
            head,
            "|---|---:|---:|---:|---:|---:|",
            *_lines(work, rows),
            "",
            *_compared(work, rows),
            f"{work.why.format(**facts)}\n",
        ]
    )


def _lines(work: Work, rows: list[Result]) -> Iterator[str]:
    for row in rows:
        runs = row["runs"]
        if work.failed(runs, rows):
            yield f"| {work.rows[row['row']].says} | FAILED |  |  |  |  |"
            continue
        cpu, seconds, score = ([run[key] for run in runs] for key in ("cpu_seconds", "seconds", "score"))
        memory = max(run["memory"] for run in runs) / 2**30
        cells = [str(runs[0]["epochs"]), ranged(cpu, "{:.0f}"), ranged(seconds, "{:.0f}"), f"{memory:.1f}"]
        yield f"| {work.rows[row['row']].says} | {' | '.join([*cells, ranged(score, '{:.4f}')])} |"


def _compared(work: Work, rows: list[Result]) -> Iterator[str]:
    """What others' rows cost, in that of each of ours."""
    cost = {
        row["row"]: statistics.median(run["cpu_seconds"] for run in row["runs"])
        for row in rows
        if not work.failed(row["runs"], rows)
    }
    ours = [name for name in cost if isinstance(work.rows[name], Ours)]
    for other in (name for name in cost if name not in ours):
        for name in ours:
            times, (theirs, mine) = cost[other] / cost[name], (work.rows[each].says for each in (other, name))
            yield f"{times:.2f} × the seconds of the CPU of {mine}: {theirs}.\n"


def _run(a: argparse.Namespace) -> None:
    work = WORKS[a.work]
    write(_path(work.name), f"beside-{work.name}", work.packages, lambda: work.measure(a))


def measured() -> Mapping[str, Result]:
    """The results that are there."""
    return {name: json.loads(_path(name).read_text()) for name in WORKS if _path(name).exists()}


def _render(a: argparse.Namespace) -> None:
    (RESULTS / "beside.md").write_text(page(measured()))


def _path(work: str) -> Path:
    return RESULTS / f"beside-{work}-cpu.json"


def main() -> None:
    """Do what the command line says."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = top.add_subparsers(required=True, metavar="run|page")
    run = modes.add_parser("run", help="measure")
    run.add_argument("work", choices=WORKS)
    run.add_argument("--recbole", metavar="PYTHON", help="for sasrec, an interpreter that has RecBole")
    run.add_argument("--timm", metavar="FILE", help="for vit, train.py of timm's repository")
    run.add_argument("--rounds", type=int, default=2, help="how often each row is run")
    run.add_argument("--threads", type=int, default=1, help="of torch, in each row")
    run.set_defaults(do=_run)
    page_of = modes.add_parser("page", help="render the results into beside.md")
    page_of.set_defaults(do=_render)
    arguments = top.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
