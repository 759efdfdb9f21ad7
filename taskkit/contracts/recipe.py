"""The recipe as a value: the host's own sections, and what a run consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from taskkit.contracts.component import Chosen, Kind
from taskkit.contracts.settings import Setting, setting, settings, to_plain

Key = tuple[str, ...]
"""The way to a value: `("optim", "lr")`, and the position in a list as text."""

MOST = 1000
"""Of a rate or a decay: what is larger is a slip of the pen, and no weight would stay a number."""

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
class LoaderSection:
    """How samples become batches."""

    batch_size: int = setting(32, "samples in a batch, on each device", ge=1)
    budget: float | None = setting(
        None,
        "where lengths differ: tokens or audio seconds in a batch, padding included; null: batch_size mean samples",
        gt=0,
    )
    eval_batch_size: int | None = setting(None, "samples in a validation or test batch; null: batch_size", ge=1)
    workers: int | None = setting(
        None, "processes that read samples; null: as the machine and the data want", ge=0, le=1024
    )
    resident: Literal["auto", "yes", "no"] = setting("auto", "keep the encoded training data on the device")
    drop_last: bool = setting(True, "leave out an epoch's last batch when it is smaller")
    cache: bool = setting(True, "keep encoded samples on disk between runs")
    fraction: float = setting(
        1.0,
        "learn from this share of the training examples: the same ones each time, and in each larger share",
        gt=0,
        le=1,
    )
    folds: int | None = setting(
        None,
        "cut the examples of all splits anew into so many parts, alike in classes; null: as the data are split",
        ge=3,
    )
    fold: int = setting(0, "the part that is the test, counted from 0; the next one is validation", ge=0)
    encode: Literal["ahead", "lazy"] = setting(
        "ahead", "ahead: all samples before training; lazy: each whenever it is read, by the workers, and never kept"
    )
    shards: str | None = setting(
        None,
        "a folder or URL to which `taskkit data pack` wrote these data, read in their place; null: as the data say",
    )
    shuffle_shards: int | None = setting(
        None,
        "with shards and encode: lazy, mix training examples of so many shards at a time; null: all",
        ge=1,
    )


@dataclass
class PhaseSection:
    """What the optimiser of one phase has of its own; null: as the others."""

    name: str | None = setting(None, "adamw, sgd, or the name of any optimiser in torch.optim")
    lr: float | None = setting(None, "peak learning rate", gt=0, le=MOST)
    weight_decay: float | None = setting(None, "decay of matrices and kernels", ge=0, le=MOST)
    betas: list[float] | None = setting(None, "decay rates of AdamW's moments")
    options: dict[str, Any] | None = setting(None, "further arguments of the optimiser, by torch's own names")


@dataclass
class OptimSection:
    """How the weights are changed."""

    name: str = setting("adamw", "adamw, sgd, or the name of any optimiser in torch.optim")
    lr: float = setting(1e-3, "peak learning rate", gt=0, le=MOST)
    weight_decay: float = setting(0.0, "decay of matrices and kernels; biases and norms have none", ge=0, le=MOST)
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
    phases: dict[str, PhaseSection] = setting(
        {}, "for tasks of several phases: what is different in the optimiser of each"
    )
    ema: float | None = setting(None, "decay of an average of the weights, which is what is evaluated", gt=0, lt=1)


@dataclass
class TrainerSection:
    """Lightning's own settings, by its own names."""

    max_epochs: int | None = setting(None, "epochs to train; give this or max_steps", ge=0)
    max_steps: int | None = setting(None, "optimiser steps to train; give this or max_epochs", ge=1)
    max_time: float | None = setting(
        None, "seconds after which training ends, validations included; rates fall as if it did not", gt=0
    )
    precision: Precision = setting("auto", "auto: bf16-mixed where the device computes it natively, else 32-true")
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = setting(
        "auto", "the kind of device; auto: the best there is"
    )
    devices: int | Literal["auto"] = setting(1, "how many devices; auto: all there are", ge=1, le=1024)
    threads: int | None = setting(
        None, "threads of torch on the CPU; null: OMP_NUM_THREADS, or as many as cores are free", ge=1, le=1024
    )
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
class EarlyStoppingSection:
    """Stop when validation no longer gets better."""

    patience: int = setting(3, "validations without improvement before the run stops", ge=1)
    min_delta: float = setting(0.0, "the smallest change that counts as improvement", ge=0)
    monitor: str | None = setting(None, "a validation metric; null: the task's headline")
    mode: Literal["max", "min"] | None = setting(None, "direction of the metric; null: as the task says")


@dataclass
class DistilSection:
    """Learn from the answers of a run that was trained before, as well as from the targets (Hinton et al., 2015)."""

    teacher: str = setting(doc="the directory of the run that is learnt from, trained on the same data")
    temperature: float = setting(2.0, "what logits of both are divided by; higher: more of what is improbable", gt=0)
    alpha: float = setting(
        0.5, "the share of the loss that the teacher's answers have; the task's has the rest", ge=0, le=1
    )


@dataclass
class CheckpointSection:
    """When the run is saved, besides its end and each validation."""

    every_n_steps: int | None = setting(None, "save every so many optimiser steps", ge=1)
    every_minutes: float | None = setting(10.0, "save every so many minutes; null: never by time", gt=0)


