"""Kept samples are found by the state and the settings of a processor: they must differ wherever samples do."""

import dataclasses
import json

import pytest
import torch

from taskkit import Classes, DataSpec, Example
from taskkit_text import sections
from taskkit_text.bag import Bag
from taskkit_text.facts import Text
from taskkit_text.lstm import Lstm
from taskkit_text.transformer import Transformer

TEXTS = [
    "the cat sat on the mat and all dogs bark at the cat",
    "dogs bark",
    "no cat",
    "the dog sat on the mat",
    "a cat sat on the cat and the dog",
]
MODELS = {
    "bag": (Bag, sections.Bag(min_count=1)),
    "lstm": (Lstm, sections.Lstm(max_length=8)),
    "transformer": (Transformer, sections.Transformer("", max_length=8)),
}
DECIDE = {
    "bag": {"max_characters": 20, "tokens": "characters", "ngrams": 1, "min_count": 2, "vocabulary": 5},
    "lstm": {"max_characters": 20, "tokens": "characters", "vocabulary": 16, "max_length": 9, "truncate": "head_tail"},
    "transformer": {"max_characters": 20, "weights": "another", "max_length": 9, "truncate": "head_tail"},
}
"""By model, settings that decide samples, each with another value."""
OTHERS = {
    "bag": {},
    "lstm": {"ngrams": 3, "buckets": 9, "embedding": 4, "width": 4, "depth": 2, "dropout": 0.5, "round_to": 1},
    "transformer": {
        "pretrained": False,
        "pooling": "first",
        "head_dropout": 0.5,
        "freeze_layers": 1,
        "lora": sections.Lora(),
        "packed": True,
        "round_to": 1,
    },
}
"""Settings that decide none, nor the shape that the state of a transformer keeps."""
SHAPE = {"overrides": {"num_hidden_layers": 1}, "dropout": 0.5}


@pytest.fixture
def fitted(encoder_folder):
    """A model's processor, fitted to texts or given a state, and the samples that it makes of them."""
    weights = {"": str(encoder_folder()), "another": str(encoder_folder("roberta"))}

    def made(name, pairs=False, state=None, **changes):
        kind, section = MODELS[name]
        section = dataclasses.replace(section, **changes)
        if name == "transformer":
            section.weights = weights[section.weights]
        processor = kind(section).processor(DataSpec(Text(pairs), Classes(("a", "b")), "f"))
        inputs = list(zip(TEXTS, reversed(TEXTS), strict=True)) if pairs else TEXTS
        examples = [Example(str(number), given, number % 2) for number, given in enumerate(inputs)]
        if state is None:
            processor.fit(examples)
        else:
            processor.load_state_dict(state)
        return processor, [sample for example in examples for sample in processor.encode(example)]

    return made


def stated(processor):
    return json.dumps([processor.state_dict(), processor.settings()])


def alike(some, others):
    return all(
        one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        for one, other in zip(some, others, strict=True)
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_setting_is_known_to_decide_samples_or_not(name):
    known = DECIDE[name].keys() | OTHERS[name].keys() | (SHAPE.keys() if name == "transformer" else set())
    assert known == {field.name for field in dataclasses.fields(MODELS[name][1])}


@pytest.mark.parametrize(("name", "setting"), [(name, each) for name, values in DECIDE.items() for each in values])
def test_what_decides_samples_is_stated(fitted, name, setting):
    processor, samples = fitted(name)
    other, others = fitted(name, **{setting: DECIDE[name][setting]})
    assert stated(processor) != stated(other)
    assert not alike(samples, others) or setting == "weights"
    other, others = fitted(name, state=processor.state_dict(), **{setting: DECIDE[name][setting]})
    assert (processor.settings() == other.settings()) == alike(samples, others)


@pytest.mark.parametrize(("name", "setting"), [(name, each) for name, values in OTHERS.items() for each in values])
def test_what_decides_none_encodes_nothing_again(fitted, name, setting):
    processor, samples = fitted(name)
    other, others = fitted(name, **{setting: OTHERS[name][setting]})
    assert stated(processor) == stated(other)
    assert alike(samples, others)


@pytest.mark.parametrize("name", MODELS)
def test_pairs_are_other_samples(fitted, name):
    assert fitted(name)[0].settings() != fitted(name, pairs=True)[0].settings()
