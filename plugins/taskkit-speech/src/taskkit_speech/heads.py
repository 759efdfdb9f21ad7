"""What stands on the body for each kind of target: characters, a class, or the recording's own hidden parts."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import Wav2Vec2ForPreTraining

from taskkit_speech.encoder import SpeechEncoder
from taskkit_speech.masks import valid


class Logits(NamedTuple):
    """One score for each class in each frame."""

    logits: Tensor
    """(batch, frames, classes)"""
    lengths: Tensor
    """Frames of each clip, (batch,)."""


class Recogniser(nn.Module):
    """The body and a linear layer over characters and the blank, for CTC."""

    def __init__(self, encoder: SpeechEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(encoder.config.final_dropout)
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def forward(self, audio: Tensor, audio_length: Tensor) -> Logits:
        """Samples (batch, samples) and their lengths (batch,) in, scores of the characters out."""
        frames = self.encoder(audio, audio_length)
        return Logits(self.head(self.dropout(frames.states)), frames.lengths)


class Classifier(nn.Module):
    """The body, the mean over the frames of a clip, and a linear layer over classes."""

    def __init__(self, encoder: SpeechEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(encoder.config.final_dropout)
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def forward(self, audio: Tensor, audio_length: Tensor) -> Tensor:
        """Samples (batch, samples) and their lengths (batch,) in, logits (batch, classes) out."""
        states, lengths, *_ = self.encoder(audio, audio_length)
        inside = valid(lengths, states.shape[1])[..., None]
        mean = (states.float() * inside).sum(dim=1) / lengths[:, None].clamp(min=1)
        logits: Tensor = self.head(self.dropout(mean))
        return logits


class Pretext(NamedTuple):
    """What contrastive learning compares."""

    predicted: Tensor
    """The transformer's prediction for each frame: (batch, frames, size)."""
    quantised: Tensor
    """Each frame, quantised by the codebooks: (batch, frames, size)."""
    codes: Tensor
    """The code of each frame in each codebook: int64, (batch, frames, codebooks)."""
    shares: Tensor
    """The probability of each code for each frame: (batch, frames, codebooks, codes)."""
    convolved: Tensor
    """Outputs of the convolutions: (batch, frames, channels)."""
    lengths: Tensor
    """Frames of each clip, (batch,)."""
    masked: Tensor
    """Which frames were hidden from the transformer: bool, (batch, frames)."""


class Pretrainer(nn.Module):
    """The body, which sees masked frames, and product quantisation of what is behind the masks.

    The parts are those of transformers' Wav2Vec2ForPreTraining (Baevski et al., 2020, sections 2 and 3). The
    temperature of the Gumbel softmax falls with every training batch from `warmest` to `coldest`.
    """

    warmest, coldest, cooling = 2.0, 0.5, 0.999995
    batches: Tensor

    def __init__(self, encoder: SpeechEncoder) -> None:
        super().__init__()
        config: Any = encoder.config
        parts = Wav2Vec2ForPreTraining(config)
        self.encoder = encoder
        self.dropout = nn.Dropout(config.feat_quantizer_dropout)
        self.quantizer = parts.quantizer
        self.project_hid = parts.project_hid
        self.project_q = parts.project_q
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, audio: Tensor, audio_length: Tensor, masked: Tensor | None = None) -> Pretext:
        """Samples (batch, samples) and their lengths (batch,) in, and which frames are hidden; None: random ones.

        Only in training may these be random.
        """
        frames = self.encoder(audio, audio_length, masked)
        assert frames.masked is not None
        codes, shares, vectors = self._quantise(self.dropout(frames.features))
        return Pretext(
            self.project_hid(frames.states),
            self.project_q(vectors),
            codes,
            shares,
            frames.convolved,
            frames.lengths,
            frames.masked,
        )

    def _quantise(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, their probabilities, and the chosen vectors (batch, frames, size), through which gradients go."""
        groups = self.quantizer.num_groups
        logits = self.quantizer.weight_proj(features).float().unflatten(-1, (groups, -1))
        if self.training:
            temperature = (self.warmest * self.cooling**self.batches).clamp(min=self.coldest)
            self.batches += 1
            chosen = F.gumbel_softmax(logits, hard=True, tau=temperature)  # type: ignore[arg-type]
        else:
            chosen = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(logits.dtype)
        books = self.quantizer.codevectors.view(groups, logits.shape[-1], -1)
        # A product of matrices: transformers multiplies every vector of the books with 0 or 1 for every frame.
        vectors = torch.einsum("bfgc,gcd->bfgd", chosen.to(books.dtype), books).flatten(2)
        return chosen.argmax(dim=-1), logits.softmax(dim=-1), vectors
