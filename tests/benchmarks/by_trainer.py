"""MiniLM fine-tuned as a user of Hugging Face's Trainer does it; fine_tuning.py prepares FOLDER and runs it.

python tests/benchmarks/by_trainer.py FOLDER [--grouped]

FOLDER holds train.jsonl, val.jsonl and test.jsonl, with `text` and `labels`, a number, in each line; work.json, what
is to be done; and head.pt, the linear layer to begin with. What came out is left there as by_trainer.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoConfig,
    AutoModel,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

SPLITS = ("train", "val", "test")


class Classifier(nn.Module):
    """An encoder under a linear layer that sees the mean of the tokens.

    transformers' own classifier looks at the first token through a pooler. These weights were trained on means, so that
    their pooler is as it was drawn, and an epoch is too short to teach it.
    """

    def __init__(self, encoder: nn.Module, linear: nn.Linear) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = linear

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss, and logits (texts, classes), of texts that are padded (texts, tokens)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None]
        logits = self.linear((states * mask).sum(dim=1) / mask.sum(dim=1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Rates(TrainerCallback):  # type: ignore[misc]
    """Keeps the learning rate after each step."""

    def __init__(self) -> None:
        self.found: dict[int, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep it by the number of the step."""
        self.found[state.global_step] = kwargs["lr_scheduler"].get_last_lr()[0]


def main() -> None:
    """Train, validate, test, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--grouped", action="store_true", help="batches of texts of like length")
    a = parser.parse_args()

    work = json.loads((a.folder / "work.json").read_text())
    weights, shares = Path(work["weights"]), work["shares"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(weights / "tokenizer.json"), pad_token="[PAD]")
    data = datasets.load_dataset("json", data_files={split: str(a.folder / f"{split}.jsonl") for split in SPLITS})
    data = data.map(
        lambda rows: tokenizer(rows["text"], truncation=True, max_length=work["max_length"]),
        batched=True,
        remove_columns=["text"],
    )
    drop = {"hidden_dropout_prob": work["dropout"], "attention_probs_dropout_prob": work["dropout"]}
    config = AutoConfig.from_pretrained(weights, **drop)
    linear = nn.Linear(config.hidden_size, work["classes"])
    linear.load_state_dict(torch.load(a.folder / "head.pt"))
    rates = Rates()
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            Classifier(AutoModel.from_pretrained(weights, config=config, add_pooling_layer=False), linear),
            TrainingArguments(
                out,
                seed=work["seed"],
                bf16=work["bf16"],
                use_cpu=True,
                learning_rate=work["lr"],
                weight_decay=work["weight_decay"],
                max_grad_norm=work["clip"],
                per_device_train_batch_size=work["batch_size"],
                per_device_eval_batch_size=work["batch_size"],
                max_steps=len(shares),
                eval_strategy="epoch",
                train_sampling_strategy="group_by_length" if a.grouped else "random",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=data["train"],
            eval_dataset=data["val"],
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=_accuracy,
            callbacks=[rates],
        )
        # Its own linear schedule begins at zero, so that the first step does nothing; this is the other rows'.
        schedule = LambdaLR(trainer.create_optimizer(), lambda step: [*shares, 0.0][step])
        trainer.lr_scheduler = schedule
        trainer.train()
        tested = trainer.predict(data["test"], metric_key_prefix="test")
        trainer.save_model()
    found = {"accuracy": tested.metrics["test_accuracy"], "steps": trainer.state.global_step, "rates": rates.found}
    (a.folder / "by_trainer.json").write_text(json.dumps(found))


def _accuracy(answers: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    logits, labels = answers
    return {"accuracy": float((logits.argmax(-1) == labels).mean())}


if __name__ == "__main__":
    main()
