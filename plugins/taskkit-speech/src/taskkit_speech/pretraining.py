"""Learning from sound alone: the contrastive objective of wav2vec 2.0 (Baevski et al., 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from taskkit import Batch, Example, Headline, NoInterval, Ratio, Results, Statistic, Step, Task, percent
from taskkit_speech import sections
from taskkit_speech.encoder import SpeechEncoder, frame_count
from taskkit_speech.heads import Pretext
from taskkit_speech.masks import distractors, seeded, spans, valid
from taskkit_speech.processor import SpeechProcessor

FEW = 0.05
"""Codebooks of which less than this share is in use have collapsed."""


class Pretraining(Task[sections.Pretraining, SpeechProcessor]):
    """Tell what is behind each masked frame from what is behind other masked frames of the same recording.

    No target is in the batch. `headline` is the share of masked frames that are told apart from all their distractors.
    """

    headline = Headline("accuracy", "max")

    def forward(self, batch: Batch) -> Pretext:
        """Ask the network; in an evaluation the masks of a clip are the same each time, whatever batch it is in."""
        hidden = {} if self.training else {"masked": self._masks(batch)}
        outputs: Pretext = super().forward({**batch, **hidden})
        return outputs

    def step(self, batch: Batch) -> Step:
        """The mean over masked frames of the contrastive loss (equation 3), with diversity (equation 4) and penalty."""
        outputs: Pretext = self(batch)
        chance = None if self.training else self._chance(batch, 1, outputs.masked.shape[1], self.config.distractors)
        return self._step(outputs, distractors(outputs.masked, self.config.distractors, chance))

    def metrics(self) -> Mapping[str, Metric]:
        """Accuracy, the contrastive loss alone, and the share of codes in use, in which perplexity counts a code."""
        config = self._encoder.config
        used = CodesUsed(config.num_codevector_groups, config.num_codevectors_per_group)
        return {"accuracy": MeanMetric(), "contrastive": MeanMetric(), "codes_used": used}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """How many frames of each clip are masked, how many of these are told apart, and their contrastive loss."""
        return dict(step.scored["clips"])

    def statistics(self) -> Mapping[str, Statistic | NoInterval]:
        """Means over the masked frames of all clips; what is of the codes is of no clip alone."""
        return {
            "accuracy": Ratio("right", "frames", ideal=1.0),
            "contrastive": Ratio("contrastive", "frames", ideal=0.0),
            "codes_used": NoInterval("of fewer clips fewer codes are in use, and resamples hold fewer"),
            "loss": NoInterval("a part of it, the diversity, is of the codes of a whole batch"),
        }

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The accuracy of chance."""
        return {"accuracy": 1 / (1 + self.config.distractors)}

    def remarks(self, results: Results, earlier: Sequence[Mapping[str, float]]) -> Iterable[str]:
        """That the codebooks have collapsed, and what helps."""
        if float(results["codes_used"]) < FEW:
            yield (
                f"Only {percent(float(results['codes_used']))} of the codes are in use: the codebooks have collapsed, "
                "and what is learnt is worth little. Raise task.diversity, lower optim.lr, or set task.penalty to 10."
            )

    @property
    def _encoder(self) -> SpeechEncoder:
        encoder = self.network.get_submodule("encoder")
        assert isinstance(encoder, SpeechEncoder)
        return encoder

    def _masks(self, batch: Batch) -> Tensor:
        """Which frames of each clip an evaluation hides: bool, (batch, frames)."""
        how = self._encoder.masking
        lengths = frame_count(batch["audio_length"], self._encoder.config)
        size = self.processor.grid.frames(batch["audio"].shape[1])
        return spans(lengths, size, how.time, how.time_span, how.least, self._chance(batch, 0, 1 + size))

    def _chance(self, batch: Batch, purpose: int, *shape: int) -> Tensor:
        """Random numbers for each clip that follow from its number alone, others for each of two purposes."""
        seeds = (2 * number + purpose for number in batch["example"].tolist())
        return seeded(seeds, *shape).to(batch["audio"].device)

    def _step(self, outputs: Pretext, others: Tensor) -> Step:
        config, masked = self.config, outputs.masked
        count = masked.sum().clamp(min=1)
        similar = similarity(outputs) / config.temperature
        own = similar.diagonal(dim1=1, dim2=2)[..., None]
        alike = same_codes(outputs.codes, others)
        against = similar.gather(2, others)
        logits = torch.cat([own, against.masked_fill(alike, -torch.inf)], dim=2)
        losses = -logits.log_softmax(dim=2)[..., 0]
        contrastive = torch.where(masked, losses, 0.0).sum() / count
        diversity = 1 - in_use(total(outputs.shares, masked))
        loss = contrastive + config.diversity * diversity + config.penalty * energy(outputs.convolved, outputs.lengths)
        # Where a distractor has the same codes, the answer is a guess among them.
        right = (own >= logits.amax(dim=2, keepdim=True))[..., 0] / (1 + alike.sum(dim=2))
        accuracy = torch.where(masked, right, 0.0).sum() / count
        # Of near-flat shares all codes look used, though one may win everywhere; Gumbel's noise would hide that too.
        codes = total(F.one_hot(outputs.shares.argmax(dim=-1), outputs.shares.shape[-1]), masked)
        scored = {
            "accuracy": {"value": accuracy, "weight": count},
            "contrastive": {"value": contrastive.detach(), "weight": count},
            "codes_used": {"codes": codes},
            "clips": {
                "right": torch.where(masked, right, 0.0).sum(1).detach(),
                "contrastive": torch.where(masked, losses, 0.0).sum(1).detach(),
                "frames": masked.sum(1),
            },
        }
        scalars = {"accuracy": accuracy, "codes_used": in_use(codes)} if self.training else {}
        return Step(loss, count, "frames", outputs, scored, scalars)


