"""What was measured, in words: figures first, then what can be done about them, and nothing that was not measured."""

from __future__ import annotations

from collections.abc import Iterator

from taskkit.batches.entries import size_text
from taskkit.speed.bench import FASTER, Report, Tried
from taskkit.wording import percent

MUCH = 0.1
"""A share of the time above this is named as what limits a run."""


def lines(report: Report) -> Iterator[str]:
    """All of it."""
    yield from figures(report)
    yield ""
    yield from (row(each) for each in report.tried)
    yield ""
    yield from advice(report)


def figures(report: Report) -> Iterator[str]:
    """What the recipe costs as it is."""
    run, setting = report.run, report.setting
    units = run.size.real / setting.scale / run.seconds
    threads = f", {setting.threads} threads" if setting.device == "cpu" else ""
    yield f"{run.batches} batches on {setting.device}, {setting.precision}{threads}"
    yield f"throughput          {run.rate:,.1f} examples/s, {units:,.1f} {setting.unit}/s"
    yield f"a batch             {1000 * run.seconds / run.batches:,.2f} ms"
    yield f"padding             {percent(report.padding)} of what the network computes on"
    yield f"waiting for batches {percent(report.waiting)} of the time"
    if report.by_hand is None:
        yield f"the host            not measured: {report.not_by_hand}"
    elif report.host is None:
        yield f"the host            FAILED: first losses of a loop by hand are {percent(report.by_hand.apart)} apart"
    else:
        pairs = report.by_hand
        yield (
            f"the host            {percent(max(report.host, 0.0))} of a step: a loop written by hand takes "
            f"{pairs.gain:.2f} times as many examples a second ({pairs.low:.2f}–{pairs.high:.2f})"
        )
    yield f"recompilations      {run.compiled}"
    yield f"peak memory         {size_text(run.memory)}"
    yield f"first step after    {run.first_step:.1f} s"


def row(tried: Tried) -> str:
    """What became of a change, in a line."""
    name = f"{tried.change.override:<32}"
    if tried.pairs is None:
        return f"{name} not possible: {tried.why}"
    pairs = tried.pairs
    if not pairs.agrees:
        return f"{name} FAILED: first losses are {percent(pairs.apart)} apart, {percent(tried.change.limit)} allowed"
    other = "" if tried.change.same_work else "; another training, so look at what it learns"
    return f"{name} {pairs.gain:.2f} × as many examples a second ({pairs.low:.2f}–{pairs.high:.2f}){other}"


def advice(report: Report) -> Iterator[str]:
    """What limits the run, and which changes were faster in all pairs, the most telling first."""
    if report.waiting > MUCH:
        yield f"The loader is a limit: {percent(report.waiting)} of the time is spent waiting for batches."
    if report.host is not None and report.by_hand is not None and report.by_hand.faster and report.host > MUCH:
        yield f"The host is a limit: {percent(report.host)} of a step is neither the network nor the loader."
    if report.padding > MUCH:
        yield f"Padding is a limit: {percent(report.padding)} of what the network computes on."
    if report.run.compiled:
        yield f"torch compiled {report.run.compiled} times after the first batches: shapes of batches differ."
    faster = [(each.pairs.gain, each) for each in report.tried if each.pairs is not None and each.pairs.faster]
    for gain, each in sorted(faster, key=lambda found: -found[0]):
        other = "" if each.change.same_work else " It is another training: see whether it learns as well."
        yield f"With {each.change.override} {gain:.1f} times as many examples a second.{other}"
    if not faster:
        yield f"None of what was tried is faster by {FASTER - 1:.0%} or more in all pairs."
