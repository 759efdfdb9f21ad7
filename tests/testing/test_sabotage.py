"""Each check of the kit is held by a copy of a healthy plugin in which one thing is broken: it fails there, alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskkit.testing.plan import CHECKS

ROOT = Path(__file__).parents[2]
PACKAGE = "taskkit_series"
CODE = f"{PACKAGE}/forecast.py"
PLUGIN = f"{PACKAGE}/plugin.py"
SECTIONS = f"{PACKAGE}/sections.py"
RECORD = f"{PACKAGE}-0.3.0.dist-info/RECORD"
STEP = 'outputs, target = self(batch), batch["target"]'
MEAN = "loss = torch.maximum(q * error, (q - 1) * error).mean()"
RETURNED = 'return Step(loss, len(target), outputs=outputs, scored={"preds": outputs, "target": target})'
AUGMENTED = 'return {**batch, "past": past + self.config.noise * torch.randn_like(past)}'
BURN = "\nimport time\n\nEND = time.process_time() + 0.2\nwhile time.process_time() < END:\n    pass\n"
TWICE = """@hookimpl
def taskkit_commands():
    import click

    return [click.Command("surf"), click.Command("surf")]


"""
IDLE = """    yield Component(
        kind="model",
        name="series.idle",
        summary="a network that nobody tries",
        implementation="taskkit_series.forecast:Mlp",
        section="taskkit_series.sections:Mlp",
        input=SERIES,
        targets=(FUTURE,),
    )
    yield Component(
        kind="data","""

CHEAP = {
    *("declared", "described", "recipes", "names", "exercised", "inspect", "trains", "overfits", "moves", "baseline"),
    *("batch-size", "order", "accumulate", "predicts", "intervals", "hostile", "documented"),
}
"""Checks that are made of each copy; the others cost a second or more, and are made where they should fail."""


LONG = {
    "light",
    "recipes",
    "trains",
    "determinism",
    "resume",
    "precision",
    "processes",
    "devices",
    "export",
    "wheel",
    "typed",
}
"""Checks whose sabotages are left to the long run: most of them are proofs, which tests/verify breaks too."""


@dataclass(frozen=True)
class Sabotage:
    """What is broken in a file of the package, in one substitution, and a word of the cure."""

    check: str
    file: str
    old: str
    new: str
    cure: str


SABOTAGES = (
    Sabotage("loads", PLUGIN, "\nfrom taskkit", "\nimport torch\nfrom taskkit", "belongs into modules"),
    Sabotage("light", SECTIONS, "\nfrom taskkit", f"{BURN}\nfrom taskkit", "Import what is heavy"),
    Sabotage("declared", PLUGIN, '"mae": "min"', '"mae": "max"', "Mend the declaration"),
    Sabotage("described", SECTIONS, '"hidden units"', '""', "doc=…"),
    Sabotage(
        "recipes", f"{PACKAGE}/recipes/more.yaml", "", "title: More\nmodle: {name: series.mlp}\n", "taskkit check"
    ),
    Sabotage(
        "names",
        PLUGIN,
        "@hookimpl\ndef taskkit_recipes",
        f"{TWICE}@hookimpl\ndef taskkit_recipes",
        "Its authors must rename",
    ),
    Sabotage("exercised", PLUGIN, '    yield Component(\n        kind="data",', IDLE, "Add a recipe"),
    Sabotage("inspect", CODE, ", inspect=partial(problems, splits)", "", "Prepared.inspect"),
    Sabotage("trains", CODE, STEP, f"{STEP}\n        assert self.training", "Mend what it says"),
    Sabotage("overfits", CODE, "self.hidden(past)", "self.hidden(torch.ones_like(past))", "depends on its inputs"),
    Sabotage(
        "moves",
        CODE,
        "self.head = nn.Linear(width, steps)",
        "self.head = nn.Linear(width, steps)\n        self.spare = nn.Parameter(torch.zeros(3))",
        "use it, remove it, or freeze it",
    ),
    Sabotage(
        "baseline", CODE, STEP, f"{STEP}\n        outputs = outputs if self.training else -outputs", "Train longer"
    ),
    Sabotage("determinism", CODE, MEAN, f'{MEAN} * (1 + self.training * hash("waves") / 2**64)', "order of a set"),
    Sabotage(
        "resume",
        CODE,
        AUGMENTED,
        'self.calls = getattr(self, "calls", 0) + 1\n        return {**batch, "past": past + 0.01 * self.calls}',
        "must be in the checkpoint",
    ),
    Sabotage(
        "batch-size",
        CODE,
        STEP,
        f"{STEP}\n        outputs = outputs if self.training else outputs * (1 + len(target) / 100)",
        "padding and its mask",
    ),
    Sabotage(
        "order",
        CODE,
        STEP,
        f'{STEP}\n        if not self.training and 0 in batch["example"]:\n            self.first = target[0]'
        '\n        outputs = outputs if self.training else outputs + getattr(self, "first", 0) / 10',
        "remembers what it saw before",
    ),
    Sabotage("processes", CODE, "MeanAbsoluteError()", "MeanAbsoluteError(sync_on_compute=False)", "add_state"),
    Sabotage(
        "accumulate", CODE, RETURNED, RETURNED.replace("len(target)", "1 if self.training else len(target)"), "count"
    ),
    Sabotage(
        "predicts",
        CODE,
        "rows = outputs.float().tolist()",
        'rows = (outputs.float() + getattr(self, "judged", 0)).tolist()\n        self.judged = 1',
        "keeps something from one call to the next",
    ),
    Sabotage("intervals", CODE, '{"mae": Mean("absolute_error", ideal=0.0)}', "{}", "Task.statistics"),
    Sabotage("hostile", CODE, "except ValueError:", "except KeyError:", "taskkit.DataError"),
    Sabotage(
        "precision",
        CODE,
        "error = target - outputs",
        "error = (target + 1000).to(outputs.dtype) - outputs - 1000",
        "bf16",
    ),
    Sabotage(
        "devices",
        CODE,
        RETURNED,
        RETURNED.replace("len(target)", "1 if torch.distributed.is_initialized() else len(target)"),
        "in each process",
    ),
    Sabotage(
        "export",
        CODE,
        '"""(batch, length) to (batch, steps)."""',
        '"""(batch, length) to (batch, steps)."""\n        past = past if float(past.sum()) > 0 else past + 0',
        "data-dependent",
    ),
    Sabotage("wheel", RECORD, f"{PACKAGE}/recipes/small_waves.yaml,", "nowhere,", "what it packages"),
    Sabotage("documented", CODE, '    """The network and its way in."""\n', "", "Write it"),
    Sabotage("typed", f"{PACKAGE}/py.typed", "", "", "Add an empty file py.typed"),
)
Check = Callable[[Path, Sequence[str]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    """Make checks of the plugin that lies in a folder."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "TASKKIT_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.testing.checked"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=variables,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def call(site: Path, checks: Sequence[str]) -> list[dict[str, Any]]:
        order = {"distribution": "taskkit-series", "site": str(site), "checks": sorted(checks)}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        found: list[dict[str, Any]] | None = json.loads(process.stdout.readline())
        assert found is not None, "the process that made the checks ended"
        return found

    yield call
    process.communicate()


def broken(sabotage: Sabotage, site: Path, folder: Path) -> Path:
    """A copy of the healthy plugin in which one thing is broken."""
    copy = folder / "site"
    shutil.copytree(site, copy)
    file = copy / sabotage.file
    if not sabotage.old:
        if file.exists():
            file.unlink()
        else:
            file.write_text(sabotage.new)
        return copy
    text = file.read_text()
    assert text.count(sabotage.old) == 1, f"the substitution for {sabotage.check} does not fit"
    file.write_text(text.replace(sabotage.old, sabotage.new))
    return copy


def test_every_check_has_its_sabotage() -> None:
    assert [sabotage.check for sabotage in SABOTAGES] == [each.name for each in CHECKS]


def test_all_is_well_with_the_plugin_before_it_is_broken(check: Check, series_site: Path) -> None:
    found = check(series_site, [each.name for each in CHECKS if each.name != "typed"])
    assert len(found) > len(CHECKS)
    assert [each for each in found if each["outcome"] != "pass"] == []


@pytest.mark.parametrize(
    "sabotage",
    [
        pytest.param(each, id=each.check, marks=[pytest.mark.taskkit_slow] if each.check in LONG else [])
        for each in SABOTAGES
    ],
)
def test_a_check_fails_where_what_it_holds_is_broken_and_no_other_does(
    check: Check, series_site: Path, tmp_path: Path, sabotage: Sabotage
) -> None:
    found = check(broken(sabotage, series_site, tmp_path), [*CHEAP, sabotage.check])
    failed = {each["check"]: each for each in found if each["outcome"] == "fail"}
    assert [*failed] == [sabotage.check], failed
    assert sabotage.cure in failed[sabotage.check]["found"] + failed[sabotage.check]["cure"]
