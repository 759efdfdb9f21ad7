"""Every metric of every task that we ship follows from the rows of a test, or says why it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from taskkit import (
    Batch,
    Classes,
    DataSpec,
    Example,
    Fact,
    NoInterval,
    Processor,
    Regression,
    RegressionSection,
    Step,
    Task,
    Values,
)
from taskkit.batches.loader import HostBatch
from taskkit.compare.intervals import intervals
from taskkit.compare.rows import Rows
from taskkit.contracts.component import Chosen, Component, PluginInfo, load
from taskkit.engine.evaluate import Collector
from taskkit.engine.judge import Judge, numbers, statistics_of
from taskkit.plugins.discovery import from_environment
from taskkit_image.task import ImageClassification
from taskkit_recsys import sections as recsys
from taskkit_recsys.facts import Histories, NextItem, Rating
from taskkit_recsys.history import History, Pair
from taskkit_recsys.mf import Mf
from taskkit_recsys.next_item import NextItem as NextItemTask
from taskkit_recsys.rating import Rating as RatingTask
from taskkit_recsys.sasrec import Sasrec
from taskkit_speech import sections as speech
from taskkit_speech.classification import SpeechClassification
from taskkit_speech.ctc import Ctc
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.pretraining import Pretraining
from taskkit_speech.wav2vec2 import Wav2vec2
from taskkit_text.task import TextClassification

Made = tuple[Task, Sequence[Batch], Sequence[Example]]
"""A task, the batches of a test, and their examples."""
NAMES = tuple("abcdefg")
TINY = {"conv_widths": [8, 8], "conv_kernels": [20, 4], "conv_strides": [10, 2], "layers": 1, "width": 16, "heads": 2}


class Echo(nn.Module):
    """A network whose answers are its inputs."""

    def forward(self, answers: Tensor) -> Tensor:
        return answers


class Nothing(Processor):
    def read(self, source: str, options: object) -> list[Example]:
        return []

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        return []


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def halves(batch: Batch) -> list[Batch]:
    count = len(batch["example"])
    return [
        {name: column[part] for name, column in batch.items()}
        for part in (slice(0, count // 2), slice(count // 2, count))
    ]


def classification(task: type[Any], section: type[Any]) -> Made:
    target = torch.arange(200) % 7
    logits = 2 * random(200, 7) + 2 * nn.functional.one_hot(target, 7)
    logits[::11] = 60 * nn.functional.one_hot(target[::11], 7)  # so sure that the probability is 1
    batch = {"answers": logits, "target": target, "example": torch.arange(200)}
    examples = [Example(str(i), None, int(each)) for i, each in enumerate(target)]
    spec = DataSpec(Fact(), Classes(NAMES, (1,) * 7), "none")
    return task(section(), Echo(), Nothing(), spec), halves(batch), examples


def regression(count: int) -> Made:
    names = tuple(f"value {number}, m" for number in range(count))
    answers = random(60, count)
    target = 100 + 3 * (answers + random(60, count))
    spec = DataSpec(Fact(), Values(names, (100.0,) * count, (3.0,) * count), "none")
    examples = [Example(str(i), None, tuple(row)) for i, row in enumerate(target.tolist())]
    batch = {"answers": answers, "target": target, "example": torch.arange(60)}
    return Regression(RegressionSection(loss="huber"), Echo(), Nothing(), spec), halves(batch), examples


def batches(task: Task, examples: Sequence[Example], each: int) -> list[Batch]:
    """What the processor makes of the examples, so many at once."""
    found = []
    for first in range(0, len(examples), each):
        part = range(first, min(first + each, len(examples)))
        samples = [sample for number in part for sample in task.processor.encode(examples[number])]
        found.append({**task.processor.collate(samples), "example": torch.tensor(part)})
    return found


def next_item() -> Made:
    items = tuple(map(str, range(25)))
    spec = DataSpec(Histories(tuple(map(str, range(30))), items), NextItem(items), "items")
    model = Sasrec(recsys.Sasrec(length=4, width=8, depth=1, dropout=0.0))
    processor = model.processor(spec)
    train = [Example(str(user), History(user, [user % 25, (3 * user) % 25, 7])) for user in range(30)]
    processor.fit(train)
    task = NextItemTask(recsys.NextItem(sampled=3), model.network(spec, processor), processor, spec)
    examples = [Example(each.id, each.input, ((each.input.user + 1) % 25,)) for each in train]
    return task, batches(task, examples, 16), examples


def rating() -> Made:
    spec = DataSpec(Histories(tuple("abcdefgh"), tuple("uvwxyz")), Rating(1, 5), "ratings")
    examples = [Example(f"{u} {i}", Pair(u, i), float(1 + (u * i) % 5)) for u in range(8) for i in range(6)]
    model = Mf(recsys.Mf(width=4))
    processor = model.processor(spec)
    processor.fit(examples)
    network = model.network(spec, processor)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(4 * random(*parameter.shape))  # so that answers leave the scale
    task = RatingTask(recsys.Rating(), network, processor, spec)
    return task, batches(task, examples, 20), examples


def ctc() -> Made:
    texts = ["a cab", "bad dad", "", "abba", "dab a cab", "c", "a" * 200]
    spec = DataSpec(Audio(1000), Transcript(), "f", protocol={"normaliser": "letters"})
    model = Wav2vec2(speech.Wav2vec2(**TINY, mask_time=0.0, dropout=0.0))
    processor = model.processor(spec)
    examples = [Example(str(n), None, text) for n, text in enumerate(texts)]
    processor.fit(examples)
    task = Ctc(speech.Ctc(), model.network(spec, processor), processor, spec)
    found = []
    for part in (range(3), range(3, 7)):
        samples = [
            {
                "audio": (9000 * random(700 + 150 * n)).clamp(-30000, 30000).to(torch.int16),
                "target": torch.tensor(task.alphabet.spell(texts[n]), dtype=torch.int64),
                "target_text": torch.tensor([ord(c) for c in texts[n]], dtype=torch.int32),
            }
            for n in part
        ]
        found.append({**processor.collate(samples), "example": torch.tensor(part)})
    return task, found, examples


def pretraining() -> Made:
    """Six clips, of which two are of one recording."""
    spec = DataSpec(Audio(1000), Masked(), "f")
    model = Wav2vec2(speech.Wav2vec2(**TINY, codes=12, mask_time=0.5, mask_time_span=4))
    processor = model.processor(spec)
    processor.fit([])
    task = Pretraining(speech.Pretraining(distractors=20), model.network(spec, processor), processor, spec)
    audio = (9000 * random(6, 2000)).clamp(-30000, 30000).to(torch.int16)
    lengths = torch.tensor([2000, 1500, 900, 2000, 1200, 1900])
    batch = {"audio": audio, "audio_length": lengths, "example": torch.tensor([0, 0, 1, 2, 3, 4])}
    return task, halves(batch), [Example(str(n), None) for n in range(5)]


TASKS: dict[str, Callable[[], Made]] = {
    "image.classification": lambda: classification(ImageClassification, section("image.classification")),
    "text.classification": lambda: classification(TextClassification, section("text.classification")),
    "speech.classification": lambda: classification(SpeechClassification, section("speech.classification")),
    "recsys.next_item": next_item,
    "recsys.rating": rating,
    "speech.ctc": ctc,
    "speech.pretraining": pretraining,
    "regression of one value": lambda: regression(1),
    "regression of several": lambda: regression(3),
}
LEFT = {"coverage@10", "gini@10", "codes_used", "loss of speech.pretraining"}
"""The metrics that have no interval; each has a reason."""


def components() -> dict[str, Component]:
    ours = [each for each in from_environment().components if each.implementation.split("_")[0] == "taskkit"]
    return {each.name: each for each in ours if each.kind == "task"}


def section(name: str) -> type[Any]:
    return load(components()[name].section)  # type: ignore[no-any-return]


def judged(made: Made, component: Component) -> tuple[dict[str, float], Rows, Any]:
    """The metrics of a test, its rows, and how the one follows from the other: as a run makes them."""
    task, parts, examples = made
    owner = Chosen(component, PluginInfo("some", "1", "some"), None)
    statistics = statistics_of(task.eval(), owner)
    judge, collector, place = Judge(task, owner), Collector(examples, task, owner, task.spec, statistics, None), 0
    with torch.inference_mode():
        for batch in parts:
            step: Step = task.step(batch)
            judge.update(step)
            numbers_of_samples = np.arange(place, place := place + len(batch["example"]))
            collector.add(HostBatch(batch, numbers_of_samples, len(numbers_of_samples)), step)
    return numbers(judge.compute()), Rows.of(collector.finished()), statistics


def test_every_task_is_here() -> None:
    assert components().keys() == {name for name in TASKS if "." in name}


@pytest.mark.parametrize("name", TASKS)
def test_every_metric_follows_from_the_rows_or_says_why_not(name: str) -> None:
    component = components().get(name, Component("task", name, "", "some:Task", "some:Section"))
    metrics, rows, statistics = judged(TASKS[name](), component)
    assert set(metrics) == set(statistics)
    none = {each for each, statistic in statistics.items() if isinstance(statistic, NoInterval)}
    assert {f"loss of {name}" if each == "loss" else each for each in none} <= LEFT
    for each, value in metrics.items():
        if each not in none:
            assert rows.values([statistics[each]])[0] == pytest.approx(value, rel=1e-6, abs=1e-6), each
    found = intervals(rows, statistics, metrics)
    assert set(found) == set(metrics)
    assert {each: interval.note for each, interval in found.items() if each in none} == {
        each: statistics[each].reason for each in none
    }
