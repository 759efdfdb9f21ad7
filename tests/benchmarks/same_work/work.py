"""What a work is: a recipe, the rows that do it, and what tells whether they did the same."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from results import ROOT, Result, in_turns, spent

from taskkit.batches.loader import Loader
from taskkit.contracts.data import Prepared
from taskkit.engine.build import Built, build, data_module, prepare
from taskkit.engine.loaders import make_loaders
from taskkit.engine.placement import precision
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load

HERE = Path(__file__).parent
WORK, ANSWER = "work.json", "answer.json"


@dataclass(frozen=True)
class Score:
    """What a row's network is worth."""

    metric: str
    """Its name in a run of taskkit."""
    says: str
    farthest: float
    """How much worse than the best a row may be, and still be of the same work."""
    mode: Literal["max", "min"] = "max"

    def near(self, value: float, best: float) -> bool:
        """Whether a value is of the same work as the best one."""
        return abs(value - best) <= self.farthest

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return max(values) if self.mode == "max" else min(values)


@dataclass(frozen=True)
class Ours:
    """A row that is the run of the recipe."""

    says: str


@dataclass(frozen=True)
class Theirs:
    """A row that is a process of somebody else."""

    says: str
    words: Callable[[Path, Path, Namespace], Sequence[str]]
    """Of the folder with what is to be done, the folder for what comes of it, and the options: Python's arguments."""
    python: Callable[[Namespace], str] = field(default=lambda _: sys.executable)
    """The interpreter that it needs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    found: Callable[[Path], Result] = field(default=lambda out: json.loads((out / ANSWER).read_text()))
    """What it left: `score`, `epochs`, `same`, and perhaps `packages`."""


@dataclass(frozen=True)
class Work:
    """One that taskkit and others do."""

    name: str
    title: str
    about: str
    why: str
    recipe: Path
    changes: Sequence[str]
    score: Score
    rows: Mapping[str, Ours | Theirs]
    prepare: Callable[[Path, Prepared, Built, int], Mapping[str, Any]]
    """Write into a folder what the others need, and say what else they are to do; an epoch has so many steps."""
    packages: Sequence[str]
    own: Callable[[Path], Sequence[str]] = field(default=lambda _: ())
    """Write data of the work's own into a folder, and say which settings name them."""

    def measure(self, options: Namespace) -> Result:
        """Measure all rows in turns."""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            changes = [*self.changes, *self.own(folder)]
            written = self._written(folder, changes)
            (folder / WORK).write_text(json.dumps(written))
            found = in_turns(
                [*self.rows],
                options.rounds,
                lambda row, turn: self._run(row, folder, folder / f"{row}{turn}", changes, options),
            )
        plain = {name: value for name, value in written.items() if isinstance(value, int | float | str)}
        protocol = {"rounds": options.rounds, "threads": options.threads, "work": plain}
        return {"protocol": protocol, "rows": [{"row": row, "runs": runs} for row, runs in found.items()]}

    def failed(self, runs: Sequence[Result], rows: Sequence[Result]) -> bool:
        """Whether some of a row's runs were of other work than taskkit's first, or did it worse than it can be done."""
        best = self.score.best([run["score"] for row in rows for run in row["runs"]])
        same = rows[0]["runs"][0]["same"]
        return any(run["same"] != same or not self.score.near(run["score"], best) for run in runs)

    def _written(self, folder: Path, changes: Sequence[str]) -> Mapping[str, Any]:
        """What is to be done, as plain data."""
        recipe = load([self.recipe], changes, discover()).recipe
        pl.seed_everything(recipe.seed, verbose=False)
        prepared = prepare(data_module(recipe), recipe)
        built = build(recipe, prepared)
        loader = make_loaders(built, prepared, lambda _: None)["train"]
        assert isinstance(loader, Loader)
        trainer, optim = recipe.trainer, recipe.optim
        return {
            "epochs": trainer.max_epochs,
            "steps": len(loader),
            "batch_size": recipe.loader.batch_size,
            "seed": recipe.seed,
            "lr": optim.lr,
            "betas": optim.betas,
            "weight_decay": optim.weight_decay,
            "clip": trainer.gradient_clip_val,
            "bf16": precision(trainer.precision, trainer.accelerator).startswith("bf16"),
            **self.prepare(folder, prepared, built, len(loader)),
        }

    def _run(self, row: str, folder: Path, out: Path, changes: Sequence[str], options: Namespace) -> Result:
        """What the process of a row cost, and what it found."""
        does = self.rows[row]
        out.mkdir()
        environment = {"OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "true"}
        if isinstance(does, Ours):
            words = ["-m", "taskkit", "run", str(self.recipe), *changes, "--out", str(out / "run")]
            return {**spent(words, out, environment), **self._found(out / "run")}
        words, environment = [*does.words(folder, out, options)], {**environment, **does.environment}
        return {**spent(words, out, environment, does.python(options)), **does.found(out)}

    def _found(self, out: Path) -> Result:
        """What a run of taskkit found."""
        run = json.loads((out / "run.json").read_text())
        steps = max(json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines())
        epochs = run["resolved"]["trainer"]["max_epochs"]
        return {
            "score": run["metrics"][self.score.metric],
            "epochs": epochs,
            "same": same(run["cost"]["parameters"], steps / epochs, run["data"]["sizes"]["test"]),
        }


def same(parameters: int, steps: float, tested: int) -> Result:
    """What must be alike in all rows: parameters, steps in an epoch, and how many examples test."""
    return {"parameters": parameters, "steps": math.ceil(steps), "tested": tested}


def read(folder: Path) -> Mapping[str, Any]:
    """What is to be done, as it was written into a folder."""
    work: Mapping[str, Any] = json.loads((folder / WORK).read_text())
    return work


def recipe(name: str) -> Path:
    """One of those that are shipped."""
    return ROOT / "recipes" / name
