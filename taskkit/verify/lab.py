"""Short trainings of a recipe, each in a process of its own and in a directory that goes away."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from taskkit.contracts.recipe import Recipe
from taskkit.errors import RunFailedError
from taskkit.loaded_run import LoadedRun
from taskkit.plugins.registry import Plugins
from taskkit.recipe.dump import document
from taskkit.recipe.load import load
from taskkit.runs import manifest
from taskkit.verify.workshop import Workshop, workshops

LAST_LINES = 12
"""Lines of what a process said that are shown when it failed."""


CHECKPOINT_EVERY = 2
"""Steps between checkpoints: more than one, so that some steps of a killed training are taken again."""
JUDGED_BATCHES = 2
"""Batches of each validation and test."""


@dataclass(frozen=True)
class Bounds:
    """How much a proof may do."""

    steps: int = 12
    """Optimiser steps of each training, at most."""
    examples: int = 48
    """Examples that gradients and metrics are compared on."""
    kills: int = 2
    """Processes that are killed in the proof of resuming."""
    seed: int = 0
    """Decides where processes are killed and how examples are shuffled."""


def short(recipe: Recipe, steps: int) -> list[str]:
    """Changes after which a recipe takes at most so many steps on one device, and logs each.

    A recipe of epochs takes two of them and one of steps keeps to steps: a run goes on differently in these.
    """
    trainer, optim = recipe.trainer, recipe.optim
    epochs = min(2, trainer.max_epochs) if trainer.max_epochs is not None else None
    batches = max(2, steps // (epochs or 2)) * trainer.accumulate_grad_batches
    length = [f"trainer.max_steps={steps}"] if epochs is None else [f"trainer.max_epochs={epochs}"]
    warmup, hold = (value if value < 1 else min(value, steps // 4) for value in (optim.warmup, optim.hold))
    return [
        *length,
        # Of a stream nobody knows how many batches an epoch has: it is cut by steps alone.
        f"trainer.limit_train_batches={trainer.limit_train_batches if epochs is None else batches}",
        f"trainer.limit_val_batches={JUDGED_BATCHES if trainer.limit_val_batches else 0}",
        f"trainer.limit_test_batches={JUDGED_BATCHES if trainer.limit_test_batches else 0}",
        f"trainer.val_check_interval={max(2, batches // 2)}",
        "trainer.check_val_every_n_epoch=1",
        "trainer.devices=1",
        # Chosen once: with another number of threads, sums are in another order.
        f"trainer.threads={trainer.threads or torch.get_num_threads()}",
        "trainer.num_nodes=1",
        "trainer.strategy=auto",
        "early_stopping=null",
        "compile=false",
        f"optim.warmup={warmup:g}",
        f"optim.hold={hold:g}",
        f"optim.freeze={json.dumps({name: until and min(until, steps // 2) for name, until in optim.freeze.items()})}",
        f"checkpoint.every_n_steps={CHECKPOINT_EVERY}",
        "meter.every_n_steps=1",
        "meter.flops=false",
        "trackers=[]",
    ]


def untrained(recipe: Recipe) -> bool:
    """Whether a recipe takes no steps, as where a list of what is popular is all that is learnt."""
    return recipe.trainer.max_epochs == 0


@dataclass
class Lab:
    """Where one recipe is trained in short, and what was trained already."""

    recipe: Recipe
    plugins: Plugins
    bounds: Bounds
    folder: Path
    workshops: tuple[Workshop, Workshop]
    """Where processes begin: what must come out alike is trained once in each, where hashes are others."""
    _trained: dict[tuple[str, ...], LoadedRun] = field(default_factory=dict)

    def trained(self, *changes: str) -> LoadedRun:
        """The run of the short recipe with some changes, which is trained when it is first wanted."""
        if changes not in self._trained:
            self._trained[changes] = self.train(*changes)
        return self._trained[changes]

    def train(self, *changes: str, elsewhere: bool = False) -> LoadedRun:
        """Train the short recipe with some changes; raises RunFailedError when that fails.

        `elsewhere`: not where those that `trained` gives were.
        """
        out = self.new_folder()
        self.call(["taskkit", "run", str(self.write(*changes)), "--out", str(out)], elsewhere=elsewhere)
        return self.opened(out)

    def opened(self, run: Path) -> LoadedRun:
        """A run that was trained here."""
        return LoadedRun(run, manifest.read(run), self.plugins)

    def write(self, *changes: str) -> Path:
        """A file with the short recipe and some changes; raises RecipeError for those that do not go together."""
        whole = self.new_folder()
        whole.mkdir()
        path = whole / "recipe.yaml"
        path.write_text(document(self.recipe.plain(), {}))
        resolved = load([path], [*short(self.recipe, self.bounds.steps), *changes], self.plugins)
        path.write_text(resolved.to_yaml())
        return path

    def new_folder(self) -> Path:
        """A path below the lab's folder at which there is nothing yet."""
        return Path(tempfile.mkdtemp(dir=self.folder)) / "run"

    def call(self, module: Sequence[str], *, elsewhere: bool = False, may_be_killed: bool = False) -> int:
        """Run a module with arguments in a process of its own and return its exit code.

        Raises RunFailedError, with the last of what it said, for any code but 0 and, if that may be, that of SIGKILL.
        """
        said = self.folder / "said.txt"
        code = self.workshops[elsewhere].run(module, said)
        if code not in (0, *([-signal.SIGKILL] if may_be_killed else [])):
            last = "\n".join(f"  {line}" for line in said.read_text(errors="replace").splitlines()[-LAST_LINES:])
            raise RunFailedError(
                f"A training for a proof ended with the exit code {code}; 0 was expected. Mend what it says first, as "
                f"`taskkit run` would say it too:\n{last}"
            )
        return code


@contextmanager
def lab(
    recipe: Recipe, plugins: Plugins, bounds: Bounds, ready: tuple[Workshop, Workshop] | None = None
) -> Iterator[Lab]:
    """A lab for a recipe, whose trainings are gone at the end; `ready` are workshops that there are already."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="taskkit-verify-"))
        pair = ready or stack.enter_context(workshops(implementations(recipe), forks=may_fork(recipe)))
        yield Lab(recipe, plugins, bounds, Path(folder), pair)


def implementations(recipe: Recipe) -> list[str]:
    """The modules of a recipe's components."""
    return sorted({chosen.component.implementation.partition(":")[0] for chosen in recipe.chosen().values()})


def may_fork(recipe: Recipe) -> bool:
    """Whether trainings may be forked: where libraries and devices allow it that were looked at before."""
    return sys.platform == "linux" and (recipe.trainer.accelerator == "cpu" or not torch.cuda.is_available())


def environment(run: LoadedRun) -> Mapping[str, object]:
    """What decides numbers beside the recipe: Python, torch and the device of a run."""
    known = run.manifest.environment
    return {
        "python": known.get("python"),
        "platform": known.get("platform"),
        "device": known.get("device"),
        "torch": known.get("packages", {}).get("torch"),
    }
