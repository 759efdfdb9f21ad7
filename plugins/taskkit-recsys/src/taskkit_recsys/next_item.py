"""Which items follow a history: one task for networks that answer vectors and for baselines that answer scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from taskkit import Batch, DataSpec, Example, Headline, Prediction, Processor, Step, Task, TaskkitError, setting
from taskkit_recsys import metrics, sections
from taskkit_recsys.answer import Answer, Scores
from taskkit_recsys.losses import Objective
from taskkit_recsys.processor import NONE, HistoryProcessor
from taskkit_recsys.ranking import Ranking, rank, recommend

BASELINE_USERS = 1024
"""Users that the popularity list is judged for at once."""


@dataclass
class Recommend:
    """What `taskkit predict` answers."""

    top: int = setting(10, "how many items to recommend", ge=1)
    filter_seen: bool = setting(True, "leave out what is in the history")


class NextItem(Task):
    """Rank all items for each user, and judge where those stand that the user took next.

    In training a network answers Vectors with targets of its own choice: it finds them in the histories. Else it
    answers one query for each history, or Scores.
    """

    headline = Headline("ndcg@10", "max")
    predict_options = Recommend
    asked: Recommend
    config: sections.NextItem
    counts: Tensor

    def __init__(self, config: Any, network: nn.Module, processor: Processor, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        assert isinstance(processor, HistoryProcessor)
        self.facts, self.most = processor.facts, processor.most
        self.register_buffer("counts", processor.counts, persistent=False)
        self.objective = Objective(config, processor.counts)

    def step(self, batch: Batch) -> Step:
        """The loss of the recipe in training, else the cross-entropy of the targets, with where they stand."""
        answer: Answer = self(batch)
        if self.training:
            if isinstance(answer, Scores):
                raise TaskkitError("This model learns nothing by steps. Set trainer.max_epochs to 0.")
            return Step(self.objective(answer), size=len(batch["history"]), outputs=answer)
        target, ranking = batch["target"], self._rank(answer, batch)
        loss = _mean(ranking.surprise, target != NONE)
        return Step(loss.mean(), size=len(target), outputs=answer, target=target, preds=ranking)

    def metrics(self) -> Mapping[str, Metric]:
        """Accuracy among new items, among all, and among samples if asked for; then what the lists are like."""
        config, found = self.config, dict[str, Metric]()
        kinds = {"": "filtered", "_unfiltered": "unfiltered"}
        if config.sampled is not None:
            kinds[f"_sampled{config.sampled}"] = "sampled"
        for ending, places in kinds.items():
            for name, score in metrics.accuracy(config.cutoffs).items():
                found[name + ending] = metrics.PerUser(score, places)
        items, popularity = len(self.counts), partial(metrics.popularity, counts=self.counts)
        found["coverage@10"] = metrics.Recommended(10, items, metrics.coverage)
        found["gini@10"] = metrics.Recommended(10, items, metrics.gini)
        found["popularity@10"] = metrics.Recommended(10, items, popularity)
        found["popularity_of_targets"] = metrics.Wanted(self.most, items, popularity)
        return found

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The accuracy of each user's ranking at 10, with and without what was seen, and the cross-entropy."""
        there = step.target != NONE
        found = {"cross_entropy": _mean(step.preds.surprise, there)}
        for ending, places in (("", step.preds.filtered), ("_unfiltered", step.preds.unfiltered)):
            for name, score in metrics.accuracy([10]).items():
                found[name + ending] = score(places, there)
        return found

    def predict(self, batch: Batch, outputs: Answer) -> Sequence[Prediction]:
        """The best items for each history, with titles and scores; for an empty one those that most users took."""
        seen = batch["target_seen"] if self.asked.filter_seen else None
        items, scores = recommend(outputs, seen, self.asked.top, self.config.logits_budget)
        fallback = Scores(self.counts.float().expand(1, -1))
        popular, takers = (found[0].tolist() for found in recommend(fallback, None, self.asked.top))
        empty = (batch["history"] == NONE).all(1).tolist()
        return [
            {"prediction": self._list(popular, takers), "note": "an empty history: what most users took"}
            if nothing
            else {"prediction": self._list(*row)}
            for nothing, *row in zip(empty, items.tolist(), scores.tolist(), strict=True)
        ]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The metrics of recommending to everybody what most users took."""
        found, device = self.metrics(), self.counts.device
        for start in range(0, len(test), BASELINE_USERS):
            part = range(start, min(start + BASELINE_USERS, len(test)))
            samples = [sample for number in part for sample in self.processor.encode(test[number])]
            batch = {name: values.to(device) for name, values in self.processor.collate(samples).items()}
            batch["example"] = torch.tensor(part, device=device)
            ranking = self._rank(Scores(self.counts.float().expand(len(samples), -1)), batch)
            for metric in found.values():
                metric.to(device).update(ranking, batch["target"])
        return {name: float(metric.compute()) for name, metric in found.items()}

    def protocol(self) -> Mapping[str, Any]:
        """Among what targets are ranked, and what the names of the metrics mean."""
        items, config = len(self.counts), self.config
        protocol = {
            "ranking": f"among all {items} items",
            "ndcg@k, hr@k, recall@k, mrr": "items of the user's history are not recommended; such a target is missed",
            "…_unfiltered": "all items",
            "cutoffs": sorted(set(config.cutoffs)),
            "equal scores": "the item of the lower number first",
            "coverage, gini, popularity": "of the lists without the items of the history",
        }
        if config.sampled is not None:
            protocol[f"…_sampled{config.sampled}"] = (
                f"among the target and {config.sampled} random items that are not in the history; "
                "not comparable with a ranking of all items, nor with other samples"
            )
        return protocol

    def _rank(self, answer: Answer, batch: Batch) -> Ranking:
        config = self.config
        return rank(
            answer,
            batch["target"],
            batch["target_seen"],
            k=10,
            example=batch["example"],
            sampled=config.sampled,
            budget=config.logits_budget,
        )

    def _list(self, items: Sequence[int], scores: Sequence[float]) -> list[dict[str, Any]]:
        return [
            {"rank": place, "item": self.facts.items[item], "title": self.facts.title(item), "score": score}
            for place, (item, score) in enumerate(zip(items, scores, strict=True), 1)
            if item != NONE
        ]


def _mean(values: Tensor, there: Tensor) -> Tensor:
    """The mean of those values of each row (rows, most) that are there."""
    return (values * there).sum(1) / there.sum(1)
