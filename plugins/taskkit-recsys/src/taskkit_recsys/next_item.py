"""Which items follow a history: one task for networks that answer vectors and for baselines that answer scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric

from taskkit import (
    Batch,
    DataSpec,
    Example,
    Explained,
    Headline,
    Mean,
    NoInterval,
    Prediction,
    Ratio,
    Statistic,
    Step,
    Task,
    TaskkitError,
)
from taskkit_recsys import metrics, sections
from taskkit_recsys.answer import Answer, Scores
from taskkit_recsys.arrays import EMPTY, NONE, listed
from taskkit_recsys.losses import Objective
from taskkit_recsys.options import Recommend
from taskkit_recsys.processor import HistoryProcessor
from taskkit_recsys.ranking import Ranking, SharedScores, rank, recommend

BASELINE_USERS = 128
"""Users that the popularity list is judged for at once."""
FEWER_USERS = NoInterval(
    "to fewer users fewer items are recommended, and resamples, which hold some users twice, hold fewer"
)


class NextItem(Task[sections.NextItem, HistoryProcessor]):
    """Rank all items for each user, and judge where those stand that the user took next.

    In training a network answers Vectors with targets of its own choice: it finds them in the histories. Else it
    answers one query for each history, or Scores.
    """

    headline = Headline("ndcg@10", "max")
    predict_options = Recommend
    counts: Tensor

    def __init__(
        self, config: sections.NextItem, network: nn.Module, processor: HistoryProcessor, spec: DataSpec
    ) -> None:
        super().__init__(config, network, processor, spec)
        counts = processor.counts
        self.register_buffer("counts", counts, persistent=False)
        self.objective = Objective(config, counts)

    def step(self, batch: Batch) -> Step:
        """The loss of the recipe in training, else the cross-entropy of the targets, with where they stand.

        Raises TaskkitError in training when the network answers Scores, which learn nothing.
        """
        answer: Answer = self(batch)
        if self.training:
            if isinstance(answer, Scores):
                raise TaskkitError("This model learns nothing by steps. Set trainer.max_epochs to 0.")
            loss, targets = self.objective(answer)
            return Step(loss, count=targets, over="items", outputs=answer)
        ranking = self._rank(answer, batch)
        scored = self._scored(ranking, batch["target"])
        loss = scored["cross_entropy"]["value"].mean()
        return Step(loss, count=len(batch["target"]), outputs=answer, scored=scored)

    def logits(self, outputs: Answer) -> Tensor:
        """The scores of all items (histories, items), which a softmax makes the chances of each to be the next."""
        return outputs.scores(0, outputs.shape[0])

    @property
    def answers_in_training(self) -> bool:
        """No: in training a network makes queries of its own, of many places of a history."""
        return False

    def metrics(self) -> Mapping[str, Metric]:
        """Accuracy among new items, among all, and among samples if asked for; then what the lists are like."""
        items, popularity = len(self.counts), partial(metrics.popularity, takers=self.counts)
        names = self._accuracies
        # Looking for NaN would synchronise with the device.
        means: dict[str, Metric] = {name: MeanMetric(nan_strategy="disable") for name in names}
        return {
            **means,
            "coverage@10": metrics.ItemCounts(items, metrics.coverage),
            "gini@10": metrics.ItemCounts(items, metrics.gini),
            "popularity@10": metrics.ItemCounts(items, popularity),
            "popularity_of_targets": metrics.ItemCounts(items, popularity),
        }

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The accuracy of each user's ranking, the cross-entropy, and how many took the list and the targets."""
        scores = {name: step.scored[name]["value"] for name in ("cross_entropy", *self._accuracies)}
        takers, items = self._takers(step.scored["popularity@10"]["items"])
        of_targets, targets = self._takers(batch["target"])
        counted = {"takers@10": takers, "items@10": items, "takers_of_targets": of_targets, "targets": targets}
        return {**scores, **counted}

    def statistics(self) -> Mapping[str, Statistic | NoInterval]:
        """Accuracy is a mean over users, popularity one over the items of all lists; coverage and Gini are neither."""
        return {
            **{name: Mean(name, ideal=1.0) for name in self._accuracies},
            "coverage@10": FEWER_USERS,
            "gini@10": FEWER_USERS,
            "popularity@10": Ratio("takers@10", "items@10"),
            "popularity_of_targets": Ratio("takers_of_targets", "targets"),
            "loss": Mean("cross_entropy", ideal=0.0),
        }

    def predict(
        self, batch: Batch, outputs: Answer, examples: Sequence[Example], options: Recommend
    ) -> Sequence[Prediction]:
        """The best items for each history, with titles and scores; for an empty one those that most users took."""
        seen = self._left_out(batch, options)
        top = min(options.top, len(self.counts))  # a list takes as much memory as was asked for
        items, scores = recommend(outputs, seen, top, self.config.logits_budget)
        fallback = Scores(self.counts.float().expand(1, -1))
        popular, takers = (row[0].tolist() for row in recommend(fallback, None, top))
        empty, known = (batch["history"] == NONE).all(1).tolist(), self.processor.histories
        return [
            {"prediction": listed(known, popular, takers), "remark": EMPTY}
            if nothing
            else {"prediction": listed(known, *row)}
            for nothing, *row in zip(empty, items.tolist(), scores.tolist(), strict=True)
        ]

    def explained(self, batch: Batch, outputs: Answer, options: Recommend, wanted: str | None) -> Explained:
        """The score of the first item that is recommended, or of the one that is `wanted`, by its id or its title.

        Raises TaskkitError for an item that the run does not know, and for an empty history, whose answer is not the
        network's.
        """
        if (batch["history"] == NONE).all():
            raise TaskkitError(
                f"{EMPTY}, so that the answer rests on no input. Give at least one item that the run knows."
            )
        if wanted is None:
            items, _ = recommend(outputs, self._left_out(batch, options), 1, self.config.logits_budget)
            number = int(items[0, 0])
        elif (known := self.processor.directory.item(wanted)) is None:
            raise TaskkitError(f"{wanted!r} is no item of this run. Name one by its id or its title.")
        else:
            number = known
        name = self.processor.histories.title(number)
        return Explained(name, "score", lambda answer: answer.scores(0, len(answer[0]))[:, number])

    @staticmethod
    def _left_out(batch: Batch, options: Recommend) -> Tensor | None:
        """What is not to be recommended, as `recommend` takes it."""
        return batch["target_seen"] if options.filter_seen else None

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The metrics of recommending to everybody what most users took."""
        judges, device = self.metrics(), self.counts.device
        counts = self.counts.float()
        popular = SharedScores.of(counts)
        for start in range(0, len(test), BASELINE_USERS):
            part = range(start, min(start + BASELINE_USERS, len(test)))
            samples = [sample for number in part for sample in self.processor.encode(test[number])]
            batch = {name: values.to(device) for name, values in self.processor.collate(samples).items()}
            batch["example"] = torch.tensor(part, device=device)
            if self.config.sampled is None:
                ranking = popular.rank(batch["target"], batch["target_seen"], k=10)
            else:
                ranking = self._rank(Scores(counts.expand(len(samples), -1)), batch)
            scored = self._scored(ranking, batch["target"])
            for name, metric in judges.items():
                metric.to(device).update(**scored[name])
        return {name: float(metric.compute()) for name, metric in judges.items()}

    def chance(self) -> float:
        """The loss of equal scores for all items."""
        return self.objective.chance

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

    @property
    def _accuracies(self) -> Sequence[str]:
        """The names of the metrics of a user's ranking."""
        return [name + ending for ending in self._rankings for name in metrics.accuracy(self.config.cutoffs)]

    @property
    def _rankings(self) -> Mapping[str, str]:
        """The endings of metrics' names, and which places of a Ranking they judge."""
        sampled = {} if self.config.sampled is None else {f"_sampled{self.config.sampled}": "sampled"}
        return {"": "filtered", "_unfiltered": "unfiltered", **sampled}

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

    def _scored(self, ranking: Ranking, target: Tensor) -> Mapping[str, Mapping[str, Tensor]]:
        """What each metric takes, and the cross-entropy of each user's targets; `target` is (users, most)."""
        valid = target != NONE
        scores = {
            name + ending: score(getattr(ranking, places), valid)
            for ending, places in self._rankings.items()
            for name, score in metrics.accuracy(self.config.cutoffs).items()
        }
        scores["cross_entropy"] = (ranking.nll * valid).sum(1) / valid.sum(1)
        lists = {name: {"items": ranking.top} for name in ("coverage@10", "gini@10", "popularity@10")}
        means = {name: {"value": values} for name, values in scores.items()}
        return {**means, **lists, "popularity_of_targets": {"items": target}}

    def _takers(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """How many users took the items (users, places) of each list in training, in all, and how many items it has."""
        places = items.long()
        there = places != NONE
        return (self.counts[places.clamp(min=0)] * there).sum(1).float(), there.sum(1).float()
