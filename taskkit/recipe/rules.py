"""What is wrong with the meaning of a recipe whose values all have the right type."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.contracts.component import KINDS, Component, Kind
from taskkit.contracts.recipe import day
from taskkit.plugins.compatibility import Found, fits
from taskkit.plugins.installed import names, normalised, unmet
from taskkit.wording import TELL_AUTHORS, did_you_mean

if TYPE_CHECKING:
    from taskkit.contracts.component import Direction
    from taskkit.contracts.recipe import (
        DistilSection,
        EarlyStoppingSection,
        Key,
        LoaderSection,
        OptimSection,
        PluginsSection,
        PrivacySection,
        Recipe,
        TrackersSection,
        TrainerSection,
    )
    from taskkit.plugins.discovery import Plugins

OPTIMISERS = (
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "asgd",
    "muon",
    "nadam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sparseadam",
)
"""What torch.optim is known to have; other names are looked up when the optimiser is made."""

_SECRET = re.compile(r"//[^/?#]*@|[?&][^=]*(password|token|secret|key)[^=]*=", re.IGNORECASE)
"""What in an address may let somebody in."""

BY_ELEMENT = ("adamw", "adam", "sgd", "adagrad", "rmsprop", "nadam", "radam", "adamax", "adadelta", "asgd")
"""Optimisers whose step of a weight looks at no other weight; what they do with shares was compared with the whole."""
_FSDP_PRECISIONS = ("auto", "32-true", "bf16-mixed")
"""Those in which all weights and gradients are as wide as each other."""
_GPUS_ALONE = ("deepspeed", "deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3")
"""Strategies that Lightning has for GPUs alone."""


def problems(parts: Mapping[str, Any], components: Mapping[Kind, Component], plugins: Plugins) -> list[tuple[Key, str]]:
    """Everything that contradicts something else.

    `parts` are the sections by name, without those that could not be typed; `components`, those found.
    """
    return [
        *requirement_problems(parts.get("requires", [])),
        *preference_problems(parts.get("plugins"), plugins),
        *_sections(parts, components.get("task")),
        *_components(parts, components),
        *fits(components, plugins),
    ]


def _sections(parts: Mapping[str, Any], task: Component | None) -> Found:
    trainer, optim, loader = parts.get("trainer"), parts.get("optim"), parts.get("loader")
    stopping, privacy = parts.get("early_stopping"), parts.get("privacy")
    if privacy:
        yield from privacy_problems(privacy, trainer)
    if trackers := parts.get("trackers"):
        yield from tracker_problems(trackers)
    if trainer:
        yield from trainer_problems(trainer)
    if trainer and loader:
        yield from loader_problems(loader, trainer)
    if trainer and trainer.strategy == "fsdp":
        yield from fsdp_problems(parts, trainer)
    if parts.get("compile") and parts.get("activation_checkpointing"):
        yield (
            ("activation_checkpointing",),
            "activation_checkpointing and compile are both true, and nobody tried them together. Set one to false.",
        )
    if optim:
        yield from optim_problems(optim, trainer.max_steps if trainer else None)
    if distil := parts.get("distil"):
        yield from distil_problems(distil)
    if stopping:
        yield from stopping_problems(stopping, trainer)
    if stopping and stopping.monitor is not None and task:
        yield from monitor_problems(stopping.monitor, stopping.mode, task)


def placement_problems(recipe: Recipe) -> list[str]:
    """What does not go with the processes of a recipe that is read back, whose other parts were checked."""
    plain = {name: getattr(recipe, name) for name in ("compile", "channels_last", "distil", "optim")}
    found = [*trainer_problems(recipe.trainer), *loader_problems(recipe.loader, recipe.trainer)]
    if recipe.trainer.strategy == "fsdp":
        found += fsdp_problems(plain, recipe.trainer)
    return [message for _, message in found]


def requirement_problems(requires: Sequence[str]) -> Found:
    """Packages that are not there, or in another version."""
    for number, text in enumerate(requires):
        from packaging.requirements import InvalidRequirement, Requirement

        at = ("requires", str(number))
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            yield at, f"requires has {text!r}. A package and its versions were expected, such as taskkit-image>=0.2."
            continue
        if requirement.url:
            yield at, f"requires has {text!r}, which names a place. Versions were expected: {requirement.name}>=…"
        elif found := unmet(requirement):
            yield at, f"requires has {text!r}, and {found}. Try: pip install '{text.partition(';')[0].strip()}'"


def preference_problems(section: PluginsSection | None, plugins: Plugins) -> Found:
    """Plugins that are not in use: without them another's component would be taken without a word."""
    known = {name for info in plugins.plugins for name in names(info)}
    for number, name in enumerate(section.prefer if section else ()):
        if normalised(name) not in known:
            advice = did_you_mean(name, known) or " `taskkit plugins list` shows those that are installed."
            yield ("plugins", "prefer", str(number)), f"plugins.prefer has {name!r}, which is not in use.{advice}"


