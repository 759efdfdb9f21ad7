"""Learning from sound alone: the contrastive objective of wav2vec 2.0 (Baevski et al., 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from taskkit import Batch, Example, Headline, Step, Task
from taskkit_speech import sections
from taskkit_speech.heads import Pretext
from taskkit_speech.masks import distractors

FEW = 0.05
"""Codebooks of which less than this share is in use have collapsed."""
SEED = 0
"""Masks and distractors of an evaluation are the same each time."""


class Pretraining(Task):
    """Tell what is behind each masked frame from what is behind other masked frames of the same recording.

    No target is in the batch. `headline` is the share of masked frames that are told apart from all their distractors.
    """

    config: sections.Pretraining
    headline = Headline("accuracy", "max")

    def step(self, batch: Batch) -> Step:
        """The mean over masked frames of the contrastive loss (equation 3), with diversity (equation 4) and penalty."""
        if self.training:
            return self._step(self(batch))
        devices = [batch["audio"].device] if batch["audio"].is_cuda else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(SEED)
            return self._step(self(batch))

    def metrics(self) -> Mapping[str, Metric]:
        """Accuracy, the contrastive loss alone, and the share of codes in use, in which perplexity counts a code."""
        return {name: Column(name) for name in ("accuracy", "contrastive", "codes_used")}

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The accuracy of chance."""
        return {"accuracy": 1 / (1 + self.config.distractors)}

    def remarks(self, results: Mapping[str, Tensor]) -> Iterable[str]:
        """That the codebooks have collapsed, and what helps."""
        if float(results["codes_used"]) < FEW:
            yield (
                f"Only {float(results['codes_used']):.1%} of the codes are in use: the codebooks have collapsed, and "
                "what is learnt is worth little. Raise task.diversity, lower optim.lr, or set task.penalty to 10."
            )

    def _step(self, said: Pretext) -> Step:
        config, masked = self.config, said.masked
        count = masked.sum().clamp(min=1)
        others = distractors(masked, config.distractors)
        similar = similarity(said) / config.temperature
        own = similar.diagonal(dim1=1, dim2=2)[..., None]
        alike = same_codes(said.codes, others)
        against = similar.gather(2, others)
        logits = torch.cat([own, against.masked_fill(alike, -torch.inf)], dim=2)
        losses = -logits.log_softmax(dim=2)[..., 0]
        contrastive = torch.where(masked, losses, 0.0).sum() / count
        used = codes_used(said.shares, masked)
        penalty = said.features.float().square().mean()
        loss = contrastive + config.diversity * (1 - used) + config.penalty * penalty
        # Where a distractor has the same codes, the answer is a guess among them.
        right = (own >= logits.amax(dim=2, keepdim=True))[..., 0] / (1 + alike.sum(dim=2))
        accuracy = torch.where(masked, right, 0.0).sum() / count
        if self.training:
            self.note("accuracy", accuracy)
            self.note("codes_used", used)
        found = {"accuracy": accuracy, "contrastive": contrastive, "codes_used": used, "frames": count}
        return Step(loss, len(masked), said, preds={name: value.detach() for name, value in found.items()})


class Column(Metric):
    """The mean of one value of batches over their masked frames."""

    full_state_update = False

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.mean = MeanMetric()

    def update(self, preds: Mapping[str, Tensor], target: Any = None) -> None:
        """Add a batch."""
        self.mean.update(preds[self.name], preds["frames"])

    def compute(self) -> Tensor:
        """The mean so far."""
        mean: Tensor = self.mean.compute()
        return mean


def similarity(said: Pretext) -> Tensor:
    """The cosine of every prediction and every quantised frame of its recording: (batch, frames, frames).

    One product of matrices holds those of all distractors, whose vectors need not be copied out.
    """
    with torch.autocast(said.predicted.device.type, enabled=False):
        predicted, quantised = (F.normalize(x.float(), dim=2) for x in (said.predicted, said.quantised))
        return predicted @ quantised.transpose(1, 2)


def same_codes(codes: Tensor, others: Tensor) -> Tensor:
    """Whether each distractor has the codes of its frame in all codebooks: bool, (batch, frames, distractors)."""
    alike = torch.ones(others.shape, dtype=torch.bool, device=codes.device)
    for book in codes.unbind(dim=2):
        alike &= book[:, None].expand(-1, codes.shape[1], -1).gather(2, others) == book[..., None]
    return alike


def codes_used(shares: Tensor, masked: Tensor) -> Tensor:
    """The perplexity of the codes, averaged over masked frames, as a share of all codes (equation 4)."""
    weights = masked[..., None, None] / masked.sum().clamp(min=1)
    mean = (shares * weights).sum(dim=(0, 1))  # (codebooks, codes)
    return (-torch.xlogy(mean, mean).sum(dim=1)).exp().mean() / mean.shape[1]
