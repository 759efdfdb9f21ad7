"""The report of one run: a verdict, then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from taskkit.report import answers, media, numbers
from taskkit.report.charts import Series, curves, thinned
from taskkit.report.classes import classes
from taskkit.report.document import (
    Cell,
    Figure,
    Figures,
    Gallery,
    More,
    Page,
    Part,
    Prose,
    Section,
    Shown,
    Tone,
    grid,
)
from taskkit.report.explanations import LEGEND, gallery
from taskkit.report.look import Look
from taskkit.report.making import compressed, cost, data, environment, proofs, protocol, recipe
from taskkit.report.reading import RunFiles

EXAMPLES = 8
"""So many of the worst answers are shown, and as many of the surest that are wrong."""

NOT_SAID = "none: the task does not say how it follows from examples"
"""Of a metric without an interval."""


def wanted(run: RunFiles) -> dict[str, int]:
    """The examples that a report of a run shows, by id, and the row that each is in."""
    sure = answers.surest_wrong(run, EXAMPLES)
    rows = [*sure, *answers.worst(run, EXAMPLES, sure)]
    return {} if run.answers is None else run.answers.placed(rows)


def page(run: RunFiles, look: Look, made: str, notes: Sequence[str] = ()) -> Page:
    """All that is known of a run, for its reader; `notes` are of what else was named."""
    said, tone = verdict(run)
    sections = [
        Section("metrics", "Metrics", tuple(_metrics(run))),
        Section("training", "Training", tuple(_training(run))),
        Section("classes", "Classes and calibration" if run.tables else "Scores", tuple(classes(run))),
        Section("examples", _kind(run), tuple(_examples(run, look))),
        Section("explanations", "What answers rest on", tuple(_explanations(look))),
        Section("data", "Data", tuple(data(run, look))),
        Section("cost", "Cost", tuple(cost(run))),
        Section("compression", "Compression", tuple(compressed(run))),
        Section("proofs", "Proofs", tuple(proofs(run))),
        Section("recipe", "Recipe", tuple(recipe(run))),
        Section("protocol", "Protocol", tuple(protocol(run))),
        Section("environment", "Environment", tuple(environment(run))),
    ]
    return Page(
        title=title(run),
        subtitle=str(run.path),
        verdict=said,
        tone=tone,
        key_facts=_key_facts(run),
        warnings=(*warnings(run), *of_data(look), *notes),
        sections=tuple(section for section in sections if section.parts),
        made=made,
    )


def _kind(run: RunFiles) -> str:
    """Which answers are shown."""
    if answers.badness(run) is None:
        return "Answers"
    return "Worst answers" if answers.right(run) is None else "Wrong answers"


def title(run: RunFiles) -> str:
    """What a run is called."""
    return run.manifest.recipe.title or str(run.manifest.resolved.get("title") or run.manifest.id)


def verdict(run: RunFiles) -> tuple[str, Tone]:
    """What came of a run, in a sentence or two, and whether that is good."""
    value, found, trivial = run.value, run.interval, run.trivial
    metric, better = run.headline
    if value is None:
        reason = f": {run.manifest.reason}" if run.manifest.reason else "."
        return f"This run was not tested; it is {run.manifest.status}{reason}", "bad"
    said = f"Test {metric} is {numbers.number(value)}"
    if found is not None and found.low is not None and found.high is not None:
        of = f"{found.groups:,} groups" if found.groups is not None else f"{found.rows:,} examples"
        ends = f"{numbers.number(found.low)} and {numbers.number(found.high)}"
        said += f"; judged by {of}, it lies between {ends} with {found.level:.0%} confidence ({found.method})"
    said = said.replace("% ", " % ") + "."
    if trivial is None:
        return f"{said} What a trivial predictor gives is not known.", ""
    ahead = value > trivial if better == "max" else value < trivial
    near = None if found is None else found.low if better == "max" else found.high
    sure = near is not None and (near > trivial if better == "max" else near < trivial)
    gives = f"the trivial predictor, which gives {numbers.number(trivial)}"
    if ahead and sure:
        return f"{said} It is better than {gives}{_skill(run)}.", "good"
    if not ahead:
        return f"{said} It is no better than {gives}.", "bad"
    return f"{said} It cannot be told apart from {gives}.", "warn"


def _skill(run: RunFiles) -> str:
    ideal, value, trivial = run.statistic(run.headline[0]).get("ideal"), run.value, run.trivial
    if not isinstance(ideal, int | float) or value is None or trivial is None or ideal == trivial:
        return ""
    share = f"{(value - trivial) / (ideal - trivial):.1%}".replace("%", " %")
    return f": {share} of the way to a predictor without faults"


def warnings(run: RunFiles) -> Iterator[str]:
    """What a reader must know of a run's numbers."""
    said, found = run.manifest, run.interval
    if said.status != "finished" and run.value is not None:
        yield f"The run is {said.status}{f': {said.reason}' if said.reason else '.'}"
    if found is not None and found.note:
        yield f"Of the interval: {found.note}."
    if found is None and run.value is not None:
        yield "There is no interval: it is not known what the metric would be on other examples."
    if run.scrubbed:
        yield run.scrubbed
    if said.stopped:
        yield f"Training ended before its last step: {said.stopped}."
    if said.tested is not None and said.tested.checkpoint == "last" and said.tested.step > 0:
        yield "The last weights were tested, not the best by validation."
    yield from map(str, said.remarks)
    flagged = said.data.flagged if said.data is not None else {}
    for split, flags in flagged.items():
        for flag, each in flags.items():
            count = each.get("count") if isinstance(each, Mapping) else each
            yield f"{split}: {numbers.cell(count).text} examples are {flag}."
    yield from untrusted(run)