def privacy_problems(privacy: PrivacySection, trainer: TrainerSection | None) -> Found:
    """A day that is none, checkpoints that others write."""
    if privacy.retain_until is not None and day(privacy.retain_until) is None:
        yield (
            ("privacy", "retain_until"),
            f"privacy.retain_until is {privacy.retain_until!r}, which is no day. One such as 2027-01-31 was expected.",
        )
    if privacy.encrypt and trainer and trainer.strategy in _GPUS_ALONE:
        yield (
            ("privacy", "encrypt"),
            f"privacy.encrypt is true, and trainer.strategy is {trainer.strategy}, which writes checkpoints of its own "
            "as they are. Expected auto or ddp. Change one of them.",
        )


def tracker_problems(trackers: TrackersSection) -> Found:
    """Libraries that are not installed, and an address that would be kept with its password."""
    address = getattr(trackers.mlflow, "tracking_uri", None)
    own = address is None and not os.environ.get("MLFLOW_TRACKING_URI")
    needs = {
        "tensorboard": ["tensorboard"],
        "mlflow": ["mlflow", *(("sqlalchemy", "alembic") if own else ())],
        "wandb": ["wandb"],
    }
    for name, libraries in needs.items():
        missing = [library for library in libraries if getattr(trackers, name) and not _installed(library)]
        if missing:
            yield (
                ("trackers", name),
                f"trackers.{name} needs what is not installed here: {', '.join(missing)}. Install it: "
                f"pip install 'taskkit-ml[{name}]', or set trackers.{name}=false.",
            )
    if address is not None and _SECRET.search(address):
        yield (
            ("trackers", "mlflow", "tracking_uri"),
            "trackers.mlflow.tracking_uri holds a name, a password or a token, which would be kept in the run. "
            "Expected an address without. Set MLFLOW_TRACKING_URI to the whole of it, and leave tracking_uri out.",
        )


def _installed(library: str) -> bool:
    # A folder of this name in the working directory, as wandb leaves one, has no origin.
    found = util.find_spec(library)
    return found is not None and found.origin is not None


def trainer_problems(trainer: TrainerSection) -> Found:
    """How long to train, and shares that are counts."""
    if trainer.max_epochs is None and trainer.max_steps is None:
        yield (
            ("trainer",),
            "neither trainer.max_epochs nor trainer.max_steps is given. Expected one. Add max_epochs.",
        )
    if trainer.max_epochs is not None and trainer.max_steps is not None:
        yield (
            ("trainer", "max_steps"),
            f"trainer.max_steps is {trainer.max_steps} and trainer.max_epochs is {trainer.max_epochs}. "
            "Expected one of them. Remove the other, or set it to null.",
        )
    for name in ("val_check_interval", "limit_train_batches", "limit_val_batches", "limit_test_batches"):
        share = getattr(trainer, name)
        if share > 1 and not share.is_integer():
            yield (
                ("trainer", name),
                f"trainer.{name} is {share:g}. Expected a share up to 1, or a whole number of batches. "
                f"Write {math.floor(share)} or {math.ceil(share)}.",
            )
    if trainer.strategy == "fsdp_cpu_offload":
        yield (
            ("trainer", "strategy"),
            "trainer.strategy is fsdp_cpu_offload, and taskkit leaves no weights to the host's memory. Write fsdp.",
        )
    if trainer.accelerator == "cpu" and trainer.strategy in _GPUS_ALONE:
        yield (
            ("trainer", "strategy"),
            f"trainer.strategy is {trainer.strategy}, which needs GPUs, and trainer.accelerator is cpu. "
            "Write ddp or auto.",
        )
    if trainer.gradient_clip_algorithm == "value" and trainer.gradient_clip_val is None:
        yield (
            ("trainer", "gradient_clip_algorithm"),
            "trainer.gradient_clip_algorithm is value, but gradient_clip_val is null, so nothing is clipped. "
            "Give trainer.gradient_clip_val.",
        )


