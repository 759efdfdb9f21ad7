"""MiniLM fine-tuned as a user of Hugging Face's Trainer does it; fine_tuning.py runs it and reads its last line.

python tests/benchmarks/by_trainer.py FOLDER --weights FOLDER [--grouped] [--steps N]

FOLDER holds train.jsonl, val.jsonl and test.jsonl, with `text` and `label` in each line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import datasets
import numpy as np
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

SPLITS = ("train", "val", "test")


def main() -> None:
    """Train for one epoch, validate, test, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--grouped", action="store_true", help="batches of texts of like length")
    parser.add_argument("--steps", type=int, default=-1, help="steps to train, instead of an epoch")
    a = parser.parse_args()

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(a.weights / "tokenizer.json"), pad_token="[PAD]")
    data = datasets.load_dataset("json", data_files={split: str(a.folder / f"{split}.jsonl") for split in SPLITS})
    names = sorted(set(data["train"]["label"]))
    data = data.map(
        lambda rows: {
            **tokenizer(rows["text"], truncation=True, max_length=256),
            "labels": [names.index(label) for label in rows["label"]],
        },
        batched=True,
        remove_columns=["text", "label"],
    )
    config = AutoConfig.from_pretrained(
        a.weights, num_labels=len(names), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            AutoModelForSequenceClassification.from_pretrained(a.weights, config=config),
            TrainingArguments(
                out,
                seed=7,
                bf16=True,
                use_cpu=True,
                learning_rate=1e-4,
                weight_decay=0.01,
                warmup_steps=0.1,
                per_device_train_batch_size=16,
                per_device_eval_batch_size=16,
                num_train_epochs=1,
                max_steps=a.steps,
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
        )
        trainer.train()
        tested = trainer.predict(data["test"], metric_key_prefix="test")
        trainer.save_model()
    print(json.dumps({"accuracy": tested.metrics["test_accuracy"]}))


def _accuracy(answers: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    logits, labels = answers
    return {"accuracy": float((logits.argmax(-1) == labels).mean())}


if __name__ == "__main__":
    main()
