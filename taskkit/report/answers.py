"""Which answers of a test deserve a look: the worst, the surest that are wrong; and how far said probabilities hold."""

from __future__ import annotations

from collections.abc import Sequence

from taskkit.compare.intervals import binomial
from taskkit.compare.resampling import LEVEL
from taskkit.report.charts import Bin
from taskkit.report.reading import RunFiles

BINS = 10
PROBABILITY = "probability"
"""The column of a task's predictions that holds how probable the answer is."""


def score(run: RunFiles, metric: str) -> list[float] | None:
    """For each example what a metric is made of, more of it better or worse as of the metric; None: nothing is kept."""
    said = run.statistic(metric)
    columns = tuple(said.get("columns", ()))
    if run.answers is None:
        return None
    if said.get("form") == "mean" and len(columns) == 1:
        return run.answers.numbers(columns[0])
    if said.get("form") == "ratio" and len(columns) == 2:
        above, below = (run.answers.numbers(name) for name in columns)
        if above is not None and below is not None:
            return [a / max(b, 1e-12) if b else a for a, b in zip(above, below, strict=True)]
    return None


def badness(run: RunFiles) -> list[tuple[float, ...]] | None:
    """For each example how bad its answer is, by the headline and where that is alike by the loss; None: not known."""
    metric, better = run.headline
    parts = [(score(run, metric), better == "max"), (score(run, "loss"), False)]
    found = [[-v if good else v for v in values] for values, good in parts if values is not None]
    if not found and run.answers is not None:
        target, answer = (run.answers.numbers(name) for name in ("target", "prediction"))
        if target is not None and answer is not None:
            found = [[abs(a - b) for a, b in zip(target, answer, strict=True)]]
    return list(zip(*found, strict=True)) if found else None


def right(run: RunFiles) -> list[bool] | None:
    """For each example whether its answer is right, where the headline counts right answers; else None."""
    said, values = run.statistic(run.headline[0]), score(run, run.headline[0])
    if values is None or said.get("form") != "mean" or not set(values) <= {0.0, 1.0}:
        return None
    ideal = 0.0 if run.headline[1] == "min" else 1.0
    return [value == ideal for value in values]


def surest_wrong(run: RunFiles, most: int) -> list[int]:
    """The rows of the wrong answers that were said to be most probable, the surest first."""
    correct = right(run)
    sure = None if run.answers is None else run.answers.numbers(PROBABILITY)
    if correct is None or sure is None:
        return []
    wrong = [row for row, good in enumerate(correct) if not good]
    return sorted(wrong, key=lambda row: -sure[row])[:most]


def worst(run: RunFiles, most: int, but: Sequence[int] = ()) -> list[int]:
    """The rows of the worst answers, but for some; right ones are none of them. Where no score is kept, the first."""
    bad, correct, without = badness(run), right(run), {*but}
    if bad is None:
        return list(range(len(run.answers or ())))[:most]
    rows = [row for row in range(len(bad)) if row not in without and not (correct is not None and correct[row])]
    return sorted(rows, key=lambda row: bad[row], reverse=True)[:most]


def calibration(run: RunFiles) -> list[Bin]:
    """Answers by their probability, in ten steps of it; empty where a task says none or counts no right answers."""
    correct = right(run)
    sure = None if run.answers is None else run.answers.numbers(PROBABILITY)
    if correct is None or sure is None or not all(0 <= each <= 1 for each in sure):
        return []
    parts: dict[int, list[tuple[float, bool]]] = {}
    for probability, good in zip(sure, correct, strict=True):
        parts.setdefault(min(BINS - 1, int(probability * BINS)), []).append((probability, good))
    return [_bin(part) for _, part in sorted(parts.items())]


def _bin(part: Sequence[tuple[float, bool]]) -> Bin:
    good = sum(is_right for _, is_right in part)
    low, high = binomial(good, len(part), LEVEL, "wilson")
    return Bin(sum(p for p, _ in part) / len(part), good / len(part), low, high, len(part))


def error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far what was said is from what was right, over all answers."""
    return sum(each.answers * abs(each.sure - each.right) for each in bins) / sum(each.answers for each in bins)
