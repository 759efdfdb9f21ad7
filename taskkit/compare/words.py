"""What follows from a comparison, in sentences."""

from __future__ import annotations

from taskkit.compare.comparison import Comparison
from taskkit.compare.differences import POWER, Difference


def title(comparison: Comparison) -> str:
    """What is compared, on how many examples, and which way is better."""
    first = comparison.lines[0]
    better = {"max": "higher is better", "min": "lower is better", None: "neither way is better"}[first.direction]
    groups = f" of {first.groups:,} groups" if first.groups is not None else ""
    count = f", {first.examples:,} test examples{groups}" if first.examples is not None else ""
    if comparison.across:
        return "Runs of several protocols, by skill: (metric − trivial) / (ideal − trivial)"
    return f"{first.metric}{count}; {better}"


def sentences(comparison: Comparison) -> list[str]:
    """What follows from the table, in words."""
    said = list[str]()
    if comparison.differences:
        real = [each for each in comparison.differences if each.real]
        alike = [each for each in comparison.differences if not each.real]
        if real:
            said.append(f"Really different: {', '.join(map(_pair, real))}.")
        if alike:
            seen = found_from(comparison)
            said.append(f"These cannot be told apart here: {', '.join(map(_pair, alike))}.{f' {seen}' if seen else ''}")
        said.append(tested(comparison))
    if comparison.noise is not None:
        said.append(noise(comparison.noise))
    return [*said, *comparison.notes]


def tested(comparison: Comparison) -> str:
    """How differences were tested, in words."""
    return f"Paired permutation tests over examples, {family(comparison)}; 95 % intervals of paired differences."


def noise(apart: float) -> str:
    """What seeds alone do, in words."""
    return (
        f"Seeds alone put two runs of one recipe up to {number(apart)} apart in 19 of 20 cases: a smaller difference "
        "of single runs may be noise."
    )


def family(comparison: Comparison) -> str:
    """What Holm's correction is for, in words."""
    pairs = len(comparison.differences)
    if pairs == 1:
        return "one pair"
    return (
        f"{pairs} pairs, those of each protocol as one family, by Holm"
        if comparison.across
        else f"{pairs} pairs as one family, by Holm"
    )


def found_from(comparison: Comparison) -> str:
    """Which difference would have been found where some cannot be told apart, in words.

    Nothing across protocols, where differences are in several units.
    """
    alike = [each.smallest_seen for each in comparison.differences if not each.real]
    seen = [each for each in alike if each is not None]
    if not seen or comparison.across:
        return ""
    alone = "A" if len(comparison.differences) == 1 else "Tested alone, as no part of a family, a"
    share = f"{POWER:.0%}".replace("%", " %")
    return f"{alone} difference of {number(max(seen))} would have been found in {share} of cases."


def _pair(difference: Difference) -> str:
    return f"{difference.first + 1}–{difference.second + 1}"


def number(value: float) -> str:
    """Four digits after the point where it is small, six in all where it is large."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.6g}"
