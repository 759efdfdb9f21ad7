import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import taskkit
from taskkit import Classes, DataError, DataSpec, Example
from taskkit_text import sections
from taskkit_text.bag import Bag
from taskkit_text.facts import Text

TEXTS = ["the cat sat", "the dog sat", "the cat ran", "a cat"]


RECIPE = """
task: {name: text.classification}
model: {name: text.bag}
data: {name: text.table, file: train.csv, test_file: test.csv}
trainer: {max_epochs: 1, accelerator: cpu}
"""


def fitted(texts=TEXTS, pairs=False, **settings):
    spec = DataSpec(Text(pairs), Classes(("x", "y")), "f")
    model = Bag(sections.Bag(**{"min_count": 1, **settings}))
    processor = model.processor(spec)
    processor.fit([Example(str(number), text, number % 2) for number, text in enumerate(texts)])
    return model, processor, spec


def weights(processor, text):
    (sample,) = processor.encode(Example("1", text))
    return {
        processor.bags.ngrams[n]: w for n, w in zip(sample["ngrams"].tolist(), sample["weights"].tolist(), strict=True)
    }


def test_a_text_is_its_known_ngrams_and_their_weights():
    _, processor, _ = fitted()
    rarity = {"the": 1 + math.log(5 / 4), "cat": 1 + math.log(5 / 4), "the cat": 1 + math.log(5 / 3)}
    raw = {**rarity, "cat": (1 + math.log(2)) * rarity["cat"]}
    norm = math.sqrt(sum(weight**2 for weight in raw.values()))
    expected = {ngram: weight / norm for ngram, weight in raw.items()}
    assert weights(processor, "The cat? CAT") == pytest.approx(expected)


def test_rare_and_least_common_ngrams_are_unknown():
    assert set(fitted(min_count=2)[1].bags.ngrams) == {"the", "cat", "sat", "the cat"}
    assert set(fitted(vocabulary=2)[1].bags.ngrams) == {"the", "cat"}
    assert all(" " not in ngram for ngram in fitted(ngrams=1)[1].bags.ngrams)


def test_ngrams_have_the_same_numbers_in_every_process():
    code = (
        "from taskkit import Classes, DataSpec, Example\n"
        "from taskkit_text import sections\n"
        "from taskkit_text.bag import Bag\n"
        "from taskkit_text.facts import Text\n"
        "bag = Bag(sections.Bag(min_count=1, vocabulary=9))\n"
        "processor = bag.processor(DataSpec(Text(), Classes(('x', 'y')), 'f'))\n"
        f"processor.fit([Example(text, text, 0) for text in {TEXTS}])\n"
        "print(processor.state_dict())"
    )
    states = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert states[0] == states[1] != ""


def test_chinese_ngrams_are_of_characters():
    assert set(fitted(["很好", "很好"])[1].bags.ngrams) == {"很", "好", "很 好"}


def test_the_texts_of_a_pair_are_told_apart():
    _, processor, _ = fitted([("a b", "a")], pairs=True)
    assert set(processor.bags.ngrams) == {"0:a", "0:b", "0:a 0:b", "1:a"}


def test_logits_are_weighted_sums_and_an_unknown_text_has_the_bias():
    model, processor, spec = fitted()
    network = model.network(spec, processor)
    torch.nn.init.normal_(network.scores.weight)
    network.bias.data = torch.tensor([1.0, 2.0])
    samples = [processor.encode(Example(text, text, 0))[0] for text in ("the cat sat", "zzz", "a cat")]
    batch = processor.collate(samples)
    # One at least of each, the unknown one too, since a batch is planned by them.
    assert processor.padded_size(batch) == sum(map(processor.length, samples)) == len(batch["ngrams"]) + 1
    batch.pop("target")
    for row, sample in zip(network(**batch), samples, strict=True):
        expected = sample["weights"] @ network.scores.weight[sample["ngrams"].long()] + network.bias
        torch.testing.assert_close(row, expected)


def test_texts_without_a_common_ngram_are_refused():
    with pytest.raises(DataError, match=r"no n-gram is in 2 of the 2 training examples.*Lower it to 1"):
        fitted(["a", "b"], min_count=2)


def test_it_survives_saving_and_other_processes():
    model, processor, spec = fitted()
    again = model.processor(spec)
    again.load_state_dict(processor.state_dict())
    for other in (again, pickle.loads(pickle.dumps(processor))):
        assert weights(other, "the cat sat") == weights(processor, "the cat sat")


def test_a_test_text_of_unknown_words_ends_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    rows = [f"{word} film {number},{word}" for number in range(12) for word in ("good", "bad")]
    Path("train.csv").write_text("\n".join(["text,label", *rows]))
    Path("test.csv").write_text("text,label\ngood film,good\nzzz,bad\nbad film,bad\n")
    Path("few.yaml").write_text(RECIPE)
    run = taskkit.run("few.yaml", out="run")
    assert run.manifest.data.flagged["test"]["without a known token"]["count"] == 1
    (answer,) = run.predict(["日本"])
    assert answer["prediction"] in ("good", "bad")