def fsdp_problems(parts: Mapping[str, Any], trainer: TrainerSection) -> Found:
    """What does not go with weights that are shared out among processes."""
    if trainer.precision not in _FSDP_PRECISIONS:
        yield (
            ("trainer", "precision"),
            f"trainer.precision is {trainer.precision}, and trainer.strategy fsdp trains in "
            f"{', '.join(_FSDP_PRECISIONS)}. Write one of these, or trainer.strategy=ddp.",
        )
    if trainer.accelerator in ("mps", "tpu"):
        yield (
            ("trainer", "accelerator"),
            f"trainer.accelerator is {trainer.accelerator}, and trainer.strategy fsdp trains on CUDA devices or the "
            "CPU. Write one of these, or trainer.strategy=auto.",
        )
    if trainer.sync_batchnorm:
        yield (
            ("trainer", "sync_batchnorm"),
            "trainer.sync_batchnorm is true, and trainer.strategy is fsdp, with which each process takes batch "
            "statistics of its own. Set it to false, or trainer.strategy=ddp.",
        )
    optim = parts.get("optim")
    if optim is not None and optim.name.lower() not in BY_ELEMENT:
        yield (
            ("optim", "name"),
            f"optim.name is {optim.name}, and trainer.strategy is fsdp, with which each process takes a step of its "
            f"share of a matrix. Expected one of {', '.join(BY_ELEMENT)}, or trainer.strategy=ddp.",
        )
    elif optim is not None and optim.options.get("fused") and optim.name.lower() not in ("adam", "adamw"):
        yield (
            ("optim", "options"),
            f"optim.options.fused is true, and of shares, as trainer.strategy fsdp has them, torch takes no fused step "
            f"by {optim.name}. Leave it out.",
        )
    if parts.get("distil"):
        yield (
            ("distil",),
            "distil names a teacher, and trainer.strategy is fsdp, with which nobody tried it. Set distil to null, or "
            "trainer.strategy=ddp.",
        )
    for name in ("compile", "channels_last"):
        if parts.get(name):
            yield (
                (name,),
                f"{name} is true, and trainer.strategy is fsdp, with which nobody tried it. Set it to false, or "
                "trainer.strategy=ddp.",
            )


def loader_problems(loader: LoaderSection, trainer: TrainerSection) -> Found:
    """Batches that processes cannot share out evenly, a fold that is not there."""
    if loader.fold >= (loader.folds or 1):
        yield (
            ("loader", "fold"),
            f"loader.fold is {loader.fold}, and loader.folds is {loader.folds or 'null'}. A fold from 0 on, below "
            "their number, was expected.",
        )
    if loader.shards is not None and _SECRET.search(loader.shards):
        yield (
            ("loader", "shards"),
            "loader.shards holds a name, a password or a token, which would be kept in the run. Expected an address "
            "without. Give it to fsspec in its own configuration, as by FSSPEC_S3_KEY.",
        )
    if loader.shuffle_shards is not None:
        wanted = {"shards": loader.shards is not None, "encode": loader.encode == "lazy"}
        wanted |= {"folds": loader.folds is None, "fraction": loader.fraction == 1}
        if wrong := [name for name, right in wanted.items() if not right]:
            yield (
                ("loader", "shuffle_shards"),
                f"loader.shuffle_shards is {loader.shuffle_shards}, and loader.{wrong[0]} is "
                f"{'null' if (value := getattr(loader, wrong[0])) is None else value}. Shards that are read while "
                "training, with encode: lazy, and neither folds nor a fraction of them, were expected. Set it to null.",
            )
    several = trainer.num_nodes > 1 or (trainer.devices != "auto" and trainer.devices > 1)
    if several and not loader.drop_last:
        yield (
            ("loader", "drop_last"),
            "loader.drop_last is false, but processes that train together need as many batches each. "
            "Set it to true, or train on one device.",
        )


def optim_problems(optim: OptimSection, max_steps: int | None) -> Found:
    """The optimiser's name and moments, the rate and freezing."""
    if optim.name.lower() == "lbfgs":
        yield (
            ("optim", "name"),
            "optim.name is lbfgs, which takes several passes over a batch for one step. Expected an optimiser that "
            "takes one, such as adamw.",
        )
    elif optim.name.lower() not in OPTIMISERS:
        near = did_you_mean(optim.name, OPTIMISERS)
        if near or not optim.name.isidentifier():
            expected = near or " Expected a name of torch.optim, such as adamw."
            yield ("optim", "name"), f"optim.name is {optim.name!r}, which is no optimiser.{expected}"
    if len(optim.betas) != 2 or not all(0 <= beta < 1 for beta in optim.betas):
        yield (
            ("optim", "betas"),
            f"optim.betas is {optim.betas}. Expected two numbers from 0 to below 1, such as [0.9, 0.999].",
        )
    yield from _rate_problems(optim, max_steps)
    for pattern, until in optim.freeze.items():
        yield from _freeze_problems(pattern, until, max_steps)


