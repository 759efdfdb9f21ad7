"""A body and its head as a folder that transformers reads: its own classes for CTC and for classes of recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForCTC,
    AutoProcessor,
    PreTrainedModel,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)

from taskkit import Example, Sample, TaskkitError
from taskkit_speech.alphabet import SPACE, Alphabet
from taskkit_speech.heads import Classifier, Logits, Recogniser
from taskkit_speech.processor import FrontEnd, SpeechProcessor
from taskkit_transformers import quiet

BLANK_TOKEN, VOCABULARY = "<pad>", "vocab.json"
"""CTC's blank is what transformers calls padding."""

Asked = Callable[[Example, Sample], Any]


def save_recogniser(network: Recogniser, alphabet: Alphabet, processor: SpeechProcessor, folder: Path) -> Asked:
    """Write a model of CTC, its characters and what reads sounds; gives what asks the folder about a clip.

    Asking raises TaskkitError where transformers writes other characters.
    """
    front_end = processor.front_end
    config = _config(front_end, vocab_size=len(alphabet), pad_token_id=0, bos_token_id=None, eos_token_id=None)
    model = AutoModelForCTC.from_config(config, dtype=torch.float32)
    _fill(model, network.encoder)
    model.lm_head.load_state_dict(network.head.state_dict())
    numbers = {BLANK_TOKEN: 0, **alphabet.numbers}
    with quiet():
        model.save_pretrained(folder)
        (folder / VOCABULARY).write_text(json.dumps(numbers, ensure_ascii=False), encoding="utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(
            str(folder / VOCABULARY),
            bos_token=None,
            eos_token=None,
            unk_token=None,
            pad_token=BLANK_TOKEN,
            word_delimiter_token=SPACE,
        )
        Wav2Vec2Processor(feature_extractor=_extractor(front_end), tokenizer=tokenizer).save_pretrained(folder)
        reader = AutoProcessor.from_pretrained(folder)
        read = AutoModelForCTC.from_pretrained(folder).eval()

    def ask(example: Example, sample: Sample) -> Logits:
        theirs = read(**_read(reader, sample, front_end)).logits
        path = theirs.argmax(-1)[0].tolist()
        if (text := " ".join(reader.decode(path).split())) != alphabet.read(path):
            raise TaskkitError(
                f"--to huggingface: {example.id}: transformers writes {text!r} for what the run writes as "
                f"{alphabet.read(path)!r}. Export --to onnx."
            )
        # The network is asked with padding, of which frames are nobody's answer; those of the clip are transformers'.
        batch = processor.collate([{"audio": sample["audio"]}])
        ours, lengths = network(**batch)
        whole = ours.clone()
        whole[:, : theirs.shape[1]] = theirs
        return Logits(whole, torch.full_like(lengths, theirs.shape[1]))

    return ask


def save_classifier(network: Classifier, classes: Sequence[str], front_end: FrontEnd, folder: Path) -> Asked:
    """Write a classifier of recordings; its projection is the identity, which ours has none of."""
    labels = dict(enumerate(classes))
    names = {name: number for number, name in labels.items()}
    width = network.encoder.config.hidden_size
    config = _config(front_end, id2label=labels, label2id=names, classifier_proj_size=width)
    model = AutoModelForAudioClassification.from_config(config, dtype=torch.float32)
    _fill(model, network.encoder)
    nn.init.eye_(model.projector.weight)
    nn.init.zeros_(model.projector.bias)
    model.classifier.load_state_dict(network.head.state_dict())
    with quiet():
        model.save_pretrained(folder)
        _extractor(front_end).save_pretrained(folder)
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        read = AutoModelForAudioClassification.from_pretrained(folder).eval()

    def ask(example: Example, sample: Sample) -> Tensor:
        logits: Tensor = read(**_read(extractor, sample, front_end)).logits
        return logits

    return ask


def _config(front_end: FrontEnd, **others: Any) -> Any:
    return AutoConfig.for_model(**{**front_end.shape, **others})


def _fill(model: PreTrainedModel, encoder: nn.Module) -> None:
    model.base_model.load_state_dict(encoder.state_dict())
    model.eval()


def _extractor(front_end: FrontEnd) -> Wav2Vec2FeatureExtractor:
    return Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=front_end.sample_rate,
        padding_value=0.0,
        do_normalize=front_end.normalise,
        return_attention_mask=front_end.shape.get("feat_extract_norm") == "layer",
    )


def _read(reader: Any, sample: Sample, front_end: FrontEnd) -> Any:
    """What transformers makes of a clip that lies there at the rate of the network, as numbers from -1 to 1."""
    return reader(sample["audio"].float().div(2**15).numpy(), sampling_rate=front_end.sample_rate, return_tensors="pt")
