"""Whether one batch can be learnt by heart: a network, a loss and an optimiser that cannot do that learn nothing."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from taskkit.batches.encode import encode
from taskkit.batches.loader import Loader
from taskkit.batches.plan import plan
from taskkit.contracts.classification import Classification
from taskkit.contracts.data import Batch, Prepared
from taskkit.contracts.facts import Example
from taskkit.contracts.recipe import OptimSection
from taskkit.contracts.regression import Regression
from taskkit.contracts.task import Step, Task
from taskkit.engine import build, optim
from taskkit.engine.build import Built
from taskkit.engine.chance import chance_of
from taskkit.engine.guard import calling, returned
from taskkit.engine.module import clip_gradients

SAMPLES = 16
"""In the batch: few, so that they are learnt soon."""
LOOKED_AT = 64
"""Examples among which those of unlike targets are chosen."""
STEPS = 200
SECONDS = 60.0
"""What it may take at most."""
LEARNT = 1 / 3
"""The share of its first loss that a batch must come below, for the host's own tasks: no constant answer does."""
LESS = 0.8
"""The same for other tasks, of which nobody knows whether the loss can come near 0: one input may have many targets."""
RISING = 20
"""Steps in which the rate rises to its peak: a transformer's first steps are else too large."""
USUAL = OptimSection(name="adamw", lr=1e-3)
"""What is tried where the recipe's own optimiser fails, to tell a rate that is wrong from a network that is."""


class CannotSay(Exception):
    """A batch that says nothing of this recipe, with the reason."""


@dataclass(frozen=True)
class Learnt:
    """How the loss of one batch fell."""

    first: float
    lowest: float
    goal: float
    """What it should come below."""
    steps: int
    late: bool = False
    """Whether there was no time for all steps."""
    unmoved: tuple[str, ...] = ()
    """Parameters that are trained and came out as they went in, bit for bit."""

    @property
    def enough(self) -> bool:
        """Whether it was learnt."""
        return self.lowest < self.goal


@dataclass(frozen=True)
class Subject:
    """A task before training, and one batch for it, both on the device."""

    built: Built
    batch: Batch
    samples: int
    chance: float | None
    """The loss that chance gives, as the task knows it."""

    def learnt(self, section: OptimSection, seconds: float = SECONDS) -> Learnt:
        """How far the loss falls within STEPS by an optimiser; the task comes out as it went in."""
        task, before = self.built.task, {k: v.clone() for k, v in self.built.task.state_dict().items()}
        groups = optim.parameter_groups(
            section, task.network, self.built.model.blocks(self.built.network), optim.own_parameters(task)
        )
        optimiser = optim.make_optimiser(section, groups)
        rates = [group["lr"] for group in optimiser.param_groups]
        share = LEARNT if isinstance(task, Classification | Regression) else LESS
        losses, began = list[float](), time.monotonic()
        for step in range(STEPS):
            loss = self.loss()
            losses.append(float(loss.detach()))
            if not losses[-1] >= share * losses[0] or time.monotonic() - began > seconds:
                break
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            trainer = self.built.recipe.trainer
            if trainer.gradient_clip_val is not None:
                clip_gradients(task.parameters(), trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, (step + 1) / RISING)
            optimiser.step()
        trained = [(name, each) for name, each in task.named_parameters() if each.requires_grad]
        unmoved = tuple(name for name, each in trained if torch.equal(each.detach(), before[name]))
        task.load_state_dict(before)
        lowest = min((loss for loss in losses if math.isfinite(loss)), default=losses[0])
        late = lowest >= share * losses[0] and time.monotonic() - began > seconds
        return Learnt(losses[0], lowest, share * losses[0], len(losses) - 1, late, unmoved)

    def loss(self) -> torch.Tensor:
        """The loss of the batch, a scalar; raises CannotSay where it has none that depends on the parameters."""
        owner = self.built.recipe.task
        with calling(owner, "step", batch=self.batch):
            step = returned(owner, "step", self.built.task.step(self.batch), Step)
        if step.loss is None or not step.loss.requires_grad:
            raise CannotSay(f"{owner.name} gives no loss that depends on the parameters")
        if float(step.loss.detach()) <= 0:
            raise CannotSay(f"{owner.name} has losses below 0, of which nobody knows how low they can be")
        return step.loss.reshape(())


def subject(built: Built, prepared: Prepared, device: torch.device) -> Subject:
    """The task of a recipe, with nothing left out at random, and a batch of unlike targets.

    Raises CannotSay, with the reason, for what no batch says anything of.
    """
    recipe, task = built.recipe, built.task
    if recipe.trainer.max_epochs == 0:
        raise CannotSay("this recipe takes no steps (trainer.max_epochs is 0)")
    if task.phases:
        raise CannotSay(f"the phases {', '.join(task.phases)} are trained against each other")
    for parameter in optim.never_trained(recipe.optim, task):
        parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in task.parameters()):
        raise CannotSay("no parameter is trained")
    chosen = unlike(_candidates(build.head(prepared, "train")), SAMPLES)
    loader = _loader(built, chosen)
    first = next(iter(loader))
    batch = {name: tensor.to(device) for name, tensor in first.tensors.items()}
    chance = chance_of(task, recipe.task)
    return Subject(replace(built, task=stilled(task).to(device)), batch, first.samples, chance)


def stilled(task: Task) -> Task:
    """Put a task into training with nothing left out at random.

    The host's own classification is asked as in evaluation, without mixing, smoothing and weights of classes.
    """
    task.train()
    for module in task.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            module.dropout = 0.0
    if isinstance(task, Classification):
        task.training = False
    return task


def unlike(examples: Sequence[Example], count: int) -> list[Example]:
    """So many examples, of as many targets as there are: of each in turn."""
    by_target: dict[str, deque[Example]] = {}
    for example in examples:
        by_target.setdefault(repr(example.target), deque()).append(example)
    queues, chosen = list(by_target.values()), list[Example]()
    while len(chosen) < min(count, len(examples)):
        chosen += [queue.popleft() for queue in queues if queue]
    return chosen[:count]


def _candidates(train: Sequence[Example]) -> list[Example]:
    """Some examples, spread over the split."""
    most = min(LOOKED_AT, len(train))
    return [train[number * len(train) // most] for number in range(most)]


def _loader(built: Built, examples: Sequence[Example]) -> Loader:
    """Batches of samples of the examples, which may be windows of them, drawn as those of training are."""
    encoded = encode(examples, built.processor, key=None, training=True)
    order = plan(encoded, built.processor, min(SAMPLES, len(encoded)), seed=built.recipe.seed, shuffle=True)
    loader = Loader(encoded, built.processor, order, resident="no", workers=0)
    loader.place(torch.device("cpu"), rank=0, world=1)
    return loader
