"""Recipes: their sections, and how files and overrides become one, checked, with the origin of each value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from taskkit import check, references
from taskkit.component import KINDS
from taskkit.convert import to_plain
from taskkit.draft import Draft, Form
from taskkit.errors import Problem, RecipeError
from taskkit.layers import Key, Layer, Origin, Tree, dotted, file_layer, override_layer
from taskkit.section import Setting, setting, settings
from taskkit.wording import did_you_mean, shown
from taskkit.yaml_text import document

if TYPE_CHECKING:
    from taskkit.plugins import Plugins

Precision = Literal[
    "auto",
    "32-true",
    "16-mixed",
    "bf16-mixed",
    "16-true",
    "bf16-true",
    "64-true",
    "transformer-engine",
    "transformer-engine-float16",
]
Strategy = Literal[
    "auto",
    "ddp",
    "ddp_find_unused_parameters_true",
    "ddp_spawn",
    "fsdp",
    "fsdp_cpu_offload",
    "deepspeed",
    "deepspeed_stage_1",
    "deepspeed_stage_2",
    "deepspeed_stage_3",
]


@dataclass
class Loader:
    """How samples become batches."""

    batch_size: int = setting(32, "samples in a batch, on each device", ge=1)
    budget: float | None = setting(
        None,
        "where lengths differ: tokens or audio seconds in a batch, padding included; null: batch_size mean samples",
        gt=0,
    )
    eval_batch_size: int | None = setting(None, "samples in a validation or test batch; null: batch_size", ge=1)
    workers: int | None = setting(None, "processes that read samples; null: as the machine and the data want", ge=0)
    resident: Literal["auto", "yes", "no"] = setting("auto", "keep the encoded training data on the device")
    drop_last: bool = setting(True, "leave out an epoch's last batch when it is smaller")
    cache: bool = setting(True, "keep encoded samples on disk between runs")


@dataclass
class Optim:
    """How the weights are changed."""

    name: str = setting("adamw", "adamw, sgd, or the name of any optimiser in torch.optim")
    lr: float = setting(1e-3, "peak learning rate", gt=0)
    weight_decay: float = setting(0.0, "decay of matrices and kernels; biases and norms have none", ge=0)
    momentum: float = setting(0.9, "momentum of sgd", ge=0, lt=1)
    betas: list[float] = setting([0.9, 0.999], "decay rates of AdamW's moments")
    options: dict[str, Any] = setting({}, "further arguments of the optimiser, by torch's own names")
    schedule: Literal["cosine", "linear", "exponential", "constant"] = setting(
        "cosine", "how the rate falls after warm-up and hold"
    )
    warmup: float = setting(0.0, "steps of linear warm-up; below 1: a share of all steps", ge=0)
    hold: float = setting(0.0, "steps at the peak before the rate falls; below 1: a share of all steps", ge=0)
    min_lr: float = setting(0.0, "where the schedule ends, as a share of lr", ge=0, le=1)
    layer_decay: float = setting(1.0, "factor on the rate for each block away from the output", gt=0, le=1)
    freeze: dict[str, int | None] = setting(
        {}, "parameter name patterns kept fixed, each until a step; null: for the whole run"
    )
    ema: float | None = setting(None, "decay of an average of the weights, which is what is evaluated", gt=0, lt=1)


@dataclass
class Trainer:
    """Lightning's own settings, by its own names."""

    max_epochs: int | None = setting(None, "epochs to train; give this or max_steps", ge=0)
    max_steps: int | None = setting(None, "optimiser steps to train; give this or max_epochs", ge=1)
    precision: Precision = setting("auto", "auto: bf16-mixed where the device computes it natively, else 32-true")
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = setting(
        "auto", "the kind of device; auto: the best there is"
    )
    devices: int | Literal["auto"] = setting(1, "how many devices; auto: all there are", ge=1)
    strategy: Strategy = setting("auto", "how several devices work together")
    num_nodes: int = setting(1, "machines that take part", ge=1)
    accumulate_grad_batches: int = setting(1, "batches whose gradients make one optimiser step", ge=1)
    gradient_clip_val: float | None = setting(None, "largest norm (or value) of the gradients", gt=0)
    gradient_clip_algorithm: Literal["norm", "value"] = setting("norm", "what gradient_clip_val bounds")
    val_check_interval: float = setting(1.0, "validate after this share of an epoch; above 1: this many batches", gt=0)
    check_val_every_n_epoch: int = setting(1, "validate after every so many epochs", ge=1)
    limit_train_batches: float = setting(1.0, "use this share of the batches; above 1: this many", gt=0)
    limit_val_batches: float = setting(1.0, "use this share of the batches; above 1: this many; 0: none", ge=0)
    limit_test_batches: float = setting(1.0, "use this share of the batches; above 1: this many; 0: none", ge=0)
    deterministic: bool = setting(False, "only algorithms that give the same result every time")
    benchmark: bool = setting(False, "let cuDNN look for its fastest algorithms")
    detect_anomaly: bool = setting(False, "find the operation that made a NaN; slow")
    sync_batchnorm: bool = setting(False, "batch statistics over all devices")
    profiler: Literal["simple", "advanced", "pytorch"] | None = setting(None, "Lightning's profiler to attach")


