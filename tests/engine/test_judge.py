"""What a metric is given of what a step scored: what it names, as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from taskkit import Headline, RunFailedError, Step
from taskkit.engine.judge import Judge


class Seen(Metric):
    """Keeps what it is given."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")
        self.given: list[Any] = []

    def update(self, preds: Any, target: Any, names: Any = "nothing") -> None:
        """Take anything."""
        self.given.append((preds, target, names))
        self.count += len(preds)

    def compute(self) -> Tensor:
        """How many there were."""
        return self.count


def judge() -> tuple[Judge, Seen, Seen]:
    metrics = {"seen": Seen(), "other": Seen()}
    task: Any = SimpleNamespace(headline=Headline("seen", "max"), metrics=lambda: metrics)
    owner: Any = SimpleNamespace(name="toy.task", plugin="toy 1")
    return Judge(task, owner), metrics["seen"], metrics["other"]


def test_lists_of_mappings_texts_and_none_are_passed_on_as_they_are() -> None:
    judged, seen, other = judge()
    boxes = [{"boxes": torch.zeros(2, 4)}, {"boxes": torch.zeros(0, 4)}]
    judged.update(Step(None, 2, scored={"preds": boxes, "target": None, "more": 3}))
    judged.update(Step(None, 1, scored={"preds": ["a text"], "target": ["another"], "names": {"a": 1}}))
    assert seen.given == other.given == [(boxes, None, "nothing"), (["a text"], ["another"], {"a": 1})]
    assert float(judged.compute()["seen"]) == 3


def test_a_mapping_under_the_name_of_a_metric_is_for_that_metric_alone() -> None:
    judged, seen, other = judge()
    judged.update(Step(None, 1, scored={"preds": [1], "target": [1], "other": {"preds": [2], "target": [3]}}))
    assert (seen.given, other.given) == ([([1], [1], "nothing")], [([2], [3], "nothing")])


def test_what_a_metric_needs_and_no_step_scored_is_named() -> None:
    judged, *_ = judge()
    with pytest.raises(RunFailedError, match=r"the metric 'seen' takes preds, target; `step` scored preds\. Give"):
        judged.update(Step(None, 1, scored={"preds": [1]}))