@dataclass
class MeterSection:
    """What is measured while training."""

    every_n_steps: int = setting(50, "steps between two drains of the scalars, and two lines in a log", ge=1)
    flops: bool = setting(True, "count the operations of one training step, for MFU")


@dataclass
class MlflowSection:
    """Where MLflow keeps a run."""

    experiment: str = setting("taskkit", "the experiment that the run belongs to; made where it is not there")
    tracking_uri: str | None = setting(
        None,
        "the server or the store; null: as MLFLOW_TRACKING_URI says, else a database in the run directory",
    )


@dataclass
class WandbSection:
    """Where Weights & Biases keeps a run."""

    project: str = setting("taskkit", "the project that the run belongs to")
    entity: str | None = setting(None, "the user or team that the project belongs to; null: your default")
    group: str | None = setting(None, "runs of one group are shown together")
    mode: Literal["online", "offline"] | None = setting(
        None, "offline: only in the run directory, for `wandb sync`; null: as WANDB_MODE says, else online"
    )


@dataclass
class TrackersSection:
    """What else is told the metrics; a list of names turns these on, with their defaults, and no others."""

    csv: bool = setting(False, "a table, trackers/csv/metrics.csv in the run directory")
    tensorboard: bool = setting(False, "TensorBoard's files, in trackers/tensorboard in the run directory")
    mlflow: MlflowSection | bool = setting(False, "a run in MLflow: experiment and tracking_uri")
    wandb: WandbSection | bool = setting(False, "a run in Weights & Biases: project, entity, group and mode")


@dataclass
class PrivacySection:
    """How long a run may be kept, and whether it is encrypted, for the sake of the people in its data."""

    retain_until: str | None = setting(
        None, "the last day on which the run may be kept, such as 2027-01-31; `taskkit runs` tells when it is over"
    )
    note: str | None = setting(None, "what was agreed about keeping it, for whoever finds the run")
    encrypt: bool = setting(
        False, "encrypt checkpoints, predictions and tables, with the key file that --key-file names"
    )


@dataclass
class PluginsSection:
    """Whose components are used, where several plugins declare one of the same name."""

    prefer: list[str] = setting([], "plugins, by distribution or entry point, the first one first")


def day(text: str) -> date | None:
    """The day that an ISO date names; None: it names none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@dataclass(kw_only=True)
class Recipe:
    """One run, resolved: every value set and typed, every component found."""

    title: str = setting(doc="what the run is called; left out: the name of the recipe file")
    seed: int = setting(0, "decides every random choice of the run", ge=0, lt=2**32)
    compile: bool = setting(False, "compile the network with torch.compile")
    activation_checkpointing: bool = setting(
        False, "compute what is inside the model's blocks again for its gradients: less memory, more time"
    )
    channels_last: bool = setting(False, "keep the channels of images last in memory, for faster 2-d convolutions")
    requires: list[str] = setting([], "packages that must be installed, each as pip writes it: taskkit-image>=0.2")
    task: Chosen
    model: Chosen
    data: Chosen
    loader: LoaderSection = field(default_factory=LoaderSection)
    optim: OptimSection = field(default_factory=OptimSection)
    trainer: TrainerSection = field(default_factory=TrainerSection)
    early_stopping: EarlyStoppingSection | None = None
    distil: DistilSection | None = None
    checkpoint: CheckpointSection = field(default_factory=CheckpointSection)
    meter: MeterSection = field(default_factory=MeterSection)
    privacy: PrivacySection = field(default_factory=PrivacySection)
    plugins: PluginsSection = field(default_factory=PluginsSection)
    trackers: TrackersSection = field(default_factory=TrackersSection)

    def chosen(self) -> Mapping[Kind, Chosen]:
        """The three components by their kind."""
        return {"task": self.task, "model": self.model, "data": self.data}

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data, of the form of a recipe file; `from_plain` is the inverse."""
        components: dict[str, Any] = {
            kind: {"name": chosen.name, **to_plain(chosen.section)} for kind, chosen in self.chosen().items()
        }
        sections = {name: to_plain(getattr(self, name)) for name in SECTIONS}
        roots = {name: getattr(self, name) for name in ROOTS} | {"requires": [*self.requires]}
        return {**roots, **components, **sections}


ROOTS = ("title", "seed", "compile", "activation_checkpointing", "channels_last", "requires")
"""The values that stand outside of any section."""

SECTIONS: Mapping[str, type] = {
    "loader": LoaderSection,
    "optim": OptimSection,
    "trainer": TrainerSection,
    "early_stopping": EarlyStoppingSection,
    "distil": DistilSection,
    "checkpoint": CheckpointSection,
    "meter": MeterSection,
    "privacy": PrivacySection,
    "plugins": PluginsSection,
    "trackers": TrackersSection,
}
"""The host's own sections."""

SWITCHED_OFF = frozenset({"early_stopping", "distil"})
"""Sections that are null unless a recipe gives them."""

SWITCHES = frozenset({"trackers"})
"""Sections of what can be on, which may be written as a list of the names of what is."""


def root_settings() -> tuple[Setting, ...]:
    """Describe the values that stand outside of any section."""
    return tuple(setting for setting in settings(Recipe) if setting.name in ROOTS)
