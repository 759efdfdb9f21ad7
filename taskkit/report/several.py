"""The report of several runs: which is better and how sure that is, what it cost, where and how they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from taskkit.compare import layout, words
from taskkit.compare.comparison import Comparison, Line
from taskkit.compare.cost import metered
from taskkit.report import making, numbers
from taskkit.report.charts import STYLES, Series, Span, Spot, curves, intervals, scatter
from taskkit.report.disagreement import Disagreement, parts
from taskkit.report.document import Cell, Facts, Figure, Figures, More, Page, Part, Prose, Section, Tone, grid
from taskkit.report.look import Look
from taskkit.report.reading import RunFiles
from taskkit.report.settings import by_setting, differing
from taskkit.report.single import lost, of_data, points, title, untrusted

PAIRS = 15
"""So many differences are drawn; of more only those to the best."""


@dataclass(frozen=True, eq=False)
class Method:
    """A line of a comparison, and its runs."""

    line: Line
    runs: tuple[RunFiles, ...]

    @property
    def first(self) -> RunFiles:
        """The run that curves and answers are shown of."""
        return self.runs[0]

    @property
    def seconds(self) -> float | None:
        """Of training, the mean over the seeds."""
        known = [run.manifest.cost.train_seconds for run in self.runs]
        found = [each for each in known if each is not None]
        return sum(found) / len(found) if found and len(found) == len(known) else None


def page(
    comparison: Comparison, methods: Sequence[Method], disagreement: Disagreement | None, look: Look, made: str
) -> Page:
    """All that is to be said of runs beside each other, for their reader."""
    said, tone = _verdict(comparison)
    named = [(method.line.name, method.first) for method in methods]
    sections = [
        Section("ranking", "Ranking", tuple(_ranking(comparison, methods))),
        Section("differences", "Differences", tuple(_differences(comparison))),
        Section("cost", "Cost", tuple(_cost(methods))),
        Section("setting", "By the setting", tuple(by_setting([(m.line, m.first) for m in methods]))),
        Section("recipes", "What differs between them", tuple(differing(named)) if len(methods) > 1 else ()),
        Section("protocol", "Protocol", tuple(_protocol(methods))),
        Section("training", "Training", tuple(_training(methods))),
        Section("classes", "Classes", tuple(_classes(methods))),
        Section("disagreement", "Disagreement", tuple(parts(disagreement, look)) if len(methods) > 1 else ()),
        Section("runs", "Runs", tuple(_runs(methods))),
    ]
    runs = sum(len(method.runs) for method in methods)
    by = "skill" if comparison.across else comparison.lines[0].metric
    return Page(
        title=f"{len(methods)} methods by {by}"
        if len(methods) > 1
        else f"{methods[0].line.name}: {runs} seeds by {by}",
        subtitle=f"{runs} runs · {words.title(comparison)}",
        verdict=said,
        tone=tone,
        key_facts=(),
        warnings=(*comparison.notes, *_of_the_first(methods), *_warnings(methods), *of_data(look)),
        sections=tuple(section for section in sections if section.parts),
        made=made,
        label="Comparison",
    )


def _of_the_first(methods: Sequence[Method]) -> Iterator[str]:
    """What is shown of one run where a method has several."""
    if any(len(method.runs) > 1 for method in methods):
        yield "Of several seeds, curves, classes, settings and the answers on which methods disagree are of the first."


def _verdict(comparison: Comparison) -> tuple[str, Tone]:
    """Which is best, from which it differs and from which it cannot be told apart."""
    lines = comparison.lines
    best = lines[0]
    if comparison.across:
        first = "" if best.skill is None else f" By that {best.name} comes first, with {numbers.number(best.skill[0])}."
        return f"These runs were not measured alike: only their skill may be compared.{first}", "warn"
    ends = "" if best.low is None else f" ({numbers.interval(best.low, best.high)})"
    if len(lines) == 1:
        seeds = ", ".join(map(str, best.seeds))
        return f"{best.metric} is {numbers.number(best.value)}{ends}, the mean over the seeds {seeds}.", ""
    first, really = ("largest", "It really differs from")
    if best.direction is not None:
        first, really = ("best", "It is really better than")
    said = f"{best.name} has the {first} {best.metric}, {numbers.number(best.value)}{ends}."
    told_of = {"differs": list[str](), "not told apart": list[str](), "not tested": list[str]()}
    for place, line in enumerate(lines[1:], 1):
        told_of[layout.verdict(comparison, place)].append(line.name)
    told = {
        "differs": really,
        "not told apart": "It cannot be told apart from",
        "not tested": "No test could be made against",
    }
    said += "".join(f" {told[word]} {_named(names)}." for word, names in told_of.items() if names)
    return said, "warn" if told_of["not told apart"] or told_of["not tested"] else "good"


def _warnings(methods: Sequence[Method]) -> Iterator[str]:
    for run in (run for method in methods for run in method.runs):
        yield from (f"{run.path}: {each}" for each in untrusted(run))


def _named(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{len(names)} others, {names[0]} the nearest"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ranking(comparison: Comparison, methods: Sequence[Method]) -> Iterator[Part]:
    lines = comparison.lines
    several = any(len(line.seeds) > 1 for line in lines)
    columns = ["method", "place", comparison.lines[0].metric if not comparison.across else "metric", "95 % interval"]
    columns += ["seeds"] * several + ["skill", "trivial predictor", "to the best", "p (Holm)", "verdict"]
    rows = []
    for place, line in enumerate(lines):
        found = layout.apart(comparison, place)
        mark = f" [{line.protocol}]" if line.protocol else ""
        figure = Cell(f"{numbers.number(line.value)}{mark}", sort=line.value)
        word = layout.verdict(comparison, place)
        tones: dict[str, Tone] = {"best": "good", "differs": "bad", "not told apart": "warn"}
        row = [Cell(line.name), numbers.cell(place + 1), figure, Cell(numbers.interval(line.low, line.high))]
        row += [numbers.cell(len(line.seeds))] if several else []
        row += [numbers.cell(None if line.skill is None else line.skill[0]), numbers.cell(line.trivial)]
        row += [Cell(layout.to_best(comparison, place) or numbers.NOTHING)]
        row += [numbers.chance(None if found is None else found[0].p_adjusted), Cell(word, tone=tones.get(word, ""))]
        rows.append(row)
    yield grid(f"{words.title(comparison)}.", columns, rows, sortable=True)
    if not comparison.across:
        spans = [
            Span(line.name, line.value, line.low, line.high, place if len(lines) <= STYLES else 0, line.interval)
            for place, line in enumerate(lines)
        ]
        trivial = lines[0].trivial
        values = [each for span in spans for each in span.known]
        # Far away it would press all others together.
        near = trivial is not None and abs(trivial - values[0]) < 4 * (max(values) - min(values))
        svg = intervals(
            "forest",
            f"{lines[0].metric} of each method",
            spans,
            lines[0].metric,
            reference=trivial if near else None,
            meaning="trivial predictor" if near else "",
        )
        yield Figure(svg, f"Test {lines[0].metric} with 95 % intervals, best first.")


def _differences(comparison: Comparison) -> Iterator[Part]:
    found = comparison.differences
    if not found:
        return
    lines, few = comparison.lines, len(found) <= PAIRS
    drawn = found if few else [each for each in found if 0 in (each.first, each.second)]
    spans = [
        Span(
            f"{lines[each.first].name} − {lines[each.second].name}",
            each.spread.value,
            each.spread.low,
            each.spread.high,
            0 if each.real else 5,
            f"p {numbers.chance(each.p_adjusted).text}{'' if each.real else ', not told apart'}",
        )
        for each in drawn
    ]
    yield Prose(_counted(comparison))
    if comparison.noise is not None:
        yield Prose(words.noise(comparison.noise))
    what = "all pairs" if few else f"the best and the {len(drawn)} others; all pairs are in the table below"
    metric = lines[0].metric
    svg = intervals("differences-zero", "Differences", spans, f"difference in {metric}", reference=0.0)
    yield Figure(
        svg, f"Paired differences of {what}, with 95 % intervals; grey where they cannot be told apart, zero is broken."
    )
    rows = [
        [
            Cell(f"{lines[each.first].name} − {lines[each.second].name}"),
            numbers.cell(each.spread.value),
            Cell(numbers.interval(each.spread.low, each.spread.high)),
            numbers.chance(each.p),
            numbers.chance(each.p_adjusted),
            numbers.chance(each.p_seeds),
            numbers.cell(each.effect),
            numbers.cell(each.smallest_seen),
            Cell("real" if each.real else "not told apart", tone="" if each.real else "warn"),
        ]
        for each in found
    ]
    columns = ("pair", "difference", "95 % interval", "p", "p (Holm)", "p over seeds", "effect", "seen from", "verdict")
    table = grid(f"Paired differences: {words.family(comparison)}.", columns, rows, sortable=True)
    yield table if few else More(f"All {len(found)} pairs", (table,))


def _counted(comparison: Comparison) -> str:
    """How many pairs differ, what would have been found, and how that was tested."""
    found = comparison.differences
    alike = [each for each in found if not each.real]
    if len(found) == 1:
        said = "They cannot be told apart" if alike else "They really differ"
    else:
        said = f"{len(found) - len(alike)} of {len(found)} pairs really differ"
        said += f"; {len(alike)} cannot be told apart" if alike else ""
    seen = words.found_from(comparison)
    return f"{said}.{f' {seen}' if seen else ''} {words.tested(comparison)}"


def _cost(methods: Sequence[Method]) -> Iterator[Part]:
    known = [(place, method) for place, method in enumerate(methods) if method.seconds]
    skilled = all(method.line.skill is not None for _, method in known)
    if len(known) > 1:
        spots = []
        for place, method in known:
            line, skill = method.line, method.line.skill
            y, low, high = skill if skilled and skill is not None else (line.value, line.low, line.high)
            spots.append(Spot(line.name, method.seconds or 0.0, y, low, high, place))
        up = "skill" if skilled else methods[0].line.metric
        svg = scatter("skill-cost", f"{up} beside cost", spots, "seconds of training", up)
        means = ": 0 is the trivial predictor, 1 one without faults" if skilled else ""
        yield Figure(svg, f"{up.capitalize()} beside the time spent training{means}.")
    energy = metered([method.line.costs for method in methods])
    rows = [
        [
            Cell(method.line.name),
            Cell(numbers.seconds(method.seconds), sort=method.seconds if method.seconds is not None else -1.0),
            numbers.cell(_rounded(costs.parameters)),
            Cell(numbers.milliseconds(costs.latency_ms), sort=costs.latency_ms if costs.latency_ms else -1.0),
            numbers.cell(_rounded(costs.examples_per_second)),
            Cell(numbers.bytes_(costs.peak_memory_bytes), sort=costs.peak_memory_bytes or -1.0),
            *([Cell(layout.joules(costs.energy_joules), sort=costs.energy_joules)] if energy else []),
        ]
        for method in methods
        for costs in [method.line.costs]
    ]
    columns = ["method", "training", "parameters", "latency", "answers a second", "peak memory"]
    columns += ["energy of training"] if energy else []
    caption = "What they cost; of several seeds the mean. A run is timed once, with whatever else its machine did."
    yield grid(caption, columns, rows, sortable=True)
    if energy:
        yield Prose(f"Energy by {methods[0].line.costs.energy_meter}, whatever else used these.")
    machines = {method.line.costs.machine for method in methods}
    if len(machines) > 1 or "" in machines:
        yield Prose("They ran on different machines: their times are not comparable.", "warn")


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _protocol(methods: Sequence[Method]) -> Iterator[Part]:
    firsts = {method.line.protocol: method for method in reversed(methods)}
    for letter, method in sorted(firsts.items()):
        if letter:
            yield Prose(f"Protocol {letter}:")
        yield from making.protocol(method.first)


def _training(methods: Sequence[Method]) -> Iterator[Part]:
    shown = methods[:STYLES]
    if len(shown) < len(methods):
        yield Prose(f"Curves of the best {STYLES} of {len(methods)} methods.")
    names = dict.fromkeys(["train/loss", "val/loss", *(f"val/{method.line.metric}" for method in shown), "lr"])
    made = []
    for number, name in enumerate(names):
        series = [
            Series(method.line.name, found, place)
            for place, method in enumerate(shown)
            if (found := points(method.first, name))
        ]
        if series:
            values = [value for each in series for _, value in each.points]
            steep = name.endswith("loss") and min(values) > 0 and max(values) > 10 * min(values)
            svg = curves(f"overlaid-{number}", name, series, "step", log=steep)
            legend = tuple(method.line.name for method in shown) if len(series) == len(shown) else ()
            left = lost([method.first for method in shown], [name])
            made.append(Figure(svg, f"{name} by step{', logarithmic' if steep else ''}{left}", legend))
    if made:
        yield Figures(tuple(made))


def _classes(methods: Sequence[Method]) -> Iterator[Part]:
    """The last column of each table that all have with the same first one, such as the F1 of each class."""
    for name, first in methods[0].first.tables.items():
        tables = [method.first.tables.get(name, ()) for method in methods]
        sides = [[(row[0], row[-1]) for row in rows] for rows in tables]
        same = all([label for label, _ in side] == [row[0] for row in first] for side in sides)
        if not same or first[0][1:] == [row[0] for row in first[1:]]:
            continue
        figures = [numbers.column([text for _, text in side[1:]]) for side in sides]
        rows = [[Cell(row[0]), *each] for row, *each in zip(first[1:], *figures, strict=True)]
        columns = (first[0][0], *(method.line.name for method in methods))
        yield grid(f"{first[0][-1]} by {first[0][0]}, from {name}.csv.", columns, rows, sortable=True)


def _runs(methods: Sequence[Method]) -> Iterator[Part]:
    for method in methods:
        for run in method.runs:
            said = run.manifest
            facts = [
                ("title", title(run)),
                ("run directory", str(run.path)),
                ("status", said.status),
                ("seed", str(said.seed)),
                (f"test {method.line.metric}", numbers.number(said.metrics.get(f"test/{method.line.metric}"))),
                ("called as", said.command),
            ]
            inner = [Facts(tuple((name, value) for name, value in facts if value)), *making.environment(run)]
            yield More(f"{method.line.name}, seed {said.seed}", (*inner[:2],))
