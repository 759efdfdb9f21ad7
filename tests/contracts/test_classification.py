"""The classification task of the host, on a network that answers what the batch says."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from taskkit import (
    Classes,
    Classification,
    ClassificationOptions,
    ClassificationSection,
    DataError,
    DataSpec,
    Example,
    Fact,
    Processor,
    macro_f1,
)
from taskkit.contracts.component import Chosen, Component, PluginInfo
from taskkit.engine.judge import Judge

NAMES = tuple("abcdefg")


class Echo(nn.Module):
    """A network whose answers are its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits: Tensor) -> Tensor:
        return self.scale * logits


class Nothing(Processor):
    def read(self, source: str, options: object) -> list[Example]:
        return [Example(source, source)]

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        return []


def classification(counts: tuple[int, ...] = (1,) * 7, **settings: object) -> Classification:
    spec = DataSpec(Fact(), Classes(NAMES, counts), "none")
    return Classification(ClassificationSection(**settings), Echo(), Nothing(), spec)  # type: ignore[arg-type]


def test_one_class_is_no_choice() -> None:
    spec = DataSpec(Fact(), Classes(("cat",)), "none")
    with pytest.raises(DataError, match=r"There is one class only, 'cat'\."):
        Classification(ClassificationSection(), Echo(), Nothing(), spec)


def batch(answers: list[list[int]], targets: list[int]) -> dict[str, Tensor]:
    """A batch whose logits rank the given classes first, in order."""
    logits = torch.zeros(len(answers), len(NAMES))
    for row, ranked in enumerate(answers):
        for place, number in enumerate(ranked):
            logits[row, number] = 10.0 - place
    return {"logits": logits, "target": torch.tensor(targets), "example": torch.arange(len(targets))}


def judged(task: Classification, *batches: dict[str, Tensor]) -> dict[str, Tensor]:
    owner = Chosen(
        Component("task", "some.classification", "", "some:Task", "some:Section"), PluginInfo("some", "1", "some"), None
    )
    judge = Judge(task.eval(), owner)
    for each in batches:
        judge.update(task.step(each))
    return dict(judge.compute())


def test_class_weights_weigh_a_batch_of_one_too() -> None:
    task = classification(counts=(8, 1, 1, 1, 1, 1, 1), class_weights="balanced").train()
    plain = classification(counts=(8, 1, 1, 1, 1, 1, 1)).train()
    rows = [batch([[2]], [0]), batch([[2]], [1])]
    weights = task.spec.target.balanced()  # type: ignore[attr-defined]
    for row, weight in zip(rows, weights, strict=False):
        assert task.step(row).loss.item() == pytest.approx(plain.step(row).loss.item() * weight)


def test_calibration_is_of_probabilities_also_where_all_logits_are_between_0_and_1() -> None:
    even = {"logits": torch.zeros(7, 7), "target": torch.zeros(7).long(), "example": torch.arange(7)}
    assert judged(classification(), even)["calibration_error"] == pytest.approx(1 - 1 / 7)


def test_metrics_that_agree_on_the_first_batch_are_still_counted_apart() -> None:
    right = batch([[0], [1], [2], [3]], [0, 1, 2, 3])
    second = batch([[4, 5], [5, 4], [6, 4], [0, 4]], [4, 4, 4, 4])
    results = judged(classification(), right, second)
    assert results["accuracy"] == pytest.approx(5 / 8)
    assert results["top5_accuracy"] == 1.0
    assert results["confusion"].sum() == 8
    assert results["confusion"][4].tolist() == [1, 0, 0, 0, 1, 1, 1]


def test_metrics_do_not_depend_on_how_examples_are_batched() -> None:
    whole = batch([[0], [1, 2], [3], [4, 6], [6]], [0, 2, 3, 6, 5])
    parts = [{name: column[i : i + 2] for name, column in whole.items()} for i in (0, 2, 4)]
    one, many = judged(classification(), whole), judged(classification(), *parts)
    assert one.keys() == many.keys()
    for name in one:
        assert torch.allclose(one[name].float(), many[name].float(), atol=1e-6), name


@pytest.mark.parametrize(
    ("answers", "f1", "precision", "recall"),
    [
        ([0, 1, 2, 1, 1, 2, 0, 0], 28 / 45, 2 / 3, 11 / 18),
        # A class that is answered and is no target counts as 0.
        ([0, 1, 4, 1, 1, 2, 0, 0], 47 / 120, 1 / 2, 3 / 8),
    ],
)
def test_macro_averages_are_those_of_scikit_learn_over_the_classes_that_occur(
    answers: list[int], f1: float, precision: float, recall: float
) -> None:
    targets = [0, 1, 2, 0, 1, 2, 2, 1]
    found = judged(classification(), batch([[answer] for answer in answers], targets))
    assert found["f1"].item() == pytest.approx(f1)
    assert found["precision"].item() == pytest.approx(precision)
    assert found["recall"].item() == pytest.approx(recall)
    column = [np.array(each) for each in (targets, answers)]
    assert macro_f1(*column, sample_weight=np.ones((1, 8)))[0] == pytest.approx(f1)


