"""SASRec on MovieLens-100K, beside RecBole's."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from same_work.work import HERE, Ours, Score, Theirs, Work, recipe
from taskkit import Stream
from taskkit.contracts.data import Prepared
from taskkit.engine.build import Built

EPOCHS = 2


def write(folder: Path, prepared: Prepared, built: Built, steps: int) -> Mapping[str, Any]:
    """The settings that RecBole has too; a batch of it has as many targets as one of ours has on the average."""
    train = prepared.examples("train")
    assert not isinstance(train, Stream)
    section: Any = built.recipe.model.section
    return {
        "epochs": EPOCHS,
        "length": section.length,
        "width": section.width,
        "depth": section.depth,
        "heads": section.heads,
        "inner": round(section.width * section.mlp_ratio),
        "dropout": section.dropout,
        "targets": sum(len(example.input.items) - 1 for example in train),
        "windows": sum(len(built.processor.encode(example)) for example in train),
        "eval_batch_size": built.recipe.loader.eval_batch_size,
    }


def _words(folder: Path, out: Path, options: Namespace) -> Sequence[str]:
    return [str(HERE / "by_recbole.py"), str(folder / "work.json"), str(out)]


def _python(options: Namespace) -> str:
    if options.recbole is None:
        raise SystemExit("sasrec needs an interpreter that has RecBole. Name it: --recbole PYTHON.")
    python: str = options.recbole
    return python


WORK = Work(
    name="sasrec",
    title="SASRec on MovieLens-100K, beside RecBole",
    about="""\
Leave-one-out, all films ranked, those that a user has seen among them, as RecBole does it for sequences. Each row
trains SASRec of one block, 64 wide, with 2 heads, learned positions and a dropout of 0.3 behind the vectors of films,
attention and perceptron, on the last {length} films, by cross-entropy over all films, with Adam at a constant rate,
clipping and bf16, and validates after each epoch. An epoch has each of {targets} films once to be predicted, in
{steps} steps. The networks have the same sizes and as many weights; taskkit's normalises before attention and
perceptron and RecBole's after them, and each begins with weights of its own. taskkit's row has three times the epochs,
so that its score is no worse.""",
    why="""\
RecBole makes a sequence of its own of each film to be predicted, padded to {length}, of which only the last place
answers: an epoch runs the block over {targets} sequences. taskkit cuts each history into windows of which all places
answer, {windows} of them, so it does a small part of the work for as many targets. A place at the beginning of a window
sees few films before it, so an epoch teaches it less.""",
    recipe=recipe("recommendation.yaml"),
    changes=(
        "model.position=learned",
        "optim={name: adamw, lr: 1e-3, weight_decay: 0, warmup: 0, schedule: constant, ema: null}",
        f"trainer.max_epochs={3 * EPOCHS}",
        "trainer.check_val_every_n_epoch=1",
        "loader.cache=false",
    ),
    score=Score("test/ndcg@10_unfiltered", "test NDCG@10, all films", farthest=0.01),
    rows={
        "taskkit": Ours("`taskkit run recipes/recommendation.yaml`"),
        "recbole": Theirs("RecBole's SASRec and trainer", _words, _python),
    },
    prepare=write,
    packages=("taskkit-ml", "torch", "pytorch-lightning"),
)
