"""SASRec trained as a user of RecBole does it; beside.py prepares work.json and runs this with RecBole's interpreter.

python tests/benchmarks/same_work/by_recbole.py WORK.JSON OUT
"""

from __future__ import annotations

import json
import math
import os
import sys
from importlib.metadata import version
from pathlib import Path

# RecBole's checkpoints hold its configuration, and torch refuses such by default since 2.6.
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_logger, init_seed

PADDING = 1
"""Rows of the table of items that belong to none."""


def main(work_file: Path, out: Path) -> None:
    """Train, validate, and test the best weights."""
    work = json.loads(work_file.read_text())
    config = Config(
        model="SASRec",
        dataset="ml-100k",
        config_dict={
            "use_gpu": False,
            "gpu_id": "",
            "seed": work["seed"],
            "epochs": work["epochs"],
            "train_batch_size": math.ceil(work["targets"] / work["steps"]),
            "eval_batch_size": work["eval_batch_size"],
            "learning_rate": work["lr"],
            "weight_decay": work["weight_decay"],
            "clip_grad_norm": {"max_norm": work["clip"]},
            "enable_amp": work["bf16"],
            "loss_type": "CE",
            "train_neg_sample_args": None,
            "MAX_ITEM_LIST_LENGTH": work["length"],
            "hidden_size": work["width"],
            "n_layers": work["depth"],
            "n_heads": work["heads"],
            "inner_size": work["inner"],
            "hidden_dropout_prob": work["dropout"],
            "attn_dropout_prob": 0.0,
            "layer_norm_eps": 1e-5,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
            "metrics": ["NDCG", "Hit"],
            "topk": [10],
            "valid_metric": "NDCG@10",
            "metric_decimal_place": 6,
            "show_progress": False,
            "checkpoint_dir": str(out),
        },
    )
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    dataset = create_dataset(config)
    train, val, test = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.fit(train, val, show_progress=False)
    tested = trainer.evaluate(test, load_best_model=True, show_progress=False)
    parameters = sum(parameter.numel() for parameter in model.parameters()) - PADDING * work["width"]
    found = {
        "score": float(tested["ndcg@10"]),
        "epochs": work["epochs"],
        "same": {"parameters": parameters, "steps": len(train), "tested": len(test.dataset)},
        "sequences": len(train.dataset),
        "packages": {name: version(name) for name in ("recbole", "torch", "numpy", "pandas")},
    }
    (out / "answer.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
