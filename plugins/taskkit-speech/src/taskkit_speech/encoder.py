"""The body that all networks of this plugin share: from int16 samples to one vector for each frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskkit_speech.masks import spans, valid
from taskkit_transformers import fresh_model, use_attention

WIDE = 16
"""Channels of a group from which on PyTorch 2.11 convolves groups rightly in bfloat16 on a CPU: of 4 to 14 its answers
are noise."""


class Frames(NamedTuple):
    """What the body makes of a batch."""

    states: Tensor
    """(batch, frames, width)"""
    lengths: Tensor
    """Frames of each clip, without padding, (batch,)."""
    convolved: Tensor
    """Outputs of the convolutions: (batch, frames, channels)."""
    features: Tensor
    """Outputs of the convolutions after the norm of the projection, if it has one, before any mask: same shape."""
    masked: Tensor | None
    """Which frames were masked in time: bool, (batch, frames)."""


@dataclass(frozen=True)
class Masking:
    """How much is masked, and in spans of how many frames or channels."""

    time: float
    time_span: int
    channels: float
    channel_span: int
    least: int = 0
    """Spans of frames in each clip at least."""


class SpeechEncoder(nn.Module):
    """A Wav2Vec2, HuBERT or WavLM model of transformers (`model`), run so that padding changes nothing.

    Its own modules and weights are used; what differs from its `forward`: samples are normalised here, masks are drawn
    on the device, layers are dropped without waiting for it, and statistics over time know where a clip ends.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        masking: Masking,
        *,
        normalise: bool = True,
        layer_drop: float = 0.0,
        speed: float = 0.0,
        feature_gradient: float = 1.0,
    ) -> None:
        super().__init__()
        self.feature_extractor = model.feature_extractor
        self.feature_projection = model.feature_projection
        self.encoder = model.encoder
        self.masked_spec_embed = model.masked_spec_embed
        self.config: Any = model.config
        self.masking = masking
        self.normalise = normalise
        self.layer_drop = layer_drop
        self.speed = speed
        self.feature_gradient = feature_gradient

    def forward(self, audio: Tensor, audio_length: Tensor, masked: Tensor | None = None) -> Frames:
        """Samples (batch, samples), int16, and how many of them count (batch,) in.

        `masked` (batch, frames) says which frames are hidden from the transformer; None: in training random spans of
        frames and channels, else none.
        """
        audio = audio.float() / 2**15
        if self.training and self.speed:
            audio, audio_length = played(audio, audio_length, self.speed)
        if self.normalise:
            audio = normalised(audio, audio_length)
        convolved = self._features(audio, audio_length)
        if self.feature_gradient != 1:
            convolved = self.feature_gradient * convolved + (1 - self.feature_gradient) * convolved.detach()
        lengths = frame_count(audio_length, self.config)
        projected = self.feature_projection(convolved)
        hidden, features = projected if isinstance(projected, tuple) else (projected, convolved)
        if masked is not None:
            hidden = self._hide(hidden, masked)
        elif self.training:
            hidden, masked = self._mask(hidden, lengths)
        return Frames(self._context(hidden, lengths), lengths, convolved, features, masked)

    def _features(self, audio: Tensor, lengths: Tensor) -> Tensor:
        """Convolutions over (batch, samples) to (batch, frames, channels)."""
        hidden = audio[:, None]
        for number, layer in enumerate(self.feature_extractor.conv_layers):
            if number == 0 and self.config.feat_extract_norm == "group":
                hidden = layer.conv(hidden)
                frames = conv_length(lengths, self.config.conv_kernel[0], self.config.conv_stride[0])
                hidden = layer.activation(over_time(hidden, frames, layer.layer_norm))
            else:
                hidden = layer(hidden)
        return hidden.transpose(1, 2)

    def _mask(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hide spans of frames, and put zero where spans of channels are masked."""
        masking, (batch, frames, width) = self.masking, hidden.shape
        masked = spans(lengths, frames, masking.time, masking.time_span, masking.least)
        hidden = self._hide(hidden, masked)
        if masking.channels:
            full = torch.full((batch,), width, device=hidden.device)
            hidden = hidden.masked_fill(spans(full, width, masking.channels, masking.channel_span)[:, None], 0.0)
        return hidden, masked

    def _hide(self, hidden: Tensor, masked: Tensor) -> Tensor:
        """Put a learnt vector where frames are masked."""
        return torch.where(masked[..., None], self.masked_spec_embed.to(hidden.dtype), hidden)

    def _context(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """The transformer over (batch, frames, width)."""
        encoder, stable = self.encoder, self.config.do_stable_layer_norm
        inside = valid(lengths, hidden.shape[1])
        hidden = hidden.masked_fill(~inside[..., None], 0.0)
        hidden = hidden + self._positions(hidden)
        if not stable:
            hidden = encoder.layer_norm(hidden)
        hidden = encoder.dropout(hidden)
        wavlm = self.config.model_type == "wavlm"
        more: dict[str, Any] = {"position_bias": None} if wavlm else {}
        # A clip without frames sees all, since attention to nothing is no number.
        mask = inside if wavlm else (inside | ~inside.any(dim=1, keepdim=True))[:, None, None]
        for number, layer in enumerate(encoder.layers):
            outputs = layer(hidden, attention_mask=mask, **more)
            after = outputs[0] if isinstance(outputs, tuple) else outputs
            if wavlm:
                more = {"position_bias": outputs[1]}
            hidden = self._dropped(hidden, after) if number else after
        if stable:
            hidden = encoder.layer_norm(hidden)
        return hidden

    def _positions(self, hidden: Tensor) -> Tensor:
        """What tells the transformer where a frame is."""
        convolve, config = self.encoder.pos_conv_embed, self.config
        narrow = config.hidden_size // config.num_conv_pos_embedding_groups < WIDE
        if narrow and hidden.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return convolve(hidden.float())  # type: ignore[no-any-return]
        return convolve(hidden)  # type: ignore[no-any-return]

    def _dropped(self, before: Tensor, after: Tensor) -> Tensor:
        """Leave the layer out in a share of training steps; decided on the device, so that nothing waits for it."""
        if not self.training or not self.layer_drop:
            return after
        return torch.where(torch.rand((), device=before.device) < self.layer_drop, before, after)


def conv_length(lengths: Tensor, kernel: int, stride: int) -> Tensor:
    """Output lengths (batch,) of an unpadded convolution over inputs of these lengths."""
    return (torch.div(lengths - kernel, stride, rounding_mode="floor") + 1).clamp(min=0)


def frame_count(lengths: Tensor, config: Any) -> Tensor:
    """Frames (batch,) that all convolutions together make of clips of these lengths in samples."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        lengths = conv_length(lengths, kernel, stride)
    return lengths


def normalised(audio: Tensor, lengths: Tensor) -> Tensor:
    """Samples (batch, samples) around zero with deviation one in each clip, and zero beyond its length."""
    inside, count = valid(lengths, audio.shape[1]), lengths[:, None].clamp(min=1)
    mean = (audio * inside).sum(dim=1, keepdim=True) / count
    centred = (audio - mean) * inside
    # An epsilon as in transformers' feature extractor.
    return centred * torch.rsqrt(centred.square().sum(dim=1, keepdim=True) / count + 1e-7)


def played(audio: Tensor, lengths: Tensor, most: float) -> tuple[Tensor, Tensor]:
    """Each clip played faster or slower by a share of up to `most`, drawn for each, and its new length.

    What is slowed down must not outgrow the batch (batch, samples). Speed perturbation as of Ko et al. (2015), with
    linear interpolation, and pitch changed too.
    """
    size = audio.shape[1]
    speed = 1 + most * (2 * torch.rand(len(lengths), device=audio.device) - 1)
    speed = speed.maximum(lengths / size)
    lengths = (lengths / speed).long()
    places = torch.arange(size, device=audio.device) * speed[:, None]
    before = places.long().clamp(max=size - 2)
    share = (places - before).clamp(max=1)
    mixed = audio.gather(1, before) * (1 - share) + audio.gather(1, before + 1) * share
    return mixed * valid(lengths, size), lengths


def over_time(hidden: Tensor, lengths: Tensor, norm: nn.GroupNorm) -> Tensor:
    """A group norm of one channel a group over (batch, channels, frames), blind to what is beyond each length.

    The pretrained models were run over zeros there, which makes an answer depend on its batch.
    """
    inside, count = valid(lengths, hidden.shape[2])[:, None], lengths[:, None, None].clamp(min=1)
    wide = hidden.float()
    mean = (wide * inside).sum(dim=2, keepdim=True) / count
    variance = ((wide - mean) * inside).square().sum(dim=2, keepdim=True) / count
    scaled = (wide - mean) * torch.rsqrt(variance + norm.eps)
    return (scaled * norm.weight[:, None] + norm.bias[:, None]).to(hidden.dtype)


def build(shape: Mapping[str, Any]) -> PreTrainedModel:
    """A model of this configuration, as plain data, freshly initialised, with our attention where it can have it.

    Raises CheckpointError when the configuration names code.
    """
    model = fresh_model(shape)
    if model.config.model_type != "wavlm":
        use_attention(model)
    return model
