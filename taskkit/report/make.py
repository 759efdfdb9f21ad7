"""From words that name runs to a report: one run by itself, several beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from taskkit.compare.comparison import compare
from taskkit.compare.reading import find
from taskkit.errors import TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.report import several, single
from taskkit.report.disagreement import Disagreement
from taskkit.report.document import Page
from taskkit.report.html import MARK, render
from taskkit.report.look import Look
from taskkit.report.reading import read
from taskkit.report.several import Method
from taskkit.runs.listing import runs_below
from taskkit.runs.manifest import Manifest
from taskkit.runs.record import write_file

if TYPE_CHECKING:
    from taskkit.loaded_run import LoadedRun

LEFT_OUT = Look("Raw examples and findings about the data were left out, as asked by --no-data.")


def report(
    words: Sequence[str],
    plugins: Plugins,
    metric: str | None = None,
    *,
    across: bool = False,
    data: bool = True,
    explain: bool = False,
) -> str:
    """A report of the runs that words name, as HTML; without `data` none are prepared.

    `explain`: with why the answers of one run that are shown first are what they are.

    Several runs are compared by `metric`, by default the headline, and `across` protocols where that is asked for.
    Raises CheckpointError for a word that names no run, and TaskkitError as `compare` does, or where one run is to be
    compared.
    """
    made = f"Made by taskkit {metadata.version('taskkit-ml')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    return render(_page(words, plugins, made, metric, across=across, data=data, explain=explain))


def check_place(path: Path) -> None:
    """Raise TaskkitError where no report can be written, before there is one: nothing but an older one is replaced."""
    if path.is_dir():
        raise TaskkitError(f"{path}: this is a directory. A file for the report was expected. Name one with --out.")
    if path.exists() and not _is_report(path):
        raise TaskkitError(f"{path}: it is there already, and no report. Name another file with --out.")
    if not path.absolute().parent.is_dir():
        raise TaskkitError(f"{path}: there is no folder {path.absolute().parent}. Make it, or name another with --out.")


def write(path: Path, html: str) -> None:
    """Write a report in one piece; raises TaskkitError where that cannot be."""
    try:
        with write_file(path) as beside:
            beside.write_text(html, encoding="utf-8")
    except OSError as error:
        raise TaskkitError(f"{path}: no report can be written there ({error.strerror}). Name another file.") from error


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(4096)


def _page(
    words: Sequence[str],
    plugins: Plugins,
    made: str,
    metric: str | None,
    *,
    across: bool,
    data: bool,
    explain: bool,
) -> Page:
    alone, notes = _alone(words)
    if alone is not None:
        if metric is not None or across:
            raise TaskkitError(
                f"--metric and --across-protocols say how several runs are compared; {alone} is one. Leave them out, "
                "or name another run."
            )
        run = read(alone)
        opened = partial(_open, alone, plugins) if explain else None
        looked = _look(run.manifest, plugins, single.wanted(run), opened) if data else LEFT_OUT
        return single.page(run, looked, made, notes)
    if explain:
        raise TaskkitError(
            "--explain: the answers of one run are explained, and several are named. Name one, or leave it out."
        )
    found = compare(words, plugins.components, metric, across=across)
    methods = [Method(line, tuple(read(Path(path)) for path in line.runs)) for line in found.lines]
    disagreement = Disagreement.of([(method.line.name, method.first) for method in methods], found.lines[0].metric)
    wanted = {} if disagreement is None else disagreement.wanted()
    looked = _look(methods[0].first.manifest, plugins, wanted) if data else LEFT_OUT
    return several.page(found, methods, disagreement, looked, made)


def _look(
    run: Manifest, plugins: Plugins, wanted: Mapping[str, int], opened: Callable[[], LoadedRun] | None = None
) -> Look:
    # Only who looks at the data pays for importing torch.
    from taskkit.report.data import look

    return look(run, plugins, wanted, opened)


def _open(run: Path, plugins: Plugins) -> LoadedRun:
    from taskkit.loaded_run import load_run

    return load_run(run, plugins=plugins)


def _alone(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The one run that words name, tested or not, and what was left out beside it; None: they name several."""
    found = [path for word in words if Path(word).exists() for path in runs_below(Path(word))]
    if len(found) == 1 and len(words) == 1:
        return found[0], []
    tested, notes = find(words)
    return (tested[0] if len(tested) == 1 else None), notes
