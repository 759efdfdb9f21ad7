"""An encoder and its head as a folder that transformers reads: its own classifier, made to answer as ours does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from taskkit import Example, Sample, TaskkitError
from taskkit_text import lora
from taskkit_text.head import Head
from taskkit_transformers import quiet

if TYPE_CHECKING:
    from taskkit_text.transformer import TransformerProcessor

SMALL = 2.0**-20
"""What the first token is made smaller by on its way through tanh, which is the identity there to the last bit of
float32, and what is then taken back; a power of two changes no bit of a weight."""


def save(
    encoder: PreTrainedModel, head: Head, classes: Sequence[str], processor: TransformerProcessor, folder: Path
) -> Callable[[Example, Sample], Tensor]:
    """Write model and tokenizer; gives what asks the folder about an example.

    Raises TaskkitError where transformers' classifier for this encoder cannot answer alike.
    """
    model = _classifier(encoder, head, classes, processor)
    with quiet():
        model.save_pretrained(folder)
        _tokenizer(processor).save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        read = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def ask(example: Example, sample: Sample) -> Tensor:
        texts = (example.input,) if isinstance(example.input, str) else tuple(example.input)
        logits: Tensor = read(**tokenizer(*texts, truncation=True, return_tensors="pt")).logits
        return logits

    return ask


def _classifier(
    encoder: PreTrainedModel, head: Head, classes: Sequence[str], processor: TransformerProcessor
) -> PreTrainedModel:
    kind = encoder.config.model_type
    if head.pooling != "first":
        raise TaskkitError(
            f"--to huggingface: model.pooling is {head.pooling}, and transformers' classifiers look at the first "
            "token. Train with model.pooling=first, or export --to onnx."
        )
    labels = dict(enumerate(classes))
    try:
        config = AutoConfig.for_model(
            **processor.encoder, id2label=labels, label2id={name: number for number, name in labels.items()}
        )
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    except ValueError:
        raise TaskkitError(
            f"--to huggingface: transformers has no classifier of sequences for {kind}. Export --to onnx."
        ) from None
    own = lora.merged(copy.deepcopy(encoder))
    found = model.base_model.load_state_dict(dict(own), strict=False)
    prefix = f"{model.base_model_prefix}."
    theirs = {
        **{name: each for name, each in model.named_parameters() if not name.startswith(prefix)},
        **{prefix + name: model.get_parameter(prefix + name) for name in found.missing_keys},
    }
    last = [name for name, each in theirs.items() if each.shape == head.linear.weight.shape]
    between = [name for name in theirs if name.endswith("dense.weight") and name not in last]
    expected = {*last, *between, *(name.replace("weight", "bias") for name in (*last, *between))}
    if found.unexpected_keys or len(last) != 1 or len(between) > 1 or set(theirs) != expected:
        raise TaskkitError(
            f"--to huggingface: transformers' classifier for {kind} has other layers behind the first token than a "
            "linear one, with one of tanh before it or none, so that it would answer otherwise. Export --to onnx."
        )
    with torch.no_grad():
        for name in between:
            nn.init.eye_(theirs[name]).mul_(SMALL)
            nn.init.zeros_(theirs[name.replace("weight", "bias")])
        theirs[last[0]].copy_(head.linear.weight / SMALL ** len(between))
        theirs[last[0].replace("weight", "bias")].copy_(head.linear.bias)
    return model.eval()


def _tokenizer(processor: TransformerProcessor) -> PreTrainedTokenizerFast:
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if processor.segments else [])]
    return PreTrainedTokenizerFast(
        tokenizer_object=copy.deepcopy(processor.tokenizer),
        pad_token=processor.tokenizer.id_to_token(processor.padding),
        model_max_length=processor.max_length,
        model_input_names=names,
    )
