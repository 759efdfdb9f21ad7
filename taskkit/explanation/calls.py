"""What a network looks up and where it attends, seen from outside, so that it needs no code for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Lookups(TorchFunctionMode):
    """Sees which rows are taken out of tables of embeddings, and puts other vectors there where they are given.

    `instead` holds them by the number of the call, of the shape of its answer.
    """

    def __init__(self, instead: Mapping[int, Tensor] | None = None) -> None:
        super().__init__()
        self.instead = instead or {}
        self.rows: list[Tensor] = []
        """The numbers of the rows, for each call."""
        self.vectors: list[Tensor] = []
        """What was found there."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call torch, and look on where it is F.embedding."""
        found = func(*args, **(kwargs or {}))
        if func is not F.embedding:
            return found
        vectors = self.instead.get(len(self.rows))
        self.rows.append(args[0] if args else (kwargs or {})["input"])
        self.vectors.append(found if vectors is None else vectors.to(found.dtype).reshape(found.shape))
        return self.vectors[-1]


class Attention(TorchFunctionMode):
    """Sees how places attend to each other, for each call in order."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []
        """The mean over the heads, (batch, places, places)."""
        self.mixed: list[Tensor] = []
        """What came of it: (batch, heads, places, width), or (batch, places, width)."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call torch, and look on where it is attention."""
        given = dict(kwargs or {})
        if func is F.multi_head_attention_forward:
            given |= {"need_weights": True, "average_attn_weights": True}
            mixed, weights = func(*args, **given)
            self._seen(weights, mixed.transpose(0, 1) if mixed.ndim == 3 else mixed)
            return mixed, weights
        found = func(*args, **given)
        if func is F.scaled_dot_product_attention:
            names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
            self._seen(_weights(**{**dict(zip(names, args, strict=False)), **given}), found)
        return found

    def _seen(self, weights: Tensor, mixed: Tensor) -> None:
        self.weights.append(weights.detach())
        self.mixed.append(mixed)


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """How places attend to each other, (batch, places, places), as F.scaled_dot_product_attention weighs them."""
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(dim=-1).mean(dim=1)