def untrusted(run: RunFiles) -> Iterator[str]:
    """The proofs that failed, and what could not be read."""
    yield from (f"Proof {each.proof} failed: {each.compared}." for each in run.findings if each.outcome == "fail")
    yield from run.unread


def of_data(look: Look) -> Iterator[str]:
    """What makes scores on the data wrong."""
    yield from (f"Data: {each.message}" for each in look.problems if each.severity == "error")


def _key_facts(run: RunFiles) -> tuple[tuple[str, str], ...]:
    said = run.manifest
    facts = [
        ("status", said.status),
        ("task", said.protocol.task if said.protocol else str(said.resolved.get("task", {}).get("name", ""))),
        ("model", str(said.resolved.get("model", {}).get("name", ""))),
        ("data", said.data.name if said.data else str(said.resolved.get("data", {}).get("name", ""))),
        ("seed", str(said.seed)),
        ("parameters", numbers.count(said.cost.parameters)),
        ("training", numbers.seconds(said.cost.train_seconds)),
        ("begun", (said.started or numbers.NOTHING).replace("T", " ").replace("+00:00", " UTC")),
    ]
    return tuple((name, value) for name, value in facts if value and value != numbers.NOTHING)


def _metrics(run: RunFiles) -> Iterator[Part]:
    found, trivial = run.manifest.intervals, run.manifest.baseline or {}
    if not run.manifest.metrics:
        return
    first = f"test/{run.headline[0]}"
    names = sorted(run.manifest.metrics, key=lambda name: name != first)
    rows = []
    for name in names:
        each = found.get(name)
        low, high = (each.low, each.high) if each is not None else (None, None)
        why = NOT_SAID if each is None else "; ".join(filter(None, (each.method if low is not None else "", each.note)))
        figures = (numbers.cell(run.manifest.metrics[name]), Cell(numbers.interval(low, high)))
        rows.append((Cell(name), *figures, numbers.cell(trivial.get(name)), Cell(why)))
    columns = ("metric", "value", "95 % interval", "trivial predictor", "how the interval was had")
    about = "Intervals are about other examples like these, for this network: another seed gives another one."
    yield grid(f"Metrics of the test; the first is the one that the run is judged by. {about}", columns, rows)


def _training(run: RunFiles) -> Iterator[Part]:
    names = list(dict.fromkeys(name for line in run.history for name in line))
    metric = run.headline[0]
    shown = [figure for figure in [_curve(run, "loss", "Loss", log=True), _curve(run, metric, metric)] if figure]
    if metric == "loss":
        shown = shown[:1]
    rates = [name for name in names if name == "lr" or name.startswith("lr/")]
    if rates and (figure := _figure(run, "lr", "Learning rate", rates)) is not None:
        shown.append(figure)
    if shown:
        yield Figures(tuple(shown))
    told = {"loss", metric}
    rest = dict.fromkeys(name.partition("/")[2] for name in names if name.startswith(("train/", "val/")))
    others = [figure for name in rest if name not in told and (figure := _curve(run, name, name)) is not None]
    if others:
        yield More(f"More curves: {len(others)}", (Figures(tuple(others)),))
    tested = run.manifest.tested
    if tested is not None and tested.step == 0:
        yield Prose("Tested: the model without a step of training.")
    elif tested is not None:
        score = "" if tested.validation is None else f", val/{metric} {numbers.number(tested.validation)}"
        yield Prose(f"Tested: the {tested.checkpoint} weights, of epoch {tested.epoch + 1}, step {tested.step}{score}.")


