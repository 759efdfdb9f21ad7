"""Many plugins of one name checked one after the other, each in a process that is forked from one without any.

`python -m tests.testing.checked` reads orders, a JSON line each, and answers each with the findings: what imports torch
and the host, and the workshops in which trainings begin, are there once for all.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from taskkit.plugins.discovery import discover
from taskkit.testing.kit import kit
from taskkit.testing.plan import CHECKS, due
from taskkit.testing.subject import find
from taskkit.verify.workshop import HOST as TRAINING
from taskkit.verify.workshop import Workshop, workshops

HOST = ("tests.testing.on_path", "torchmetrics", "taskkit.testing.kit", "taskkit.verify.killed")


@dataclass(frozen=True)
class Order:
    """Which checks of the plugin of a name that lies in a folder."""

    distribution: str
    site: str
    checks: Sequence[str]


class Elsewhere(Workshop):
    """A workshop whose processes find the packages of a folder first."""

    def __init__(self, workshop: Workshop, site: str) -> None:
        self.workshop = workshop
        self.site = site

    def run(self, words: Sequence[str], said: Path) -> int:
        """Run a module there."""
        return self.workshop.run(["tests.testing.on_path", self.site, *words], said)


def found(order: Order, pair: tuple[Workshop, Workshop]) -> list[Mapping[str, Any]]:
    """The findings of the checks, in a process that imports the plugin."""
    sys.path.insert(0, order.site)
    os.environ["PYTHONPATH"] = os.pathsep.join([order.site, os.environ["PYTHONPATH"]])
    subject = find(order.distribution, discover([order.distribution]), [check.name for check in CHECKS])
    first, second = (Elsewhere(each, order.site) for each in pair)
    with kit(subject, (first, second)) as opened:
        return [asdict(opened.finding(unit)) for unit in due(subject, "gold") if unit.check.name in order.checks]


def answers(orders: Iterator[str], out: IO[str]) -> None:
    """Answer each order from a fork."""
    for module in TRAINING:
        importlib.import_module(module)
    with workshops(HOST, forks=True) as pair:
        for line in orders:
            out.flush()
            if (child := os.fork()) == 0:
                code = 1
                try:
                    out.write(json.dumps(found(Order(**json.loads(line)), pair)) + "\n")
                    out.flush()
                    code = 0
                finally:
                    os._exit(code)
            if os.waitpid(child, 0)[1] != 0:
                out.write("null\n")
                out.flush()


if __name__ == "__main__":
    real = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What a plugin prints is no answer.
    answers(iter(sys.stdin.readline, ""), real)
