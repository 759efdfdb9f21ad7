"""The gradients of a recipe's first optimiser steps, for batches that are given: without dropout, augmentation or luck.

`python -m taskkit.verify.gradients RECIPE ASKED OUT` takes them in as many processes as ASKED, a JSON file, says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from taskkit.batches.encode import encode
from taskkit.batches.loader import Loader
from taskkit.batches.plan import Indices, Plan
from taskkit.batches.store import Encoded
from taskkit.contracts.recipe import CheckpointSection, OptimSection, Recipe, Strategy
from taskkit.contracts.task import Task
from taskkit.engine import build, optim
from taskkit.engine.build import Built
from taskkit.engine.loaders import PlaceLoaders
from taskkit.engine.module import TaskModule
from taskkit.engine.trainer import make_trainer, quiet
from taskkit.plugins.discovery import from_environment
from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import load

Gradients = list[dict[str, Tensor]]
"""For each optimiser step the gradient of each parameter by its name."""

_DISTURBING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.RNNBase, nn.MultiheadAttention)
"""Modules of torch that, in training, leave something out or look at all of a batch."""

RATE = 1e-3
"""Of plain gradient descent: small, so that what one step gets wrong does not hide what the next gets right."""


@dataclass(kw_only=True)
class Listed(Plan):
    """Batches that are given, of any sizes."""

    given: list[Indices]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(map(len, self.given))

    @property
    def samples_per_batch(self) -> None:
        """None: each batch weighs by what its loss is the mean of."""
        return

    def global_batches(self, order: Indices) -> list[Indices]:
        """Those that were given."""
        return self.given


@dataclass(frozen=True)
class Asked:
    """Whose gradients are wanted: batches by the sizes, of the first samples in order of their lengths."""

    sizes: tuple[int, ...]
    accumulate: int = 1
    """Batches that make an optimiser step."""
    devices: int = 1
    """Processes that share each batch out."""
    examples: int = 48
    """Training examples that samples are taken from."""
    network_trains: bool = True
    """Whether the network is in training mode, in which some answer otherwise, and some draw random numbers."""


@dataclass(frozen=True)
class Subject:
    """A recipe's task as it is before training, and some encoded samples of different lengths."""

    built: Built
    encoded: Encoded

    def gradients(self, asked: Asked, seed: int = 0) -> Gradients:
        """The gradients of all optimiser steps over the batches, each parameter's of its own shape.

        `seed` decides what the task draws at random, if it draws anything.

        The task comes out as it went in.
        """
        # Only what is shuffled is drawn, as all training samples are; what is drawn follows from the sample alone.
        plan = Listed(given=self._batches(asked.sizes), seed=self.built.recipe.seed, shuffle=True)
        built, processor = self.built, self.built.processor
        before = {name: value.clone() for name, value in built.task.state_dict().items()}
        recipe = _still(built.recipe, asked, len(plan.given))
        loader = Loader(self.encoded, processor, plan, resident="no", workers=0)
        module = TaskModule(
            _undisturbed(built.task, asked.network_trains),
            recipe.task,
            optimisers=partial(
                optim.configure,
                section=recipe.optim,
                task=built.task,
                blocks=built.model.blocks,
                batches=loader.__len__,
            ),
            loader=loader,
        )
        callbacks: list[pl.Callback] = [PlaceLoaders([loader])]
        with quiet(), _recorded(built.task) as found:
            pl.seed_everything(seed, verbose=False)
            make_trainer(recipe, callbacks, plan.__len__, built.task).fit(module, loader)
        built.task.load_state_dict(before)
        return found

    def _batches(self, sizes: Sequence[int]) -> list[Indices]:
        wanted = sum(sizes)
        # Lengths that alternate: a batch of few samples must not be like one of many.
        by_length = np.argsort(self.encoded.lengths, kind="stable")
        short, long = np.array_split(by_length, 2)
        mixed = np.concatenate([np.stack([short[: len(long)], long[::-1]], axis=1).reshape(-1), short[len(long) :]])
        return np.split(mixed[:wanted], np.cumsum(sizes)[:-1])


def subject(recipe: Recipe, plugins: Plugins, examples: int) -> Subject:
    """Prepare a recipe's data, build its task and encode some training examples."""
    with quiet():
        pl.seed_everything(recipe.seed, verbose=False)
        prepared = build.prepare(build.data_module(recipe), recipe, plugins.components)
        built = build.build(recipe, prepared)
        head = build.head(prepared, "train")
        few = [head[n] for n in range(min(examples, len(head)))]
        return Subject(built, encode(few, built.processor, key=None, training=True))


def _undisturbed(task: Task, network_trains: bool) -> Task:
    """Let a task take steps of training while nothing is left out and no statistics are those of a batch."""
    task.train()
    task.network.train(network_trains)
    for module in task.modules():
        if isinstance(module, _DISTURBING):
            module.eval()
    return task


def _still(recipe: Recipe, asked: Asked, batches: int) -> Recipe:
    """The recipe with nothing in it but the loss, the batches and how these make a step."""
    # A network that leaves nothing out has no use for some parameters, such as what stands for a masked frame.
    strategy: Strategy = "ddp_find_unused_parameters_true" if asked.devices > 1 else "auto"
    trainer = replace(
        recipe.trainer,
        max_epochs=1,
        max_steps=None,
        accelerator="cpu",
        precision="32-true",
        devices=asked.devices,
        num_nodes=1,
        strategy=strategy,
        accumulate_grad_batches=asked.accumulate,
        gradient_clip_val=None,
        gradient_clip_algorithm="norm",
        limit_train_batches=1.0,
        limit_val_batches=0,
        val_check_interval=1.0,
        profiler=None,
    )
    optim_ = OptimSection(name="sgd", lr=RATE, momentum=0.0, schedule="constant")
    return replace(recipe, trainer=trainer, optim=optim_, checkpoint=CheckpointSection(), early_stopping=None)


@contextmanager
def _recorded(task: torch.nn.Module) -> Iterator[Gradients]:
    """Keep the gradients of each optimiser step."""
    names = {id(parameter): name for name, parameter in task.named_parameters()}
    found: Gradients = []

    def keep(optimiser: Optimizer, args: Any, kwargs: Any) -> None:
        found.append(
            {
                names[id(parameter)]: parameter.grad.detach().clone()
                for group in optimiser.param_groups
                for parameter in group["params"]
                if parameter.grad is not None and id(parameter) in names
            }
        )

    hook = register_optimizer_step_post_hook(keep)
    try:
        yield found
    finally:
        hook.remove()


def ask(path: Path, asked: Asked) -> Path:
    """Write what is asked for, to be read by a process that `python -m taskkit.verify.gradients` starts."""
    path.write_text(json.dumps(asdict(asked)))
    return path


def _main(recipe: Path, asked_: Path, out: Path) -> None:
    said = json.loads(asked_.read_text())
    asked = Asked(**{**said, "sizes": tuple(said["sizes"])})
    plugins = from_environment()
    found = subject(load([recipe], [], plugins).recipe, plugins, asked.examples).gradients(asked)
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        torch.save(found, out)


if __name__ == "__main__":
    _main(*map(Path, sys.argv[1:]))