def points(run: RunFiles, name: str) -> tuple[tuple[float, float], ...]:
    """A column of metrics.jsonl by step, no more points than are told apart."""
    found = [
        (float(line["step"]), float(line[name]))
        for line in run.history
        if isinstance(line.get(name), int | float) and isinstance(line.get("step"), int)
    ]
    return thinned(found)


def _curve(run: RunFiles, name: str, heading: str, *, log: bool = False) -> Figure | None:
    return _figure(run, name, heading, [f"train/{name}", f"val/{name}"], log=log)


def _figure(run: RunFiles, key: str, heading: str, names: Sequence[str], *, log: bool = False) -> Figure | None:
    found = [(name, placed) for name in names if (placed := points(run, name))]
    if not found:
        return None
    series = [Series(name, placed, style) for style, (name, placed) in enumerate(found)]
    values = [value for each in series for _, value in each.points]
    steep = log and min(values) > 0 and max(values) > 10 * min(values)
    scale = ", logarithmic" if steep else ""
    svg = curves(f"curve-{_slug(key)}", heading, series, "step", log=steep)
    what = found[0][0] if len(found) == 1 else heading
    return Figure(svg, f"{what} by step{scale}{lost([run], names)}", tuple(each.name for each in series))


def lost(runs: Sequence[RunFiles], names: Sequence[str]) -> str:
    """How many values of curves are no finite number and are not drawn, in words; empty: none."""
    found = [line[name] for run in runs for line in run.history for name in names if name in line]
    count = sum(not (isinstance(value, int | float) and math.isfinite(value)) for value in found)
    return f"; {count:,} values that are no finite number are not drawn" if count else ""


def _slug(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else f"-{ord(letter)}-" for letter in name)


def _examples(run: RunFiles, look: Look) -> Iterator[Part]:
    if run.answers is None:
        return
    sure = answers.surest_wrong(run, EXAMPLES)
    worst = answers.worst(run, EXAMPLES, sure)
    shown, left = media.within_budget(look.shown)
    correct = answers.right(run)
    if look.lacking and (sure or worst):
        yield Prose(look.lacking, "warn")
    if left:
        yield Prose(left, "warn")
    if correct is not None:
        wrong = len(correct) - sum(correct)
        yield Prose(f"{wrong:,} of {len(correct):,} answers are wrong.")
    known = answers.badness(run) is not None
    if not known:
        yield Prose(
            "The task keeps no score of each example, by which answers could be put in order: these stand first."
        )
    if sure:
        yield Prose("The surest that are wrong, by the probability that was said of them:")
        yield Gallery(tuple(_shown(run, row, shown) for row in sure))
    if worst and known:
        by = "by the loss" if correct is not None else f"by {run.headline[0]}, and the loss where that is alike"
        yield Prose(f"The worst{' of the others' if sure else ''}, {by}:")
    if worst:
        yield Gallery(tuple(_shown(run, row, shown) for row in worst))


def _explanations(look: Look) -> Iterator[Part]:
    if look.explained:
        yield Prose(LEGEND)
        yield gallery(look.explained)


def _shown(run: RunFiles, row: int, shown: Mapping[str, Markup]) -> Shown:
    assert run.answers is not None
    values = run.answers.row(row)
    name = run.answers.ids[row]
    facts: list[tuple[str, Markup | str]] = [
        ("target", media.prediction(values.get("target"), run.path)),
        ("answer", media.prediction(values.get("prediction"), run.path)),
    ]
    names = [answers.PROBABILITY, *_columns(run)]
    known = [(name, values[name]) for name in dict.fromkeys(names) if isinstance(values.get(name), int | float)]
    facts += [(name.replace("_", " "), numbers.cell(float(value)).text) for name, value in known]
    if values.get("group") is not None:
        facts.append(("group", str(values["group"])))
    return Shown(name, shown.get(name, Markup("")), tuple(facts))


def _columns(run: RunFiles) -> list[str]:
    """Those that the headline and the loss are made of, but for whether an answer is right."""
    binary = answers.right(run) is not None
    metrics = ["loss"] if binary else [run.headline[0], "loss"]
    return [column for metric in metrics for column in run.statistic(metric).get("columns", ())]
