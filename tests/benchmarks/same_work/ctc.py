"""A small Wav2Vec2 on English voice prompts, beside Hugging Face's example of CTC."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from same_work.work import HERE, Ours, Score, Theirs, Work, recipe
from taskkit import Stream
from taskkit.contracts.data import Prepared
from taskkit.contracts.facts import SPLITS
from taskkit.engine.build import Built, data_module, prepare
from taskkit.engine.optim import factor
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load

EPOCHS = 3
LONGEST = 20
"""Seconds; the example leaves longer clips out."""
RECIPE = recipe("wav2vec2.yaml")


def table(folder: Path) -> Sequence[str]:
    """The prompts as a table, of which those that are longer than the example takes can be left out."""
    prompts = load([RECIPE], (), discover()).recipe
    prepared = prepare(data_module(prompts), prompts)
    rows = []
    for split in SPLITS:
        examples = prepared.examples(split)
        assert not isinstance(examples, Stream)
        rows += [{"path": str(each.input.path), "text": each.target, "split": split} for each in examples]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        f"data={{name: speech.table, table: {folder / 'prompts.jsonl'}, max_seconds: {LONGEST}, unusable: skip}}",
        "data.normaliser=plain-v1",
    ]


def write(folder: Path, prepared: Prepared, built: Built, steps: int) -> Mapping[str, Any]:
    """The clips of each split, the network to begin with, as transformers reads it, and what it has of the recipe."""
    for split in SPLITS:
        examples = prepared.examples(split)
        assert not isinstance(examples, Stream)
        rows = [{"path": str(example.input.path), "text": example.target} for example in examples]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    built.model.save_pretrained(built.network, folder / "model", built.spec, built.processor)
    section: Any = built.recipe.model.section
    share = partial(factor, section=built.recipe.optim, total=EPOCHS * steps)
    return {
        "score": "cer",
        "clips": math.ceil(len(prepared.examples("train")) / steps),
        "trained": len(prepared.examples("train")),
        "shares": [share(step) for step in range(EPOCHS * steps)],
        "settings": {
            "mask_time_prob": section.mask_time,
            "mask_time_length": section.mask_time_span,
            "mask_feature_prob": section.mask_channels,
            "mask_feature_length": section.mask_channel_span,
            "layerdrop": section.layer_drop,
            "ctc_loss_reduction": "mean",
            "feat_proj_dropout": 0.0,
        },
    }


def _words(folder: Path, out: Path, options: Namespace) -> Sequence[str]:
    return [str(HERE / "by_ctc_example.py"), str(folder), str(out)]


WORK = Work(
    name="ctc",
    title="Wav2Vec2 on English voice prompts, beside Hugging Face's Trainer",
    about="""\
Each row trains the Wav2Vec2 of recipes/wav2vec2.yaml, without changes of speed, with the same first weights, on
{trained} clips of one speaker, of 20 seconds at most as in the example, for {epochs} epochs of {steps} batches, with
AdamW, the same learning rate at each step, decay, clipping, dropout, masks and bf16, and is validated and tested once.
Batches of taskkit have like numbers of seconds, those of the Trainer {clips} clips of like length. The other row is
made of the parts of transformers' run_speech_recognition_ctc.py: recordings that `Dataset.map` normalises and spells,
its collator, and the Trainer with `group_by_length`. The example itself reads audio with torchcodec, which is not here,
so soundfile reads it. Its loss is a mean over clips, taskkit's one over characters. So few epochs from scratch
recognise nothing, and a CER of 1 says no more than that; the recipe says what ninety epochs reach.""",
    why="""\
Three things differ, whose shares were not measured: PyTorch's fused attention, whose gradients are slow in bf16 on a
CPU, and which taskkit replaces in transformers' layers; batches of {clips} clips, among which the longest sets the
padding of all; and rows that come out of Arrow as lists of numbers, of which the collator makes tensors again in each
epoch.""",
    recipe=RECIPE,
    own=table,
    changes=(
        "model.speed=0",
        f"trainer.max_epochs={EPOCHS}",
        f"trainer.check_val_every_n_epoch={EPOCHS}",
        "loader.cache=false",
    ),
    score=Score("test/cer", "test CER", farthest=0.05, mode="min"),
    rows={
        "taskkit": Ours("`taskkit run recipes/wav2vec2.yaml`"),
        "trainer": Theirs("Hugging Face's Trainer, as its example for CTC", _words),
    },
    prepare=write,
    packages=("taskkit-ml", "torch", "pytorch-lightning", "transformers", "accelerate", "datasets"),
)