def _rate_problems(optim: OptimSection, max_steps: int | None) -> Found:
    """Warm-up and hold that are counts or shares, and leave the rate time to fall."""
    for name, value in (("warmup", optim.warmup), ("hold", optim.hold)):
        if value >= 1 and not value.is_integer():
            yield (
                ("optim", name),
                f"optim.{name} is {value:g}. Expected a share below 1, or a whole number of steps.",
            )
        elif max_steps is not None and value >= max_steps and value >= 1:
            yield (
                ("optim", name),
                f"optim.{name} is {value:g} steps, but training ends after {max_steps} (trainer.max_steps). "
                "Expected fewer. Write a share of all steps, such as 0.1.",
            )
    if optim.warmup < 1 and optim.hold < 1 <= optim.warmup + optim.hold:
        yield (
            ("optim", "hold"),
            f"optim.hold is {optim.hold:g} and optim.warmup {optim.warmup:g}, which leaves the rate no step to fall. "
            "Expected shares whose sum is below 1.",
        )
    if optim.schedule == "exponential" and optim.min_lr == 0:
        yield (
            ("optim", "min_lr"),
            "optim.min_lr is 0, which an exponential schedule never reaches. Expected a share of lr, such as 0.05.",
        )


def _freeze_problems(pattern: str, until: int | None, max_steps: int | None) -> Found:
    if not pattern or pattern.split() != [pattern] or pattern.count("[") != pattern.count("]"):
        yield (
            ("optim", "freeze"),
            f"optim.freeze: {pattern!r} is no pattern of parameter names. Write one such as 'blocks.0.*'.",
        )
    elif until is not None and until < 1:
        yield (
            ("optim", "freeze", pattern),
            f"optim.freeze: {pattern} is kept fixed until step {until}. Expected a step from 1 on. "
            "Write null for the whole run.",
        )
    elif until is not None and max_steps is not None and until >= max_steps:
        yield (
            ("optim", "freeze", pattern),
            f"optim.freeze: {pattern} is kept fixed until step {until}, but training ends after {max_steps}. "
            "Write null for the whole run.",
        )


def stopping_problems(stopping: EarlyStoppingSection, trainer: TrainerSection | None) -> Found:
    """Whether there is anything to watch."""
    if trainer and trainer.limit_val_batches == 0:
        yield (
            ("early_stopping",),
            "early_stopping watches validation, but trainer.limit_val_batches is 0. Set it to null.",
        )
    if stopping.monitor is None and stopping.mode is not None:
        yield (
            ("early_stopping", "mode"),
            f"early_stopping.mode is {stopping.mode} without a monitor, and the task knows how its own metric goes. "
            "Name a monitor, or remove mode.",
        )


def distil_problems(section: DistilSection) -> Found:
    """Whether there is a teacher."""
    if not os.path.isfile(Path(section.teacher) / "run.json"):  # noqa: PTH113 - any text, also one that is no path
        yield (
            ("distil", "teacher"),
            f"distil.teacher is {section.teacher!r}, where there is no run.json. Name the directory of a run, such as "
            "`taskkit run` prints at its end.",
        )


def monitor_problems(monitor: str, mode: Direction | None, task: Component) -> Found:
    """Whether the task has the metric that is watched, and which way it should go.

    Of a task that declares no metrics nothing but its loss is known.
    """
    split, _, metric = monitor.rpartition("/")
    known = [*task.metrics, "loss"]
    if split in ("train", "test"):
        yield (
            ("early_stopping", "monitor"),
            f"early_stopping.monitor is {monitor!r}. Expected a metric of validation. Did you mean 'val/{metric}'?",
        )
        return
    name = monitor.removeprefix("val/")
    right = task.direction(name)
    if right is None and task.metrics:
        yield (
            ("early_stopping", "monitor"),
            f"early_stopping.monitor is {monitor!r}, which is no metric of {task.name}. "
            f"Expected one of {', '.join(known)}.{did_you_mean(name, known)}",
        )
    if mode and right and mode != right:
        better = {"min": "smaller", "max": "larger"}[right]
        yield (
            ("early_stopping", "mode"),
            f"early_stopping.mode is {mode}, but {monitor} is better the {better} it is. Write {right}.",
        )


def _components(parts: Mapping[str, Any], components: Mapping[Kind, Component]) -> Found:
    """What the sections of components say of themselves in `problems()`."""
    # Of data that were packed it was asked then, and what they were made of need not be here.
    packed = getattr(parts.get("loader"), "shards", None) is not None
    for kind in KINDS:
        if kind == "data" and packed:
            continue
        own: Callable[[], Iterable[tuple[str, str]]] | None = getattr(parts.get(kind), "problems", None)
        if own is None:
            continue
        try:
            said = list(own())
        except Exception as error:  # A plugin's code.
            name = components[kind].name
            yield (
                (kind,),
                f"{name} could not check its section ({type(error).__name__}: {error}). {TELL_AUTHORS}",
            )
        else:
            for name, message in said:
                yield (kind, name), f"{kind}.{name}: {message}"