class CodesUsed(Metric):
    """The share of the codes in use, by the perplexity of how often each is chosen in all batches together."""

    full_state_update = False
    counts: Tensor

    def __init__(self, codebooks: int, codes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(codebooks, codes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, codes: Tensor) -> None:
        """Add how often each code was chosen in a batch: (codebooks, codes)."""
        self.counts += codes

    def compute(self) -> Tensor:
        """The share so far, a scalar."""
        return in_use(self.counts)


def similarity(outputs: Pretext) -> Tensor:
    """The cosine of every prediction and every quantised frame of its recording: (batch, frames, frames).

    One product of matrices holds those of all distractors, whose vectors need not be copied out.
    """
    with torch.autocast(outputs.predicted.device.type, enabled=False):
        predicted, quantised = (F.normalize(x.float(), dim=2) for x in (outputs.predicted, outputs.quantised))
        return predicted @ quantised.transpose(1, 2)


def same_codes(codes: Tensor, others: Tensor) -> Tensor:
    """Whether each distractor has the codes of its frame in all codebooks: bool, (batch, frames, distractors)."""
    alike = torch.ones(others.shape, dtype=torch.bool, device=codes.device)
    for book in codes.unbind(dim=2):
        alike &= book[:, None].expand(-1, codes.shape[1], -1).gather(2, others) == book[..., None]
    return alike


def total(shares: Tensor, masked: Tensor) -> Tensor:
    """The sum of shares (batch, frames, codebooks, codes) over masked frames: (codebooks, codes)."""
    return (shares * masked[..., None, None]).sum(dim=(0, 1))


def in_use(counts: Tensor) -> Tensor:
    """The perplexity of codes of these counts, (codebooks, codes), as a share of all codes (equation 4)."""
    mean = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return (-torch.xlogy(mean, mean).sum(dim=1)).exp().mean() / mean.shape[1]


def energy(convolved: Tensor, lengths: Tensor) -> Tensor:
    """The mean square of the outputs of the convolutions, without padding: a scalar."""
    inside = valid(lengths, convolved.shape[1])
    squares = convolved.float().square().mean(dim=2)
    return torch.where(inside, squares, 0.0).sum() / inside.sum().clamp(min=1)
