"""Attention for encoders of transformers: quick where PyTorch's own is slow, and of packed inputs without padding."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

ATTENTION = "taskkit"
"""What transformers knows our attention by, once it is registered."""
MATMUL_TOKENS = 256
"""Up to so many tokens, in bfloat16 on a CPU, products of matrices are quicker to train than PyTorch's fused kernel."""
VARLEN = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 11)
"""Whether PyTorch's kernel for texts of different lengths takes a scale and a window."""


def use_attention(model: PreTrainedModel) -> None:
    """Let a model of transformers ask our attention in every layer.

    No function for masks is registered beside it, so that a mask arrives as it was given to the layers: bool, and true
    for what is no padding, (batch, 1, 1, tokens).
    """
    AttentionInterface.register(ATTENTION, attention)
    model.set_attn_implementation(ATTENTION)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Every token of a text looks at all others of it, or at those nearer than `sliding_window`.

    `query`, `key` and `value` are (batch, heads, tokens, width); the answer is (batch, tokens, heads, width).
    `attention_mask` is bool and true for what is no padding: (batch, 1, 1, tokens). With `cu_seq_lens_q`, where each
    text begins and the last one ends, the batch is one row of texts, none longer than `max_length_q`. The names
    are those of transformers.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if cu_seq_lens_q is None:
        mixed = attend(query, key, value, attention_mask, scale, dropout, sliding_window)
    elif _flash(query):
        mixed = _flash_attend(query, key, value, cu_seq_lens_q, max_length_q, scale, sliding_window)
    else:
        lengths = cu_seq_lens_q.diff().tolist()
        parts = (torch.split(tensor, lengths, dim=2) for tensor in (query, key, value))
        texts = [attend(q, k, v, None, scale, window=sliding_window) for q, k, v in zip(*parts, strict=True)]
        mixed = torch.cat(texts, dim=2)
    return mixed.transpose(1, 2), None


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    dropout: float = 0.0,
    window: int | None = None,
) -> Tensor:
    """Scaled dot-product attention; all are (batch, heads, tokens, width)."""
    tokens = query.shape[-2]
    if window is not None and window < tokens:
        place = torch.arange(tokens, device=query.device)
        near = (place[:, None] - place).abs() < window
        mask = near if mask is None else mask & near
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or tokens > MATMUL_TOKENS:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale)
    # The backward pass of the fused kernel takes 2 to 6 times as long here, for 256 to 32 tokens.
    weights = (query * scale) @ key.transpose(-2, -1)
    if mask is not None:
        weights = weights + torch.zeros(mask.shape, dtype=weights.dtype).masked_fill_(~mask, -math.inf)
    shares = weights.softmax(dim=-1).to(value.dtype)
    return (F.dropout(shares, dropout) if dropout else shares) @ value


def _flash(query: Tensor) -> bool:
    """Whether there is a kernel for texts of different lengths in one row."""
    halves = query.dtype in (torch.float16, torch.bfloat16)
    return VARLEN and query.device.type == "cuda" and halves and query.shape[-1] % 8 == 0


def _flash_attend(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int, scale: float, window: int | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    side = -1 if window is None else window - 1
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # each (tokens, heads, width)
    mixed = varlen_attn(q, k, v, offsets, offsets, longest, longest, scale=scale, window_size=(side, side))
    assert isinstance(mixed, Tensor)
    return mixed.transpose(0, 1)[None]