def test_smoothing_and_class_weights_bear_on_training_alone() -> None:
    task, some = classification((6, 1, 1, 1, 1, 1, 1), label_smoothing=0.2, class_weights="balanced"), batch([[1]], [0])
    plain = nn.functional.cross_entropy(some["logits"], some["target"])
    assert task.eval().step(some).loss.item() == pytest.approx(float(plain))
    assert task.train().step(some).loss.item() != pytest.approx(float(plain))


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.2}, {"class_weights": "balanced"}], ids=str)
def test_chance_is_the_training_loss_of_equal_logits(settings: dict[str, object]) -> None:
    counts = (4, 2, 2, 1, 1, 1, 1)
    targets = [number for number, count in enumerate(counts) for _ in range(count)]
    task = classification(counts, **settings)
    loss = task.train().step(batch([[]] * len(targets), targets)).loss
    assert loss is not None
    assert loss.item() == pytest.approx(task.chance())


def test_balanced_weights_need_examples_of_every_class() -> None:
    with pytest.raises(DataError, match="no training example has the class 'c'"):
        classification((1, 1, 0, 1, 1, 1, 1), class_weights="balanced")


def test_the_baseline_answers_the_commonest_class_of_the_training_split() -> None:
    train = [Example(str(i), None, target) for i, target in enumerate([3, 3, 1])]
    test = [Example(str(i), None, target) for i, target in enumerate([3, 1, 1, 2])]
    assert classification().baseline(train, test) == {"accuracy": 0.25}


def test_a_task_says_so_when_every_answer_is_one_class() -> None:
    task = classification()
    (remark,) = task.remarks(judged(task, batch([[2], [2]], [2, 3])), [])
    assert remark.startswith("Every answer is 'c'.")
    assert not [*task.remarks(judged(task, batch([[2], [1]], [2, 3])), [])]
    assert not [*task.remarks(judged(task, batch([[2], [2]], [2, 2])), [])]


def test_the_table_of_classes_has_their_precision_recall_and_f1() -> None:
    task = classification()
    tables = task.tables(judged(task, batch([[0], [0], [1], [2]], [0, 0, 0, 1])))
    rows = list(zip(*tables["classes"].values(), strict=True))
    # The reference: scikit-learn's precision_recall_fscore_support with zero_division=0.
    assert [*tables["classes"]] == ["class", "examples", "precision", "recall", "f1"]
    assert rows[0] == ("a", 3, 1.0, pytest.approx(2 / 3), pytest.approx(0.8))
    assert rows[1] == ("b", 1, 0.0, 0.0, 0.0)
    assert rows[2] == ("c", 0, 0.0, 0.0, 0.0)
    assert tables["confusion"]["b"][:2] == [1, 0]


def test_of_classes_that_are_alike_answers_scores_and_metrics_take_the_same() -> None:
    task = classification(top_k=2).eval()
    # Equal at the top, as 16 bits make them, and different by less than a probability of 32 bits can tell.
    alike = torch.tensor([[0, 3, 0, 3, 0, 3, 3], [0, 1e-9, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]], dtype=torch.float)
    rows = {"logits": alike.repeat(7, 1), "target": torch.arange(7).repeat_interleave(3), "example": torch.arange(21)}
    step = task.step(rows)
    correct = task.scores(rows, step)["correct"]
    answers = task.predict(rows, step.outputs, [Example(str(n), "") for n in range(21)], ClassificationOptions())
    right = [
        NAMES.index(str(answer["prediction"])) == int(n) for answer, n in zip(answers, rows["target"], strict=True)
    ]
    assert right == correct.bool().tolist()
    assert judged(task, rows)["accuracy"].item() == pytest.approx(sum(right) / 21)


@pytest.mark.parametrize("k", [2, 5])
def test_equal_logits_are_answered_as_the_metrics_count_them(k: int) -> None:
    task = classification(top_k=k).eval()
    # Of 16 bits, so that many are equal; the last row is all alike.
    logits = torch.cat([torch.randn(200, 7, generator=torch.Generator().manual_seed(0)).round(), torch.zeros(1, 7)])
    some = {"logits": logits, "target": torch.arange(201) % 7, "example": torch.arange(201)}
    step = task.step(some)
    found, scores = judged(task, some), task.scores(some, step)
    answers = task.predict(some, step.outputs, [], ClassificationOptions())
    right = [answer["prediction"] == NAMES[target] for answer, target in zip(answers, some["target"], strict=True)]
    among = [NAMES[target] in answer["top"] for answer, target in zip(answers, some["target"], strict=True)]
    assert answers[-1]["prediction"] == "a"
    assert scores["correct"].tolist() == right
    assert scores[f"top{k}_correct"].tolist() == among
    assert found["accuracy"] == pytest.approx(sum(right) / 201)
    assert found[f"top{k}_accuracy"] == pytest.approx(sum(among) / 201)


def test_all_probabilities_and_their_entropy_are_given_where_they_are_asked_for() -> None:
    logits = torch.tensor([[0.0] * 7, [50.0, *[0.0] * 6]])
    task = classification()
    plain, _ = task.predict({}, logits, [], ClassificationOptions())
    assert set(plain) == {"prediction", "probability", "top"}
    alike, sure = task.predict({}, logits, [], ClassificationOptions(top=2, probabilities=True, entropy=True))
    assert list(alike["top"]) == ["a", "b"]
    assert list(alike["probabilities"]) == list(NAMES)
    assert sum(alike["probabilities"].values()) == pytest.approx(1.0)
    assert alike["entropy"] == pytest.approx(np.log(7))
    assert sure["entropy"] == pytest.approx(0.0, abs=1e-6)
