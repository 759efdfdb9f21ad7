"""A causal language model: it generates, its batches differ in tokens, and every token weighs alike."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

import taskkit
from taskkit.batches.encode import encode
from taskkit.batches.loader import Loader
from taskkit.batches.plan import plan
from taskkit.engine import build
from tests.same_run import weights
from tests.strangers.conftest import Stranger

PACKAGE = "language"
LR = 0.5
ONE_STEP = [
    "trainer.max_steps=1",
    "model.dropout=0",
    f"optim={{name: sgd, momentum: 0, weight_decay: 0, lr: {LR}}}",
]


@pytest.fixture(scope="module")
def straight(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run()


@pytest.fixture(scope="module")
def untrained(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run("trainer.max_steps=null", "trainer.max_epochs=0", "model.dropout=0", out="untrained")


@pytest.fixture(scope="module")
def two(stranger: Stranger) -> Path:
    return stranger.in_two_processes(*ONE_STEP, "trainer.accumulate_grad_batches=2")


def test_it_knows_more_than_how_often_each_byte_is(straight: taskkit.LoadedRun) -> None:
    assert straight.metrics["test/perplexity"] < 0.75 * straight.manifest.baseline["test/perplexity"]


def test_accumulated_batches_of_different_sizes_make_the_step_of_one_large_batch(
    stranger: Stranger, untrained: taskkit.LoadedRun
) -> None:
    ended = stranger.run(*ONE_STEP, "trainer.accumulate_grad_batches=4", out="accumulated")

    assert_close(weights(ended.path), one_step(untrained, batches_of(untrained, "train", 4)))


def test_two_processes_make_the_step_of_one_large_batch(untrained: taskkit.LoadedRun, two: Path) -> None:
    batches = [batch for rank in (0, 1) for batch in batches_of(untrained, "train", 2, rank, 2)]
    assert_close(weights(two), one_step(untrained, batches))


def test_two_processes_judge_all_tokens_of_the_split(stranger: Stranger, two: Path) -> None:
    # One process alone would cut other rows, so it would see the texts in other pieces.
    run = taskkit.load_run(two, plugins=stranger.plugins)
    batches = [batch for rank in (0, 1) for batch in batches_of(run, "test", None, rank, 2)]

    with torch.no_grad():
        nats, tokens = summed(run.built.network.eval(), batches)
    assert tokens == sum(len(example.input.encode()) + 1 for example in examples(run, "test"))
    assert math.exp(nats / tokens) == pytest.approx(run.metrics["test/perplexity"], rel=1e-5)


def test_perplexity_is_of_all_tokens_whatever_batch_they_are_in(straight: taskkit.LoadedRun) -> None:
    assert math.exp(straight.metrics["test/loss"]) == pytest.approx(straight.metrics["test/perplexity"], rel=1e-5)


def test_each_document_of_a_packed_batch_has_its_own_score(straight: taskkit.LoadedRun) -> None:
    task, processor = straight.built.task.eval(), straight.built.processor
    samples = [processor.encode(taskkit.Example(text, text))[0] for text in ("Return it.", "Set", "Nothing is here")]
    batch, first = processor.collate(samples), processor.collate(samples[:1])

    with torch.no_grad():
        step = task.step(batch)
        scores, alone = task.scores(batch, step), task.scores(first, task.step(first))

    assert scores["tokens"].tolist() == [11, 4, 16]
    assert float(scores["nats"].sum()) == pytest.approx(float(step.loss * step.count), rel=1e-5)
    assert float(scores["nats"][0]) == pytest.approx(float(alone["nats"]), rel=1e-5)


def test_perplexity_follows_from_its_documents_however_many_windows_they_have(straight: taskkit.LoadedRun) -> None:
    rows = straight.predictions()
    context = straight.built.processor.context
    assert any(len(each.input.encode()) + 1 > context for each in examples(straight, "test"))
    assert sum(rows["tokens"].to_pylist()) == sum(len(each.input.encode()) + 1 for each in examples(straight, "test"))
    for name in ("loss", "perplexity"):
        found = straight.manifest.intervals[f"test/{name}"]
        assert found.low < found.value < found.high
        assert found.value == pytest.approx(straight.metrics[f"test/{name}"], rel=1e-5)


def test_no_text_is_generated_for_the_test_split(straight: taskkit.LoadedRun) -> None:
    rows = straight.predictions()

    assert len(rows) == len(examples(straight, "test")) > 20
    assert set(rows.column_names) == {"id", "target", "nats", "tokens"}


def test_it_is_judged_again_as_in_its_record_between_two_answers(straight: taskkit.LoadedRun) -> None:
    before = straight.predict("Return the", max_new_tokens=5)
    assert straight.evaluate().metrics == pytest.approx(straight.metrics)
    assert straight.predict("Return the", max_new_tokens=5) == before


def test_the_command_line_goes_on_with_a_text(stranger: Stranger, straight: taskkit.LoadedRun) -> None:
    words = ["--max-new-tokens", "20", "--temperature", "0.8", "--seed", "3"]
    (answer,) = stranger.predict(straight.path, "once upon", *words)

    assert answer["input"] == "once upon"
    assert answer["prediction"].startswith("once upon")
    assert 0 < len(answer["prediction"]) - len("once upon") <= 20
    assert [answer] == straight.predict("once upon", max_new_tokens=20, temperature=0.8, seed=3)
    assert [answer] != straight.predict("once upon", max_new_tokens=20, temperature=0.8, seed=4)


def test_without_temperature_the_likeliest_byte_follows_whatever_the_seed(straight: taskkit.LoadedRun) -> None:
    greedy = straight.predict("once upon", max_new_tokens=20, temperature=0, seed=1)
    assert greedy == straight.predict("once upon", max_new_tokens=20, temperature=0, seed=2)


def test_an_answer_does_not_depend_on_what_else_is_asked(straight: taskkit.LoadedRun) -> None:
    long = "a text that is longer than what the network sees at once"
    asked = {"max_new_tokens": 10, "seed": 3}
    assert straight.predict([long, "Set"], **asked) == [
        *straight.predict(long, **asked),
        *straight.predict("Set", **asked),
    ]


def test_a_negative_temperature_is_refused_before_anything_is_read(straight: taskkit.LoadedRun) -> None:
    with pytest.raises(taskkit.DataError, match="zero byte"):
        straight.predict("no\0text")
    with pytest.raises(taskkit.TaskkitError, match="--temperature is -1"):
        straight.predict("no\0text", temperature=-1.0)


def examples(run: taskkit.LoadedRun, split: taskkit.Split) -> Any:
    recipe = run.built.recipe
    return build.prepare(build.data_module(recipe), recipe).examples(split)


def batches_of(
    run: taskkit.LoadedRun, split: taskkit.Split, count: int | None, rank: int = 0, world: int = 1
) -> list[taskkit.Batch]:
    """The first batches of a split in one of so many processes, or all; they differ in tokens."""
    recipe, processor = run.built.recipe, run.built.processor
    encoded = encode(examples(run, split), processor, key=None)
    order = plan(encoded, processor, 32, recipe.loader.budget, seed=recipe.seed, shuffle=split == "train")
    loader = Loader(encoded, processor, order)
    loader.place(torch.device("cpu"), rank, world)
    batches = [each.tensors for each in islice(loader, count)]
    assert len({int((batch["target"] >= 0).sum()) for batch in batches}) > 1
    return batches


def summed(network: torch.nn.Module, batches: list[taskkit.Batch]) -> tuple[torch.Tensor, int]:
    """The cross-entropy of all tokens of all batches together, in plain torch, and how many there are."""
    losses, tokens = [], 0
    for batch in batches:
        logits = network(batch["tokens"]).flatten(0, 1)
        losses.append(F.cross_entropy(logits, batch["target"].flatten(), ignore_index=-100, reduction="sum"))
        tokens += int((batch["target"] >= 0).sum())
    return torch.stack(losses).sum(), tokens


def one_step(run: taskkit.LoadedRun, batches: list[taskkit.Batch]) -> dict[str, torch.Tensor]:
    """The weights after a step along the gradient of the mean over all tokens of all batches."""
    network = run.built.network.train()
    network.zero_grad()
    nats, tokens = summed(network, batches)
    (nats / tokens).backward()
    return {f"task.network.{name}": (p - LR * p.grad).detach() for name, p in network.named_parameters()}


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-6)
