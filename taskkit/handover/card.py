"""A model card, in Markdown: what run.json says of a run, and that the rest is not known; nothing is made up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskkit.handover.folder import RECIPE, Compared, ExportRecord
from taskkit.runs.manifest import Cost, Interval, Manifest
from taskkit.wording import some

UNKNOWN = "not known"
ENOUGH = 30
"""Of a class with fewer test examples little is known."""
Rows = Sequence[Mapping[str, str]]


def card(run: Manifest, directory: Path, classes: Rows = (), record: ExportRecord | None = None) -> str:
    """The card of a run, or of a folder that it was exported to; `classes` are the rows of classes.csv."""
    title = str(run.resolved.get("title") or run.id)
    parts = [
        f"# {_plain(title)}",
        _about(run),
        "## Metrics\n\n" + _metrics(run),
        *(["## Classes\n\n" + _classes(classes)] if classes else []),
        "## Data and weights\n\n" + _data(run),
        "## Protocol\n\n" + _protocol(run),
        "## Limits\n\n" + "\n".join(f"- {each}" for each in _limits(run, classes, exported=record is not None)),
        "## Cost\n\n" + "\n".join(f"- {each}" for each in _cost(run.cost)),
        *(["## Comparison with the run\n\n" + _compared(record.compared)] if record is not None else []),
        *(["## Use\n\n" + _use(record)] if record is not None else []),
        "## Reproduce\n\n" + _reproduce(run, directory, record),
    ]
    return "\n\n".join(parts) + "\n"


def licences(run: Manifest) -> str:
    """What the run knows of the licences of its data and weights, as a page of its own."""
    return f"# Licences of data and pretrained weights\n\n{_data(run)}\n"


def _about(run: Manifest) -> str:
    names = {kind: (run.resolved.get(kind) or {}).get("name", UNKNOWN) for kind in ("task", "model", "data")}
    rows = [(kind, f"`{name}`") for kind, name in names.items()]
    rows.append(("run", f"`{run.id}`, {run.status}" + (f", ended {run.ended}" if run.ended else "")))
    if run.tested is not None:
        rows.append(
            ("weights", f"{run.tested.checkpoint}, step {run.tested.step}, epoch {run.tested.epoch} counted from 0")
        )
    parameters = UNKNOWN if run.cost.parameters is None else f"{run.cost.parameters:,}"
    return _table(("", ""), [*rows, ("parameters", parameters)])


def _metrics(run: Manifest) -> str:
    if not run.metrics:
        return "None: the run was not tested."
    headline = f"test/{run.protocol.headline[0]}" if run.protocol is not None else ""
    rows = []
    for name, value in sorted(run.metrics.items(), key=lambda item: item[0] != headline):
        trivial = (run.baseline or {}).get(name)
        said = _interval(run.intervals.get(name))
        rows.append((f"**{name}**" if name == headline else name, f"{value:.4f}", said, _number(trivial)))
    return _table(("metric", "value", "interval", "trivial predictor"), rows)


def _interval(found: Interval | None) -> str:
    if found is None:
        return "none: the task does not say how it follows from examples"
    if found.low is None or found.high is None:
        return f"none: {found.note}"
    groups = f", {found.groups} groups" if found.groups is not None else ""
    return (
        f"{100 * found.level:g} % {found.low:.4f} to {found.high:.4f} ({found.method}, {found.rows:,} examples{groups})"
    )


def _classes(classes: Rows) -> str:
    names = list(classes[0])
    return _table(names, [[_cell(row.get(name, "")) for name in names] for row in classes])


def _cell(text: str) -> str:
    return f"{float(text):.4f}" if "." in text and text.replace(".", "", 1).isdecimal() else text


def _data(run: Manifest) -> str:
    if run.data is None:
        return f"What it was trained on is {UNKNOWN}."
    sizes = ", ".join(
        f"{split} {'a stream, not counted' if size is None else f'{size:,}'}" for split, size in run.data.sizes.items()
    )
    lines = [f"`{run.data.name}`: {sizes or f'sizes {UNKNOWN}'}. Fingerprint `{run.data.fingerprint}`."]
    rows = [
        (
            str(each.get("name") or UNKNOWN),
            str(each.get("source") or UNKNOWN),
            str(each.get("licence") or UNKNOWN),
            str(each.get("citation") or UNKNOWN),
            f"`{str(each['sha256'])[:16]}…`" if each.get("sha256") else UNKNOWN,
        )
        for each in run.data.origins
    ]
    if not rows:
        return "\n\n".join([*lines, f"Where data and weights came from, and under which licences, is {UNKNOWN}."])
    return "\n\n".join([*lines, _table(("name", "source", "licence", "citation", "SHA-256"), rows)])


def _protocol(run: Manifest) -> str:
    if run.protocol is None:
        return f"It is {UNKNOWN}."
    metric, direction = run.protocol.headline
    lines = [f"- judged by {metric}, of which {'more' if direction == 'max' else 'less'} is better"]
    for name, value in {**run.protocol.data_protocol, **run.protocol.task_protocol}.items():
        lines.append(
            f"- {name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}"
        )
    return "\n".join([*lines, f"- splits: `{run.protocol.splits}`"])


def _limits(run: Manifest, classes: Rows, *, exported: bool) -> Iterator[str]:
    sizes = {} if run.data is None else run.data.sizes
    yield (
        f"It was tested on {sizes['test']:,} examples of the same data and on no others."
        if run.metrics and sizes.get("test")
        else "It was not tested on examples that can be counted."
    )
    yield "What it is meant for, whom its errors harm, and how it answers inputs of another kind were not examined."
    few = [row["class"] for row in classes if row.get("examples", "").isdecimal() and int(row["examples"]) < ENOUGH]
    if few:
        yield f"Fewer than {ENOUGH} test examples: {some(few)}."
    if exported and run.resolved.get("privacy", {}).get("encrypt"):
        yield "The run is encrypted; what it was exported to is not."
    if run.status != "finished":
        yield f"The run is {run.status}{f': {run.reason}' if run.reason else ''}."
    if run.stopped:
        yield f"Training ended early: {run.stopped}"
    yield from (_plain(each) for each in (*run.remarks, *run.notes))
    for split, marks in ({} if run.data is None else run.data.flagged).items():
        yield from (f"{mark}: {found.get('count')} {split} examples." for mark, found in marks.items())


def _cost(cost: Cost) -> Iterator[str]:
    yield f"training: {UNKNOWN if cost.train_seconds is None else f'{cost.train_seconds:,.1f} s'}"
    if cost.examples_per_second is not None:
        yield f"training: {cost.examples_per_second:,.1f} examples/s"
    energy = cost.energy
    if energy is None or energy.joules is None:
        yield f"energy of training: {UNKNOWN}" + (f" ({energy.note})" if energy is not None and energy.note else "")
    else:
        yield f"energy of training: {energy.joules:,.0f} J by {energy.meter}" + (
            f"; {energy.note}" if energy.note else ""
        )
    memory = cost.peak_memory_bytes
    yield f"largest memory: {UNKNOWN if memory is None else f'{memory / 1e6:,.0f} MB'}"
    if (asked := cost.inference) is None:
        yield f"an answer: {UNKNOWN}"
    else:
        speed = f"{asked.latency_ms:.2f} ms by itself, {asked.examples_per_second:,.0f}/s in batches"
        yield f"an answer: {speed}, on {asked.device}"


def _compared(found: Iterable[Compared]) -> str:
    rows = []
    for each in found:
        if not each.what:
            rows.append(("predictions", each.precision, "a test of this task makes none", "", ""))
            continue
        apart = "" if not each.shapes else "without bound" if each.largest is None else f"{each.largest:.2e}"
        limit = f"{each.limit:g}" if each.shapes and each.limit is not None else ""
        answers = "none are made in a test" if each.answers is None else f"{len(each.changed)} of {each.answers} others"
        rows.append((f"{each.what}, {each.rows} examples", each.precision, apart, limit, answers))
    names = ("what", "weights", "largest difference", "limit", "predictions")
    note = (
        "A difference is in units of the output's largest magnitude, or of 1. Batches had shapes that the network was "
        "not exported by; export.json lists them. What is computed is float32, whatever the weights are kept in."
    )
    return f"{_table(names, rows)}\n\n{note}"


def _use(record: ExportRecord) -> str:
    lines = ["```bash", "taskkit predict FOLDER INPUT", "```"]
    if record.program is not None:
        takes = ", ".join(
            f"`{name}` {each['dtype']} ({', '.join('any' if size is None else str(size) for size in each['shape'])})"
            for name, each in record.program.inputs.items()
        )
        lines += [
            "",
            f"The program takes {takes}, and answers {', '.join(f'`{each}`' for each in record.program.outputs)}.",
        ]
    return "\n".join(lines)


def _reproduce(run: Manifest, directory: Path, record: ExportRecord | None) -> str:
    lines = ["```bash", f"taskkit run {RECIPE}" if record is not None else f"taskkit reproduce {directory}", "```", ""]
    environment = run.environment
    versions = {each["distribution"]: each.get("version", UNKNOWN) for each in run.plugins}
    packages = environment.get("packages") or {}
    for name in ("taskkit-ml", "torch", "pytorch-lightning"):
        if name in packages:
            versions[name] = packages[name]
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines += [
        f"- seed {run.seed}, precision {run.precision or UNKNOWN}",
        f"- {said or f'versions {UNKNOWN}'}, Python {environment.get('python', UNKNOWN)}",
        f"- on {environment.get('cpu') or UNKNOWN}, {environment.get('device') or UNKNOWN}",
    ]
    if run.changes:
        lines.append(
            f"- changed while it went on: {json.dumps([dict(each.values) for each in run.changes], default=str)}"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(_plain(str(cell)) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """A text on one line that no cell of a table ends at and no HTML begins in."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
