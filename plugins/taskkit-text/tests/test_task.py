import pytest
import torch

from taskkit import Classes, DataSpec, Example
from taskkit_text import plugin, sections
from taskkit_text.bag import Bag
from taskkit_text.facts import Text
from taskkit_text.task import TextClassification

SPEC = DataSpec(Text(), Classes(("a", "b", "c"), (6, 2, 1)), "f")


def task(**settings):
    model = Bag(sections.Bag(min_count=1))
    processor = model.processor(SPEC)
    processor.fit([Example("1", "one two three")])
    return TextClassification(sections.TextClassification(**settings), model.network(SPEC, processor), processor, SPEC)


def judged(predictions, targets):
    metrics = task().metrics()
    logits = torch.nn.functional.one_hot(torch.tensor(predictions), 3).float()
    for metric in metrics.values():
        metric.update(logits, torch.tensor(targets))
    return {name: metric.compute() for name, metric in metrics.items()}


def test_macro_averages_count_classes_alike_and_micro_ones_decisions():
    results = judged([0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 2])
    assert torch.isclose(results["accuracy"], torch.tensor(5 / 6))
    assert torch.isclose(results["recall"], torch.tensor(2 / 3))
    assert torch.isclose(results["precision"], torch.tensor((4 / 5 + 1 + 0) / 3))
    for name in ("micro_precision", "micro_recall", "micro_f1"):
        assert torch.isclose(results[name], torch.tensor(5 / 6))
    assert results["confusion"].tolist() == [[4, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert "calibration_error" in results


def test_balanced_weights_are_inverse_to_frequency():
    weights = task(class_weights="balanced").class_weights
    torch.testing.assert_close(weights, torch.tensor([9 / 18, 9 / 6, 9 / 3]))


@pytest.mark.parametrize("top_k", [2, 5])
def test_every_metric_of_one_number_may_be_watched(top_k):
    (component,) = [each for each in plugin.taskkit_components() if each.kind == "task"]
    made = task(top_k=top_k)
    assert ("top2_accuracy" in made.metrics()) == (top_k == 2)
    for name in made.metrics().keys() - {"confusion"}:
        assert component.direction(name) == ("min" if name == "calibration_error" else "max"), name
    assert component.direction(made.headline.metric) == made.headline.direction
