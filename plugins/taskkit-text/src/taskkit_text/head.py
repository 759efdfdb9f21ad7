"""What makes one answer of the tokens of a text: pooling, dropout and a linear layer."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """The mean of all tokens or the first of them, dropout, and logits."""

    def __init__(self, width: int, classes: int, pooling: Literal["first", "mean"], dropout: float) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def padded(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Logits (texts, classes) of (texts, tokens, width); `mask` is true for what is no padding."""
        if self.pooling == "first":
            return self._logits(hidden[:, 0])
        if mask is None:
            return self._logits(hidden.mean(dim=1))
        return self._logits((hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))

    def packed(self, hidden: Tensor, offsets: Tensor) -> Tensor:
        """Logits (texts, classes) of (all tokens, width); `offsets` say where each text begins and the last ends."""
        lengths = offsets.diff()
        # Given the size, it does not wait for the device.
        text = torch.arange(len(lengths), device=hidden.device).repeat_interleave(lengths, output_size=len(hidden))
        return self.of_texts(hidden, offsets, text)

    def of_texts(self, hidden: Tensor, offsets: Tensor, text: Tensor) -> Tensor:
        """The same where it is known of which `text` each token is, (all tokens,)."""
        if self.pooling == "first":
            return self._logits(hidden[offsets[:-1].long()])
        lengths = offsets.diff()
        sums = hidden.new_zeros(lengths.shape[0], hidden.shape[-1], dtype=torch.float32)
        return self._logits(sums.index_add(0, text, hidden.float()) / lengths[:, None])

    def _logits(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits
