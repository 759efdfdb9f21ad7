"""Encoders of transformers: made of a configuration, with attention of ours where they answer the same with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskkit import CheckpointError, Sample, TaskkitError
from taskkit_text.tokens import pack, pad
from taskkit_transformers import ATTENTION, fresh_model, reason, use_attention

PROBE = (3, 5)
"""Tokens of the two texts by which attention of ours is tried."""


def build(settings: Mapping[str, Any], packed: bool) -> PreTrainedModel:
    """An encoder of this configuration, as plain data, without a pooler, freshly initialised.

    Raises TaskkitError when there can be no such encoder, or when texts are to be packed and it cannot be told where
    each one begins, and CheckpointError when the configuration names code.
    """
    try:
        encoder = fresh_model(settings)
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # The head has its own pooling, and weights without gradients only cost.
        adopted = _adopts(encoder, packed)
    except CheckpointError:
        raise
    except Exception as error:  # Each kind of encoder has errors of its own for what it cannot be.
        raise TaskkitError(
            f"model.overrides: there can be no {settings.get('model_type')} encoder of this shape: {reason(error)}. "
            "Numbers that go together were expected, such as a width that is a multiple of the heads. Correct "
            "model.overrides, or the config.json of model.weights."
        ) from error
    if not adopted and packed:
        raise TaskkitError(
            f"model.packed: texts cannot be packed for {encoder.config.model_type}, which does not keep them apart. "
            "An encoder that takes positions and leaves attention to transformers' AttentionInterface was expected, as "
            "BERT, RoBERTa, DistilBERT and ModernBERT do. Set model.packed to false."
        )
    return encoder


def answer_padded(encoder: PreTrainedModel, mask: Tensor | None, **inputs: Tensor) -> Tensor:
    """The hidden states (texts, tokens, width); `mask`, bool (texts, tokens), is true for what is no padding."""
    if mask is not None:
        # In four dimensions it reaches attention as it is; in two, transformers looks whether all of it is true,
        # for which the host waits for the device.
        ours = encoder.config._attn_implementation == ATTENTION
        inputs["attention_mask"] = mask[:, None, None, :] if ours else mask.long()
    states: Tensor = encoder(**inputs).last_hidden_state
    return states


def answer_packed(encoder: PreTrainedModel, offsets: Tensor, longest: int, **inputs: Tensor) -> Tensor:
    """The hidden states (all tokens, width) of texts in one row, each of at most `longest` tokens.

    The `position_ids` among the inputs begin, with each text, at `first_position`.
    """
    states: Tensor = encoder(**inputs, cu_seq_lens_q=offsets, max_length_q=longest).last_hidden_state
    return states[0]


def first_position(encoder: nn.Module) -> int:
    """The position of the first token of a text: 0, or, as in RoBERTa, the one after that of padding."""
    table = _position_table(encoder)
    return 0 if table is None or table.padding_idx is None else table.padding_idx + 1


def positions(encoder: nn.Module) -> int | None:
    """How many positions there are, where they are learnt."""
    table = _position_table(encoder)
    return None if table is None else table.num_embeddings - first_position(encoder)


def layers(encoder: PreTrainedModel) -> Sequence[nn.Module]:
    """The layers from input to output; empty when it does not hold them as one list."""
    lists = (module for module in encoder.modules() if isinstance(module, nn.ModuleList))
    return next((list(found) for found in lists if len(found) == encoder.config.num_hidden_layers), [])


def with_dropout(settings: Mapping[str, Any], share: float) -> dict[str, Any]:
    """A configuration in which every dropout that there is has this share."""
    ours = {name for name, value in settings.items() if "dropout" in name and isinstance(value, float | int)}
    return {name: share if name in ours else value for name, value in settings.items()}


def _position_table(encoder: nn.Module) -> nn.Embedding | None:
    found = (
        module
        for name, module in encoder.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
    )
    return next(found, None)


def _adopts(encoder: PreTrainedModel, packed: bool) -> bool:
    """Give it attention of ours, if with that it says of two texts together what it said of each alone."""
    if not getattr(encoder, "_supports_attention_backend", False):
        return False
    padding, own = encoder.config.pad_token_id or 0, encoder.config._attn_implementation
    first, second = ((torch.arange(length) + padding + 1) % encoder.config.vocab_size for length in PROBE)
    encoder.eval()
    with torch.no_grad():
        alone = torch.cat([answer_padded(encoder, None, input_ids=text[None])[0] for text in (first, second)])
        use_attention(encoder)
        try:
            together = _together(encoder, [{"input_ids": first}, {"input_ids": second}], padding, packed)
            alike = torch.allclose(alone, together, atol=1e-4)
        except (TypeError, RuntimeError):  # It takes no positions, or asks attention for more than there is here.
            alike = False
    encoder.train()
    if not alike:
        encoder.set_attn_implementation(own)
    return alike


def _together(encoder: PreTrainedModel, samples: Sequence[Sample], padding: int, packed: bool) -> Tensor:
    if packed:
        batch = pack(samples)
        batch["position_ids"] += first_position(encoder)
        return answer_packed(encoder, longest=max(PROBE), **batch)
    batch = pad(samples, max(PROBE), padding)
    mask = batch.pop("attention_mask")
    return answer_padded(encoder, mask, **batch)[mask]
