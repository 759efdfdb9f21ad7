"""Wav2Vec2 trained as transformers' example of CTC does it; beside.py prepares FOLDER and runs this.

python tests/benchmarks/same_work/by_ctc_example.py FOLDER OUT

The parts are those of run_speech_recognition_ctc.py: recordings are normalised and spelt once by `Dataset.map`, padded
by a processor, grouped by length and trained on by the Trainer. FOLDER holds work.json, train.jsonl, val.jsonl and
test.jsonl, with `path` and `text` in each line, and model/, the network to begin with and its processor.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import jiwer
import numpy as np
import soundfile
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoModelForCTC, Trainer, TrainingArguments, Wav2Vec2Processor

SPLITS = ("train", "val", "test")
IGNORED = -100


def main(folder: Path, out: Path) -> None:
    """Train, validate after the last epoch, test, and save."""
    work = json.loads((folder / "work.json").read_text())
    processor = Wav2Vec2Processor.from_pretrained(folder / "model")

    def prepare(row: dict[str, Any]) -> dict[str, Any]:
        samples, rate = soundfile.read(row["path"], dtype="float32")
        values = processor(samples, sampling_rate=rate).input_values[0]
        return {"input_values": values, "input_length": len(values), "labels": processor(text=row["text"]).input_ids}

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        sounds = [{"input_values": row["input_values"]} for row in rows]
        batch = processor.feature_extractor.pad(sounds, padding=True, return_tensors="pt")
        texts = processor.tokenizer.pad([{"input_ids": row["labels"]} for row in rows], return_tensors="pt")
        labels = texts["input_ids"].masked_fill(texts["attention_mask"] != 1, IGNORED)
        return {**batch, "labels": labels}

    def scores(answers: Any) -> dict[str, float]:
        paths, labels = answers.predictions.argmax(-1), answers.label_ids
        labels = np.where(labels == IGNORED, processor.tokenizer.pad_token_id, labels)
        said, references = processor.batch_decode(paths), processor.tokenizer.batch_decode(labels, group_tokens=False)
        return {"wer": jiwer.wer(references, said), "cer": jiwer.cer(references, said)}

    data = datasets.load_dataset("json", data_files={split: str(folder / f"{split}.jsonl") for split in SPLITS})
    data = data.map(prepare, remove_columns=["path", "text"])
    model = AutoModelForCTC.from_pretrained(folder / "model", **work["settings"])
    trainer = Trainer(
        model,
        TrainingArguments(
            str(out / "trained"),
            seed=work["seed"],
            bf16=work["bf16"],
            use_cpu=True,
            learning_rate=work["lr"],
            adam_beta1=work["betas"][0],
            adam_beta2=work["betas"][1],
            weight_decay=work["weight_decay"],
            max_grad_norm=work["clip"],
            per_device_train_batch_size=work["clips"],
            per_device_eval_batch_size=work["clips"],
            num_train_epochs=work["epochs"],
            train_sampling_strategy="group_by_length",
            length_column_name="input_length",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=data["train"],
        eval_dataset=data["val"],
        data_collator=collate,
        processing_class=processor.feature_extractor,
        compute_metrics=scores,
    )
    shares = [*work["shares"], 0.0]
    trainer.lr_scheduler = LambdaLR(trainer.create_optimizer(), lambda step: shares[step])
    trainer.train()
    trainer.evaluate()
    tested = trainer.predict(data["test"], metric_key_prefix="test").metrics
    trainer.save_model()
    steps = trainer.state.global_step / work["epochs"]
    found = {
        "score": tested[f"test_{work['score']}"],
        "epochs": work["epochs"],
        "same": {
            "parameters": sum(each.numel() for each in model.parameters()),
            "steps": steps,
            "tested": len(data["test"]),
        },
        "tested": tested,
    }
    (out / "answer.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