@dataclass
class EarlyStopping:
    """Stop when validation no longer gets better."""

    patience: int = setting(3, "validations without improvement before the run stops", ge=1)
    min_delta: float = setting(0.0, "the smallest change that counts as improvement", ge=0)
    monitor: str | None = setting(None, "a validation metric; null: the task's headline")
    mode: Literal["max", "min"] | None = setting(None, "direction of the metric; null: as the task says")


@dataclass
class Checkpoint:
    """When the run is saved, besides its end and each validation."""

    every_n_steps: int | None = setting(None, "save every so many optimiser steps", ge=1)
    every_minutes: float | None = setting(10.0, "save every so many minutes; null: never by time", gt=0)


@dataclass
class Meter:
    """What is measured while training."""

    every_n_steps: int = setting(50, "steps between two drains of the scalars, and two lines in a log", ge=1)
    flops: bool = setting(True, "count the operations of one training step, for MFU")


@dataclass(kw_only=True)
class Recipe:
    """One run, resolved: every value set and typed; `task`, `model`, `data` are the components' sections."""

    title: str = setting(doc="what the run is called; left out: the name of the recipe file")
    seed: int = setting(0, "decides every random choice of the run", ge=0, lt=2**32)
    compile: bool = setting(False, "compile the network with torch.compile")
    task_name: str
    model_name: str
    data_name: str
    task: Any
    model: Any
    data: Any
    loader: Loader = field(default_factory=Loader)
    optim: Optim = field(default_factory=Optim)
    trainer: Trainer = field(default_factory=Trainer)
    early_stopping: EarlyStopping | None = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    meter: Meter = field(default_factory=Meter)

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data, of the form of a recipe file; `from_plain` is the inverse."""
        components: dict[str, Any] = {
            kind: {"name": getattr(self, f"{kind}_name"), **to_plain(getattr(self, kind))} for kind in KINDS
        }
        sections = {name: to_plain(getattr(self, name)) for name in SECTIONS}
        return {"title": self.title, "seed": self.seed, "compile": self.compile, **components, **sections}


SECTIONS: Mapping[str, type] = {
    "loader": Loader,
    "optim": Optim,
    "trainer": Trainer,
    "early_stopping": EarlyStopping,
    "checkpoint": Checkpoint,
    "meter": Meter,
}
"""The host's own sections."""

SWITCHED_OFF = frozenset({"early_stopping"})
"""Sections that are null unless a recipe gives them."""


def root_settings() -> tuple[Setting, ...]:
    """Describe the values that stand outside of any section."""
    return tuple(setting for setting in settings(Recipe) if setting.name in ("title", "seed", "compile"))


