"""How a run was made: its data, recipe, protocol, environment, cost, and what was proved of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskkit.compare.layout import joules
from taskkit.errors import CheckpointError
from taskkit.report import numbers
from taskkit.report.document import Cell, Code, Facts, Line, More, Part, Prose, Tone, grid
from taskkit.report.look import Look
from taskkit.report.reading import RunFiles
from taskkit.runs import manifest
from taskkit.runs.manifest import Energy
from taskkit.verify.finding import PROOFS, Finding
from taskkit.wording import percent, quoted, shown

CLASSES = 30
"""So many classes are counted one by one."""
NOT_OURS = " default"
"""What the comment of a value of recipe.yaml is that nobody chose."""


def data(run: RunFiles, look: Look) -> Iterator[Part]:
    """What a run was trained and tested on, and what is wrong with it."""
    said = run.manifest.data
    if said is None:
        return
    sizes = [(f"{split} examples", "not counted" if n is None else f"{n:,}") for split, n in said.sizes.items()]
    yield Facts((("data", said.name), *sizes, ("fingerprint", said.fingerprint)))
    if look.lacking:
        yield Prose(look.lacking, "warn")
    else:
        yield from _problems(look)
    if look.classes:
        most = max(look.classes.values())
        rows = [
            (Cell(name), Cell(f"{n:,}", sort=n, heat=n / most if most else 0.0)) for name, n in look.classes.items()
        ]
        left = f" The first {CLASSES} of {len(rows)}." if len(rows) > CLASSES else ""
        least = min(look.classes.values())
        skew = f"; the commonest has {most / least:.1f} times as many as the rarest" if 0 < least < most else ""
        caption = f"Training examples of each class{skew}.{left}"
        yield grid(caption, ("class", "training examples"), rows[:CLASSES], sortable=True)
    origins = [
        [Cell(str(origin.get(name) or numbers.NOTHING)) for name in ("name", "source", "licence", "citation", "sha256")]
        for origin in said.origins
    ]
    if origins:
        columns = ("what", "source", "licence", "citation", "sha256")
        yield grid("Where data and pretrained weights came from.", columns, origins)


def _problems(look: Look) -> Iterator[Part]:
    tones: Mapping[str, Tone] = {"error": "bad", "warning": "warn", "info": ""}
    rows = [
        (
            Cell(each.severity, tone=tones.get(each.severity, "")),
            Cell(each.kind),
            Cell(each.message),
            Cell(", ".join(each.examples) or numbers.NOTHING),
        )
        for each in look.problems
    ]
    if rows:
        columns = ("severity", "kind", "what was found", "some of the examples")
        yield grid("What the data module finds wrong with these data.", columns, rows)
    else:
        yield Prose("The data module looked for what is wrong with these data, and found nothing.", "good")


def cost(run: RunFiles) -> Iterator[Part]:
    """What a run cost."""
    said = run.manifest.cost
    padding = None if said.padding is None else percent(said.padding).replace("%", " %")
    per_unit = said.units_per_second
    per_second = None if per_unit is None else f"{per_unit:,.0f}"
    units = [] if said.units == "examples" else [(f"{said.units or 'units'} a second", per_second)]
    facts = [
        ("parameters", numbers.count(said.parameters)),
        ("time spent training", numbers.seconds(said.train_seconds)),
        ("examples a second", None if said.examples_per_second is None else f"{said.examples_per_second:,.0f}"),
        *units,
        ("padding", padding),
        ("energy of training", _energy(said.energy)),
        ("peak memory", numbers.bytes_(said.peak_memory_bytes)),
        ("operations for an example", None if said.flops_per_example is None else f"{said.flops_per_example:.3g}"),
        ("share of the device's peak (MFU)", None if said.mfu is None else percent(said.mfu).replace("%", " %")),
        ("device", str(run.manifest.environment.get("device", ""))),
        ("processor", str(run.manifest.environment.get("cpu", ""))),
        ("precision", run.manifest.precision),
    ]
    known = tuple((name, value) for name, value in facts if value and value != numbers.NOTHING)
    if known:
        yield Facts(known)


def compressed(run: RunFiles) -> Iterator[Part]:
    """What its network was made of, and what that gave."""
    made = run.manifest.compressed
    if made is None:
        return
    parent = Path(made.where(run.path))
    how = ", ".join(f"{name} {shown(value)}" for name, value in made.settings.items())
    yield Prose(f"Made of {parent.name}: {how}.")
    before, after = made.inference_before, made.inference_after
    rows = [("weights in memory", *map(numbers.bytes_, (made.bytes_before, made.bytes_after)))]
    if before is not None and after is not None:
        rows.append(("one answer", *(numbers.milliseconds(each.latency_ms) for each in (before, after))))
        rows.append(("answers a second, in batches", *(f"{each.examples_per_second:,.0f}" for each in (before, after))))
    metric = f"test/{run.headline[0]}"
    try:
        judged: float | None = manifest.read(parent).metrics.get(metric)
    except CheckpointError:
        judged = None
    rows.append((metric, *map(numbers.number, (judged, run.value))))
    yield grid("Both were measured in one process.", ("", parent.name, "this run"), rows)
    yield Prose(
        f"Whether the two can be told apart on the same examples: taskkit report {quoted(run.path)} {quoted(parent)}"
    )


def _energy(energy: Energy | None) -> str | None:
    """The energy, and of what it is; None where it is not known."""
    if energy is None or energy.joules is None:
        return None
    return f"{joules(energy.joules)} by {energy.meter}: {', '.join(energy.parts)}; {energy.note}"


def proofs(run: RunFiles) -> Iterator[Part]:
    """What `taskkit verify` found."""
    if not run.findings:
        yield Prose(f"Nothing was proved of this run yet: taskkit verify {quoted(run.path)}")
        return
    tones: Mapping[str, Tone] = {"pass": "good", "fail": "bad", "skipped": "warn"}
    rows = [
        (Cell(each.proof), Cell(each.outcome, tone=tones[each.outcome]), Cell(each.compared), Cell(_difference(each)))
        for each in run.findings
    ]
    columns = ("proof", "outcome", "what was compared", "largest difference")
    yield grid(f"{len(rows)} of {len(PROOFS)} proofs were tried.", columns, rows)


def _difference(finding: Finding) -> str:
    if finding.largest is None or finding.limit is None:
        return finding.advice or numbers.NOTHING
    size = "not comparable" if math.isinf(finding.largest) else f"{finding.largest:.2g}"
    where = f" ({finding.where})" if finding.where else ""
    return f"{size}{where}; {finding.limit:g} is allowed. {finding.advice}".strip()


def recipe(run: RunFiles) -> Iterator[Part]:
    """The recipe, what was chosen in it, and where each value came from."""
    if run.manifest.command:
        yield Facts((("called as", run.manifest.command),))
    lines = [_line(text) for text in run.recipe.splitlines()]
    chosen = tuple(line for line in lines if line.chosen)
    if not lines:
        return
    yield Prose(f"{len(chosen)} of its {sum(bool(line.comment) for line in lines)} values were chosen; they stand out.")
    code = Code(tuple(lines), "recipe.yaml")
    yield code if len(lines) <= CLASSES else More(f"recipe.yaml, {len(lines)} lines", (code,))


def _line(text: str) -> Line:
    before, mark, comment = text.partition("  #")
    return Line(before.rstrip(), comment.strip(), chosen=bool(mark) and comment.rstrip() != NOT_OURS)


def protocol(run: RunFiles) -> Iterator[Part]:
    """What decides whether another run may be compared with this one."""
    said = run.manifest.protocol
    if said is None:
        return
    facts = [("task", said.task), ("data", said.data), ("splits", said.splits), ("judged by", " ".join(said.headline))]
    yield Facts((*facts, *leaves("task", said.task_protocol), *leaves("data", said.data_protocol)))
    rows = [
        (Cell(name), Cell(form), Cell(_follows(said.statistics.get(name, {})))) for name, form in said.metrics.items()
    ]
    if rows:
        yield More("How metrics are defined", (grid("Metrics.", ("metric", "definition", "follows from"), rows),))


def _follows(said: Mapping[str, Any]) -> str:
    if not said:
        return "not stated: it has neither interval nor test"
    columns = ", ".join(map(str, said.get("columns", ())))
    return f"{said.get('function', said.get('form'))} of {columns}"


def leaves(at: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each plain value of nested mappings, by its dotted key."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(f"{at}.{name}", value)
        else:
            yield f"{at}.{name}", value if isinstance(value, str) else shown(value)


def environment(run: RunFiles) -> Iterator[Part]:
    """Python, platform, plugins, code and packages."""
    said = run.manifest.environment
    if not said:
        return
    git = said.get("git")
    checkout = "none" if not git else f"{git.get('commit')}{', with changes' if git.get('dirty') else ''}"
    plugins = [f"{each.get('distribution')} {each.get('version')}" for each in run.manifest.plugins]
    plain = [(name, str(said[name])) for name in ("python", "platform", "device", "cpu", "threads") if said.get(name)]
    code = [("code of task, model and data", str(said["code"]))] if said.get("code") else []
    yield Facts((*plain, ("plugins", ", ".join(plugins) or "none"), ("checkout", checkout), *code))
    packages = said.get("packages") or {}
    if packages:
        listed = ", ".join(f"{name} {version}" for name, version in packages.items())
        yield More(f"{len(packages)} packages", (Prose(f"{listed}."),))
