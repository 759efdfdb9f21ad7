"""Encoders of Hugging Face transformers (Wolf et al., 2020), pretrained or not, with a head of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskkit import Classes, DataError, DataSpec, Example, Model, Origin, Sample, TaskkitError
from taskkit_text import encoder as encoders
from taskkit_text import handover, lora, sections, weights
from taskkit_text.head import Head
from taskkit_text.tokens import TokenProcessor
from taskkit_transformers import fill, overridden


class Transformer(Model[sections.Transformer, "TransformerProcessor"]):
    """Any encoder that transformers' AutoModel can make, under a mean or first-token head."""

    def processor(self, spec: DataSpec) -> TransformerProcessor:
        """The encoder's own tokenizer, once it is fitted."""
        return TransformerProcessor(spec, self.config)

    def network(self, spec: DataSpec, processor: TransformerProcessor) -> nn.Module:
        """The encoder, with its adapters and what is to stay fixed, and a fresh head; nothing pretrained yet.

        Raises DataError when texts may be longer than the encoder takes, and TaskkitError for a shape that cannot be.
        """
        assert isinstance(spec.target, Classes)
        encoder = encoders.build(processor.encoder, self.config.packed)
        room = encoders.positions(encoder)
        if room is not None and self.config.max_length > room:
            raise DataError(
                f"model.max_length: {self.config.max_length} tokens are more than the {room} positions that this "
                f"encoder learnt. Set it to {room} at most; model.truncate says what is kept of longer texts."
            )
        if self.config.lora is not None:
            lora.insert(encoder, self.config.lora)
        self._freeze(encoder)
        head = Head(encoder.config.hidden_size, len(spec.target), self.config.pooling, self.config.head_dropout)
        return TextTransformer(encoder, head, self.config.max_length)

    def load_pretrained(self, network: nn.Module, processor: TransformerProcessor) -> Iterable[Origin]:
        """Put the pretrained weights into the encoder; raises SourceError or CheckpointError."""
        if not self.config.pretrained:
            return []
        state, origin = weights.state(self.config.weights, processor.encoder)
        encoder = network.get_submodule("encoder")
        fill(encoder, state, self.config.weights, lora.own_names(encoder))
        return [origin]

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The encoder's layers."""
        assert isinstance(network, TextTransformer)
        return encoders.layers(network.encoder)

    def exportable(self, network: nn.Module) -> nn.Module:
        """Itself where texts are padded; packed ones are told apart by a mask, since a program cannot cut them up."""
        assert isinstance(network, TextTransformer)
        return PackedByMask(network) if self.config.packed else network

    def save_pretrained(
        self, network: nn.Module, folder: Path, spec: DataSpec, processor: TransformerProcessor
    ) -> Callable[[Example, Sample], Tensor]:
        """The encoder under transformers' own classifier, where that can answer as the first-token head does."""
        assert isinstance(network, TextTransformer)
        assert isinstance(spec.target, Classes)
        return handover.save(network.encoder, network.head, spec.target.names, processor, folder)

    def _freeze(self, encoder: PreTrainedModel) -> None:
        count, layers = self.config.freeze_layers, encoders.layers(encoder)
        if count > len(layers):
            raise TaskkitError(
                f"model.freeze_layers: {count} layers cannot be kept as they are, for this encoder shows "
                f"{len(layers)}. Set it to {len(layers)} at most; optim.freeze takes names of parameters."
            )
        if count:
            first = next(layers[0].parameters())
            before = takewhile(lambda parameter: parameter is not first, encoder.parameters())
            for parameter in chain(before, *(layer.parameters() for layer in layers[:count])):
                parameter.requires_grad_(requires_grad=False)


class TransformerProcessor(TokenProcessor):
    """The tokenizer of an encoder, and its configuration, so that a run needs nothing else to be rebuilt."""

    network_state = ("encoder",)
    encoder: dict[str, Any]

    def __init__(self, spec: DataSpec, config: sections.Transformer) -> None:
        super().__init__(
            spec, config.max_characters, config.max_length, config.truncate, config.round_to, config.packed
        )
        self.config = config

    def fit(self, examples: Sequence[Example]) -> None:
        """Find the encoder's tokenizer and configuration; the examples teach nothing."""
        settings, self.tokenizer = weights.shape(self.config.weights, self.config.pretrained)
        found = overridden(settings, self.config.overrides)
        weights.check_vocabulary(self.tokenizer, found)
        self.encoder = found if self.config.dropout is None else encoders.with_dropout(found, self.config.dropout)
        self.padding = found.get("pad_token_id") or 0
        self.segments = self.pairs and found.get("type_vocab_size", 0) > 1

    def state_dict(self) -> Mapping[str, Any]:
        """The tokenizer and the encoder's configuration."""
        return {**super().state_dict(), "encoder": self.encoder}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.encoder = state["encoder"]


class TextTransformer(nn.Module):
    """An encoder and a head; a text has at most `longest` tokens."""

    def __init__(self, encoder: PreTrainedModel, head: Head, longest: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.longest = longest
        self.first_position = encoders.first_position(encoder)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Logits (texts, classes) of texts that are padded (texts, tokens), or packed (1, all tokens) at `offsets`."""
        inputs = {"input_ids": input_ids} | ({} if token_type_ids is None else {"token_type_ids": token_type_ids})
        if offsets is None or position_ids is None:
            return self.head.padded(encoders.answer_padded(self.encoder, attention_mask, **inputs), attention_mask)
        inputs["position_ids"] = position_ids + self.first_position
        states = encoders.answer_packed(self.encoder, offsets, self.longest, **inputs)
        return self.head.packed(states, offsets)


class PackedByMask(nn.Module):
    """What answers packed texts as a TextTransformer does, with one attention over all tokens."""

    def __init__(self, network: TextTransformer) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.head = network.head
        self.first_position = network.first_position

    def forward(
        self, input_ids: Tensor, position_ids: Tensor, offsets: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Logits (texts, classes) of texts in one row (1, all tokens) that begin at `offsets` (texts + 1,)."""
        inputs = {"input_ids": input_ids} | ({} if token_type_ids is None else {"token_type_ids": token_type_ids})
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        text = (place[:, None] >= offsets[1:]).sum(dim=1)
        states = self.encoder(
            **inputs,
            position_ids=position_ids + self.first_position,
            attention_mask=(text[:, None] == text)[None, None],
        ).last_hidden_state
        return self.head.of_texts(states[0], offsets, text)
