"""Trains every recipe for a CUDA device by `taskkit run`, several at a time, each for a share of the time."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from on_device import files
from on_device.files import Maker
from on_device.kept import Kept
from on_device.works import NARROW, RECIPES, SMALL_IMAGES, SMALL_SPEECH

FOR_CUDA = "; for a CUDA device."
TRAINING = 0.6
"""The share of its time that a recipe trains for at most; the rest is for reading, compiling and judging."""
TINY = (
    "compile=false",
    "channels_last=false",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.max_epochs=null",
    "trainer.max_steps=6",
    "loader.workers=0",
)
SMALL_DATA = ("loader.batch_size=4",)


@dataclass(frozen=True)
class Trial:
    """How a recipe is tried: what makes up its data, where these are a person's own, and what is changed."""

    data: Maker | None = None
    changes: Sequence[str] = ()
    tiny: Sequence[str] = ()
    tiny_data: Maker | None = None
    """What makes up its data where the trial is tiny; None: as else."""


def digits(folder: Path, amount: files.Amount) -> Sequence[str]:
    """The digits that a package brings."""
    return ["data.name=image.digits"]


def table(folder: Path, amount: files.Amount) -> Sequence[str]:
    """Made-up recordings in a table."""
    return ["data.name=speech.table", *files.recordings(folder, amount)]


TRIALS: Mapping[str, Trial] = {
    "fashion_mnist_resnet": Trial(tiny=SMALL_DATA, tiny_data=digits),
    "fashion_mnist_vit": Trial(tiny=("model.image_size=28", *SMALL_DATA), tiny_data=digits),
    "wav2vec2_gpu": Trial(tiny=SMALL_SPEECH, tiny_data=table),
    "wav2vec2_pretrain": Trial(tiny=SMALL_SPEECH, tiny_data=table),
    "vit_b16_folder": Trial(
        files.images, ("model.pretrained=false",), (*SMALL_IMAGES, "model.architecture=vit_tiny_patch16_224")
    ),
    "sasrec_movielens_1m": Trial(
        files.ratings, (), ("model.width=16", "model.length=20", *SMALL_DATA, "loader.eval_batch_size=32")
    ),
    "resnet50_folder": Trial(files.images, (), (*SMALL_IMAGES, "model.architecture=resnet10t")),
    "bert_base_table": Trial(files.texts, (), ("loader.budget=256", "model.max_length=64")),
    "wav2vec2_base_table": Trial(
        files.both(files.recordings, files.wav2vec2), (), ("loader.budget=2", 'optim.freeze={"encoder.*": 3}')
    ),
    "wav2vec2_librispeech": Trial(files.librispeech, (), (*SMALL_SPEECH, NARROW)),
    "wav2vec2_librispeech_pretrain": Trial(files.librispeech, (), (*SMALL_SPEECH, NARROW, "optim.warmup=2")),
}
"""In the order in which they are begun: those with the largest batches are not together with all others."""


def for_cuda() -> list[str]:
    """The recipes that say so in their first line."""
    return sorted(
        path.stem for path in RECIPES.glob("*.yaml") if path.read_text().partition("\n")[0].endswith(FOR_CUDA)
    )


def train(kept: Kept, names: Sequence[str], place: Path, until: float, *, together: int, tiny: bool) -> None:
    """Train these recipes, a row each as soon as it has ended; raises SystemExit where one failed."""
    kept.put(together=together, recipes=list(names))
    shutil.rmtree(place / "runs", ignore_errors=True)
    amount, lock = files.TINY if tiny else files.WHOLE, Lock()
    left = list(names)

    def one() -> None:
        while True:
            with lock:
                if not left:
                    return
                seconds = (until - time.time()) / math.ceil(len(left) / together)
                name = left.pop(0)
                # Under the lock, since several recipes have the same made-up data.
                made = list(_made(TRIALS[name], place, amount, tiny=tiny))
            row = _tried(name, made, place, seconds)
            with lock:
                kept.row(**row)
                print(row, flush=True)

    with ThreadPoolExecutor(together) as pool:
        for each in [pool.submit(one) for _ in range(together)]:
            each.result()
    if bad := [row["recipe"] for row in kept.found["rows"] if row["state"] == "failed"]:
        raise SystemExit(f"{len(bad)} of {len(names)} failed: {', '.join(bad)}")


def _made(trial: Trial, place: Path, amount: files.Amount, *, tiny: bool) -> Sequence[str]:
    maker = (trial.tiny_data if tiny else None) or trial.data
    made = [] if maker is None else maker(place / "files", amount)
    return [*made, *trial.changes, *((*TINY, *trial.tiny) if tiny else ())]


def _tried(name: str, changes: Sequence[str], place: Path, seconds: float) -> dict[str, Any]:
    """Train a recipe for so many seconds at most, all in all, and read what its run says."""
    out, trial = place / "runs" / name, TRIALS[name]
    words = [sys.executable, "-P", "-m", "taskkit", "run", str(RECIPES / f"{name}.yaml"), "--out", str(out)]
    limits = [f"trainer.max_time={max(1.0, TRAINING * seconds):.0f}", "meter.every_n_steps=10"]
    about = {"recipe": name, "data": "made up" if trial.data else "its own", "changes": [*changes, *limits]}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".log").open("w") as said:
        try:
            subprocess.run([*words, *changes, *limits], stdout=said, stderr=said, timeout=max(1.0, seconds))
            late = None
        except subprocess.TimeoutExpired:
            late = f"it was not over after {seconds:.0f} s"
    if not (out / "run.json").exists():
        lines = out.with_suffix(".log").read_text(errors="replace").strip().splitlines()
        return {**about, "state": "failed", "reason": late or " | ".join(lines[-3:])[-600:]}
    return {**about, **_read(out, late)}


def _read(out: Path, late: str | None) -> dict[str, Any]:
    run = json.loads((out / "run.json").read_text())
    path = out / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    losses = [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]
    cost = run.get("cost", {})
    state = "finished" if run["status"] == "finished" else "stopped" if late else "failed"
    return {
        "state": state,
        "reason": run.get("stopped") or run.get("reason") or (None if state == "finished" else late),
        "steps": losses[-1][0] if losses else 0,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "metrics": run.get("metrics"),
        "train_seconds": cost.get("train_seconds"),
        "peak_memory_bytes": cost.get("peak_memory_bytes"),
        "precision": run.get("precision"),
    }
