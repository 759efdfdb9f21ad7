"""A comparison as a person reads it, and as programs and papers take it."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from dataclasses import asdict
from typing import Any

from taskkit.compare.columns import Column, aligned, fitted, shortened
from taskkit.compare.comparison import Comparison, Line
from taskkit.compare.cost import metered
from taskkit.compare.datasets import Ranking
from taskkit.compare.differences import Difference
from taskkit.compare.words import number, sentences, title

LEAST_P = 0.0001
"""Smaller p-values are not told apart in a table."""
_SPECIAL = {"\\": r"\textbackslash{}", **{c: f"\\{c}" for c in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\^{}"}


def text(comparison: Comparison, width: int) -> str:
    """A table that fits into so many characters, best first, and what follows from it."""
    rows = fitted(_columns(comparison), range(len(comparison.lines)), width)
    said = [line for each in sentences(comparison) for line in textwrap.wrap(each, width, subsequent_indent="  ")]
    curves = [*_curves(comparison, width), ""] if comparison.by is not None else []
    return "\n".join([*textwrap.wrap(title(comparison), width), "", *curves, *rows, "", *said])


def _curves(comparison: Comparison, width: int) -> list[str]:
    """One row a curve and one column a value; where these do not fit, one row each."""
    names = [*dict.fromkeys(line.curve for line in comparison.lines)]
    ordered = sorted(comparison.lines, key=lambda line: line.at if isinstance(line.at, int | float) else math.inf)
    values = [*dict.fromkeys(_value(line.at) for line in ordered)]
    lines = {(line.curve, _value(line.at)): line for line in ordered}
    cells = {place: f"{_figure(line)} ({_interval(line)})".removesuffix(" ()") for place, line in lines.items()}
    wide = [[str(comparison.by), *values]]
    wide += [[name, *(cells.get((name, value), "") for value in values)] for name in names]
    rows = aligned(wide)
    if max(map(len, rows)) <= width:
        return rows
    long = [[name, value, cells[name, value]] for name in names for value in values if (name, value) in cells]
    return aligned(shortened([["run", str(comparison.by), _metric(comparison)], *long], width, 0))


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def costs(comparison: Comparison, width: int) -> str:
    """A table of quality beside cost, best first, and which none other beats in both."""
    lines, places = comparison.lines, range(len(comparison.lines))
    columns = [
        Column("#", lambda i: str(i + 1), 0),
        Column("run", lambda i: lines[i].name, 0),
        Column(_metric(comparison), lambda i: _figure(lines[i]), 0),
        Column("skill", lambda i: _skill(lines[i]), 5),
        Column("parameters", lambda i: _count(lines[i].costs.parameters), 1),
        Column("training", lambda i: _seconds(lines[i].costs.train_seconds), 1),
        Column("latency", lambda i: _unit(lines[i].costs.latency_ms, "ms"), 2),
        Column("examples/s", lambda i: _unit(lines[i].costs.examples_per_second), 3),
        Column("memory", lambda i: _bytes(lines[i].costs.peak_memory_bytes), 4),
    ]
    energies = [line.costs for line in lines]
    if metered(energies):
        columns.append(Column("energy", lambda i: joules(lines[i].costs.energy_joules), 2))
    table = fitted(columns, places, width)
    said = []
    for name, front in comparison.fronts.items():
        best = ", ".join(str(place + 1) for place in front)
        said.append(f"None is both better and cheaper in {name} than: {best}.")
    machines = dict.fromkeys(line.costs.machine or "several machines" for line in lines)
    if len(machines) > 1:
        for each in machines:
            of = ", ".join(str(i + 1) for i in places if (lines[i].costs.machine or "several machines") == each)
            said.append(f"Times of {of}: {each}.")
        said.append("Times of several machines are not comparable, and have no front.")
    if metered(energies):
        said.append(f"Energy of training by {energies[0].energy_meter}, whatever else used these.")
    elif all(each.energy_joules is not None for each in energies):
        said.append("Energy is not shown: several meters counted it.")
    said.append(
        "Differences in quality may be chance: taskkit compare without --cost says which are real. So may those in "
        "time: a run is timed once, with whatever else the machine did."
    )
    said = [line for each in said for line in textwrap.wrap(each, width, subsequent_indent="  ")]
    return "\n".join([*textwrap.wrap(title(comparison), width), "", *table, "", *said])


def joules(value: float | None) -> str:
    """Energy in its own unit; empty where it is not known."""
    if value is None:
        return ""
    unit, size = next(((unit, size) for unit, size in (("MJ", 1e6), ("kJ", 1e3)) if value >= size), ("J", 1.0))
    return f"{value / size:,.3g} {unit}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} s" if value < 100 else f"{value:,.0f} s"


def _unit(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:,.3g} {unit}".rstrip() if value < 1000 else f"{value:,.0f} {unit}".rstrip()


def _bytes(value: float | None) -> str:
    return "" if value is None else f"{value / 1e6:,.0f} MB"


def ranks(ranking: Ranking, width: int) -> str:
    """The methods by their mean rank over many data sets, and from which others each can be told apart."""
    methods, places = ranking.methods, range(len(ranking.methods))
    columns = [
        Column("#", lambda i: str(i + 1), 0),
        Column("method", lambda i: methods[i].name, 0),
        Column("mean rank", lambda i: f"{methods[i].rank:.2f}", 0),
        Column("mean skill", lambda i: "" if (skill := methods[i].skill) is None else f"{skill:.3f}", 2),
        Column("not told apart from", lambda i: _alike(ranking, i), 1),
    ]
    said = f"Wilcoxon's signed-rank test over the data sets, {len(ranking.pairs)} pair(s) as one family, by Holm."
    if ranking.friedman is not None:
        said = f"That all are alike has p = {ranking.friedman:.4f} (Friedman). {said}"
    said += " Each protocol counts as a data set: where several are splits of the same data, p-values are too small."
    head = f"{len(methods)} methods over {ranking.data_sets} data sets; rank 1 is the best"
    return "\n".join([head, "", *fitted(columns, places, width), "", *textwrap.wrap(said, width)])


def ranks_as_json(ranking: Ranking) -> str:
    """All of it, as one JSON object."""
    pairs = [{**asdict(pair), "real": pair.real} for pair in ranking.pairs]
    return json.dumps({**asdict(ranking), "pairs": pairs}, indent=2)


def _alike(ranking: Ranking, place: int) -> str:
    pairs = [pair for pair in ranking.pairs if not pair.real and place in (pair.first, pair.second)]
    return ", ".join(str((pair.second if pair.first == place else pair.first) + 1) for pair in pairs)


def as_json(comparison: Comparison) -> str:
    """All of it, as one JSON object."""
    lines = [{**asdict(line), "skill": line.skill} for line in comparison.lines]
    pairs = [{**asdict(each), "real": each.real} for each in comparison.differences]
    for pair in pairs:
        if pair["spread"]["freedom"] == float("inf"):
            pair["spread"]["freedom"] = None
    whole: dict[str, Any] = {"by": comparison.by, "lines": lines, "differences": pairs, "notes": comparison.notes}
    whole |= {"across_protocols": comparison.across, "fronts": dict(comparison.fronts)}
    return json.dumps(whole, indent=2)


def as_csv(comparison: Comparison) -> str:
    """One row a method."""
    file = io.StringIO()
    rows = [_flat(comparison, place) for place in range(len(comparison.lines))]
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().rstrip("\n")


def as_latex(comparison: Comparison) -> str:
    """A table for booktabs; what differs really from the best is marked, and the caption says how that was found."""
    rows = []
    for place, line in enumerate(comparison.lines):
        cells = (line.name, number(line.value), _interval(line), verdict(comparison, place))
        name, figure, *rest = map(_escaped, cells)
        rows.append(f"{name} & {figure}{_mark(line)} & {' & '.join(rest)} \\\\")
    body = "\n".join(rows)
    return (
        "\\begin{table}\n\\centering\n\\begin{tabular}{lrll}\n\\toprule\n"
        f"method & {_escaped(_metric(comparison))} & 95\\,\\% interval & to the best \\\\\n\\midrule\n"
        f"{body}\n\\bottomrule\n"
        f"\\end{{tabular}}\n\\caption{{{_escaped(' '.join(sentences(comparison)))}}}\n\\end{{table}}"
    )


def _columns(comparison: Comparison) -> list[Column]:
    """What may be said of each line."""
    lines = comparison.lines
    columns = [
        Column("#", lambda i: str(i + 1), 0),
        Column("run", lambda i: lines[i].name, 0),
        Column("seeds", lambda i: str(len(lines[i].seeds)), 3),
        Column(_metric(comparison), lambda i: _figure(lines[i]), 0),
        Column("95 %", lambda i: _interval(lines[i]), 1),
        Column("skill", lambda i: _skill(lines[i]), 1 if comparison.across else 8),
        Column("to the best", lambda i: to_best(comparison, i), 4),
        Column("p (Holm)", lambda i: _p(comparison, i), 6),
        Column("verdict", lambda i: verdict(comparison, i), 2),
        Column("seen from", lambda i: _seen(comparison, i), 7),
    ]
    return [each for each in columns if each.title != "seeds" or any(len(line.seeds) > 1 for line in lines)]


def _metric(comparison: Comparison) -> str:
    found = {line.metric for line in comparison.lines}
    return found.pop() if len(found) == 1 else "metric"


def _mark(line: Line) -> str:
    return f"$^{{{line.protocol}}}$" if line.protocol else ""


def _figure(line: Line) -> str:
    name = f"{line.metric} " if line.protocol else ""
    return f"{name}{number(line.value)}" + (f" [{line.protocol}]" if line.protocol else "")


def _interval(line: Line) -> str:
    return "" if line.low is None or line.high is None else f"{number(line.low)}–{number(line.high)}"


def _skill(line: Line) -> str:
    if line.skill is None:
        return ""
    value, low, high = line.skill
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f}–{high:.3f})"


def _best(comparison: Comparison, place: int) -> int:
    """The place of the best of the same protocol."""
    return next(i for i, line in enumerate(comparison.lines) if line.protocol == comparison.lines[place].protocol)


def apart(comparison: Comparison, place: int) -> tuple[Difference, int] | None:
    """The difference to the best, and the sign that makes it this one minus the best."""
    found = comparison.between(_best(comparison, place), place) if place != _best(comparison, place) else None
    return None if found is None else (found, 1 if found.first == place else -1)


def to_best(comparison: Comparison, place: int) -> str:
    """The difference to the best with its interval; empty for the best itself and where there is none."""
    if (found := apart(comparison, place)) is None:
        return ""
    difference, sign = found
    spread = difference.spread
    value = sign * spread.value + 0.0  # not a negative zero
    if spread.low is None or spread.high is None:
        return f"{value:+.4f}"
    low, high = sorted(sign * bound for bound in (spread.low, spread.high))
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def _p(comparison: Comparison, place: int) -> str:
    found = apart(comparison, place)
    if found is None:
        return ""
    return f"{found[0].p_adjusted:.4f}" if found[0].p_adjusted >= LEAST_P else f"<{LEAST_P}"


def verdict(comparison: Comparison, place: int) -> str:
    """Whether one is the best, differs from it or cannot be told apart; empty where it is alone."""
    rivals = sum(line.protocol == comparison.lines[place].protocol for line in comparison.lines) - 1
    if not rivals:
        return ""
    if place == _best(comparison, place):
        return "best" if comparison.lines[place].direction is not None else "largest"
    if (found := apart(comparison, place)) is None:
        return "not tested"
    return "differs" if found[0].real else "not told apart"


def _seen(comparison: Comparison, place: int) -> str:
    found = apart(comparison, place)
    return "" if found is None or found[0].smallest_seen is None else number(found[0].smallest_seen)


def _flat(comparison: Comparison, place: int) -> dict[str, Any]:
    line, found = comparison.lines[place], apart(comparison, place)
    skill = line.skill or (None, None, None)
    row = {**asdict(line), "runs": " ".join(line.runs), "seeds": " ".join(map(str, line.seeds))}
    row |= row.pop("costs")
    row |= {"skill": skill[0], "skill_low": skill[1], "skill_high": skill[2], "verdict": verdict(comparison, place)}
    difference, sign = found if found is not None else (None, 1)
    ends = (None, None) if difference is None else (difference.spread.low, difference.spread.high)
    row["to_best"] = None if difference is None else sign * difference.spread.value
    low, high = ends if sign > 0 else reversed(ends)
    row["to_best_low"], row["to_best_high"] = (None if end is None else sign * end for end in (low, high))
    for name in ("p", "p_adjusted", "p_seeds", "effect", "smallest_seen"):
        row[name] = None if difference is None else getattr(difference, name)
    return {"place": place + 1, **row}


def _escaped(said: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in said)