@dataclass(frozen=True)
class Resolved:
    """A recipe, and where everything in it came from."""

    recipe: Recipe
    files: tuple[Path, ...]
    """The recipe files, in the order in which they were merged."""
    sha256: str
    """Of the bytes of the files, one after the other."""
    notes: tuple[str, ...]
    """What a person should know about the merge: settings that a new component name dropped."""
    origins: Mapping[Key, tuple[Origin, ...]]
    """For each key every value that it was given, the one in force last."""

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data."""
        return self.recipe.plain()

    def why(self, key: str) -> dict[str, tuple[Origin, ...]]:
        """Who set a value, or each value of a section: by dotted key every origin, the one in force last.

        Raises RecipeError for a key that is not in the recipe.
        """
        leaves = dict(_leaves(self.plain()))
        wanted = [at for at in leaves if f"{dotted(at)}.".startswith(f"{key}.")]
        if not wanted:
            near = did_you_mean(key, [dotted(at) for at in leaves] + list(self.plain()))
            advice = near or " `taskkit show RECIPE` prints all of it."
            raise RecipeError([Problem("", key, f"{key} is not in the recipe.{advice}")])
        return {dotted(at): self.origins.get(at, ()) for at in wanted}

    def to_yaml(self) -> str:
        """The recipe as YAML that reads back the same, with a comment for where each value came from."""
        return document(self.plain(), {key: _said(origins[-1]) for key, origins in self.origins.items()})


def load(files: Sequence[str | Path], overrides: Sequence[str], plugins: Plugins) -> Resolved:
    """Read recipe files and overlays, merge them left to right and overrides on top, and check the result.

    A file may also be the name of a recipe that a plugin ships. Nothing is fetched and no torch is imported.
    Raises RecipeError with everything that is wrong.
    """
    sources, layers = _read(files, overrides, plugins)
    tree = Tree()
    for layer in layers:
        tree.merge(layer, named=KINDS)
    draft = _draft(tree, plugins, title=next(iter(sources)).stem)
    draft.problems += check.problems(draft.parts, draft.components, plugins)
    content = b"".join(sources.values())
    return Resolved(
        recipe=_finished(draft),
        files=tuple(sources),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=tuple(tree.notes),
        origins=tree.origins,
    )


def from_plain(data: Mapping[str, Any], plugins: Plugins, overrides: Sequence[str] = ()) -> Recipe:
    """Read back what `Recipe.plain` gave, with overrides on top.

    The checks of meaning are left out: a run's data may be gone by now. Raises RecipeError when the installed plugins
    do not know the recipe, or not with these fields.
    """
    tree = Tree()
    for layer in (Layer(dict(data), {}), *map(override_layer, overrides)):
        tree.merge(layer, named=KINDS)
    return _finished(_draft(tree, plugins, title=""))


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell recipe files from `key=value` overrides."""
    overrides = [word for word in words if "=" in word and not _exists(Path(word))]
    return [word for word in words if word not in overrides], overrides


def find(name: str | Path, plugins: Plugins) -> Path:
    """The path of a recipe file, or of the recipe of this name that a plugin ships; raises RecipeError."""
    path = Path(name)
    shipped = {recipe.name: recipe.path for recipe in plugins.recipes()}
    if str(name) in shipped and not (_exists(path) and path.is_file()):
        return shipped[str(name)]
    if _exists(path):
        return path
    beside = [str(file) for folder in (path.parent, Path("recipes")) for file in sorted(folder.glob("*.yaml"))]
    near = did_you_mean(str(name), [*shipped, *beside])
    advice = near or " `taskkit list recipes` shows those installed; a change is written KEY=VALUE."
    raise _no_recipe(str(name), f"there is no such file, and no recipe of this name.{advice}")


def _draft(tree: Tree, plugins: Plugins, title: str) -> Draft:
    return Draft(tree, plugins, Form(root_settings(), SECTIONS, SWITCHED_OFF, {"title": title}))


def _finished(draft: Draft) -> Recipe:
    """The recipe; raises RecipeError with all problems and their places."""
    if draft.problems:
        where = draft.tree.where
        raise RecipeError([Problem(where(key), dotted(key), message) for key, message in draft.problems])
    names = {f"{kind}_name": component.name for kind, component in draft.components.items()}
    return Recipe(**draft.parts | names)


def _read(
    files: Sequence[str | Path], overrides: Sequence[str], plugins: Plugins
) -> tuple[dict[Path, bytes], list[Layer]]:
    sources: dict[Path, bytes] = {}
    layers: list[Layer] = []
    problems: list[Problem] = []
    if not files:
        raise _no_recipe("", "No recipe was given. Expected a path or a name, such as recipes/vit.yaml.")
    for name in files:
        try:
            path = find(name, plugins)
            sources[path] = _content(path)
            layers.append(file_layer(str(path), sources[path]))
        except RecipeError as error:
            problems += error.problems
    # Names go first: the other overrides of a section must not be lost when one of them starts it afresh.
    names = [f"{kind}.name" for kind in KINDS]
    for override in sorted(overrides, key=lambda word: word.partition("=")[0] not in names):
        try:
            layers.append(override_layer(override))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return sources, layers


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        inside = ", ".join(str(file) for file in sorted(path.glob("*.yaml"))[:5])
        message = f"this is a directory. Expected a recipe file{f', such as {inside}' if inside else ''}."
    except OSError as error:
        message = f"cannot be read ({error.strerror}). Expected a recipe file. Check its permissions."
    raise _no_recipe(str(path), message)


def _no_recipe(where: str, message: str) -> RecipeError:
    return RecipeError([Problem(where, "", message)])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # A long override is no possible file name.
        return False


def _leaves(values: Mapping[str, Any], at: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*at, name))
        else:
            yield (*at, name), value


def _said(origin: Origin) -> str:
    reference = isinstance(origin.value, str) and references.OPEN in origin.value
    return f"{origin.where}, {shown(origin.value)}" if reference else origin.where
