"""A small vision transformer on MNIST-5k, beside timm's training script."""

from __future__ import annotations

import csv
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from results import PRINTED

from same_work.work import Ours, Score, Theirs, Work, read, recipe, same
from taskkit import Example, Split, Stream
from taskkit.contracts.data import Prepared
from taskkit.engine.build import Built

EPOCHS = 6
TESTED = 1000
FILES: Mapping[Split, str] = {"train": "train", "test": "t10k"}
"""What torchvision calls the files of a split."""


def write(folder: Path, prepared: Prepared, built: Built, steps: int) -> Mapping[str, Any]:
    """The digits of training and test, as torchvision's MNIST reads them, and the settings that timm has too."""
    for split in FILES:
        examples = prepared.examples(split)
        assert not isinstance(examples, Stream)
        write_split(folder, split, examples)
    section: Any = built.recipe.model.section
    return {
        "patch": section.patch,
        "width": section.width,
        "depth": section.depth,
        "heads": section.heads,
        "smoothing": built.recipe.task.section.label_smoothing,
        "classes": len(prepared.spec.target),
        "trained": len(prepared.examples("train")),
    }


def write_split(folder: Path, split: Split, examples: Sequence[Example]) -> None:
    """Write the digits of a split as torchvision's MNIST reads them from a folder."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    images = np.stack([np.asarray(example.input) for example in examples])[:, 0]
    (raw / f"{FILES[split]}-images-idx3-ubyte").write_bytes(_idx(images))
    (raw / f"{FILES[split]}-labels-idx1-ubyte").write_bytes(_idx(np.array([example.target for example in examples])))


def _idx(values: np.ndarray) -> bytes:
    """Numbers of a byte each in the format of the MNIST files: type, dimensions, sizes, values."""
    sizes = np.array(values.shape, dtype=">i4")
    return bytes([0, 0, 8, values.ndim]) + sizes.tobytes() + values.astype(np.uint8).tobytes()


def network(work: Mapping[str, Any]) -> Mapping[str, Any]:
    """What timm's vit_tiny_patch16_224 is told, to be the network of the recipe."""
    return {
        "img_size": 28,
        "patch_size": work["patch"],
        "embed_dim": work["width"],
        "depth": work["depth"],
        "num_heads": work["heads"],
        "class_token": False,
        "fc_norm": False,
    }


def _words(folder: Path, out: Path, options: Namespace) -> Sequence[str]:
    """The command line of timm's train.py; its scores go to OUT/timm/summary.csv."""
    if options.timm is None:
        raise SystemExit("vit needs train.py of timm's repository, which is not in its package. Name it: --timm FILE.")
    work = read(folder)
    says: Mapping[str, Any] = {
        "data-dir": folder,
        "dataset": "torch/mnist",
        "output": out,
        "experiment": "timm",
        "device": "cpu",
        "workers": 1,
        "model": "vit_tiny_patch16_224",
        "gp": "avg",
        "num-classes": work["classes"],
        "smoothing": work["smoothing"],
        "batch-size": work["batch_size"],
        "seed": work["seed"],
        "epochs": work["epochs"],
        "val-interval": work["epochs"],
        "opt": "adamw",
        "lr": work["lr"],
        "weight-decay": work["weight_decay"],
        "clip-grad": work["clip"],
        "sched": "cosine",
        "warmup-epochs": 0,
        "amp-dtype": "bfloat16",
        "crop-pct": 1.0,
        "mean": 0.5,
        "std": 0.5,
    }
    lone = ["no-aug", "sched-on-updates", *(["amp"] if work["bf16"] else [])]
    return [
        options.timm,
        *(word for name, value in says.items() for word in (f"--{name}", str(value))),
        *(f"--{name}" for name in lone),
        *("--input-size", "1", "28", "28"),
        *("--model-kwargs", *(f"{name}={value}" for name, value in network(work).items())),
    ]


def _found(out: Path) -> Mapping[str, Any]:
    """What train.py left; its epochs are counted from 0."""
    log = (out / PRINTED).read_text()
    with (out / "timm" / "summary.csv").open() as file:
        *_, last = csv.DictReader(file)
    parameters, steps = (int(re.findall(each, log)[-1]) for each in (r"param count:(\d+)", r"Train: \d+ \[ *\d+/(\d+)"))
    return {
        "score": float(last["eval_top1"]) / 100,
        "epochs": int(last["epoch"]) + 1,
        "same": same(parameters, steps, TESTED),
        "packages": {"timm": version("timm")},
    }


SAYS = "timm's train.py"
WORK = Work(
    name="vit",
    title="A vision transformer on MNIST-5k, beside timm",
    about="""\
Each row trains a vision transformer of 4 blocks, 128 wide, with 4 heads and learned positions, on patches of {patch}
pixels of {trained} digits, for {epochs} epochs of {steps} batches of {batch_size}, without distortions, with AdamW,
a cosine without warm-up, label smoothing, decay, clipping and bf16, and is judged by 1,000 digits. The networks are
the same, which a test holds; each row draws the first weights itself, and taskkit's decays positions too. timm's rows
are train.py of its repository, unchanged, at aa4b5850c154, with one process that reads MNIST's own files, which
torchvision holds in memory; they judge once, after the last epoch, by the digits that test. taskkit's also validates on
500 others.""",
    why="""\
The difference is attention. Through PyTorch's fused kernel gradients are slow in bf16 on a CPU, so taskkit's network
leaves it there; timm's leaves it only where TIMM_FUSED_ATTN is 0, and then the script costs as much as taskkit: most of
both is what the network itself computes. Of the rest timm spends more on making a picture and a tensor of each digit in
each epoch, and taskkit on imports and on what it says of the test.""",
    recipe=recipe("vit.yaml"),
    changes=(
        "data.augment=false",
        "model.stem=patch",
        "model.position=learned",
        "optim.warmup=0",
        f"trainer.max_epochs={EPOCHS}",
        f"trainer.check_val_every_n_epoch={EPOCHS}",
        "loader.cache=false",
    ),
    score=Score("test/accuracy", "test accuracy", farthest=0.02),
    rows={
        "taskkit": Ours("`taskkit run recipes/vit.yaml`"),
        "timm": Theirs(SAYS, _words, found=_found),
        "unfused": Theirs(f"{SAYS}, TIMM_FUSED_ATTN=0", _words, found=_found, environment={"TIMM_FUSED_ATTN": "0"}),
    },
    prepare=write,
    packages=("taskkit-ml", "torch", "torchvision", "pytorch-lightning", "timm"),
)
