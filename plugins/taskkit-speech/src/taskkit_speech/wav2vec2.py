"""Wav2Vec2 (Baevski et al., 2020), HuBERT and WavLM of transformers, small ones from scratch or pretrained ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig

from taskkit import Classes, DataSpec, Model, Origin, Processor, TaskkitError
from taskkit_speech import pretrained, sections
from taskkit_speech.encoder import Masking, SpeechEncoder, build
from taskkit_speech.facts import Audio, Masked
from taskkit_speech.heads import Classifier, Pretrainer, Recogniser
from taskkit_speech.processor import Hearing, SpeechProcessor
from taskkit_speech.windows import Grid

DEFAULT_RATE = 16000
DERIVED = {"codevector_dim", "proj_codevector_dim"}
"""What follows from the width when a network is made from scratch, and was not asked for by a person."""
LEAST = 2
"""Spans masked at least in each clip of a pretraining, as in transformers: without a mask nothing is learnt."""


class Wav2vec2(Model):
    """One body for transcripts, classes and self-supervision; the head is what the data's target asks for."""

    config: sections.Wav2vec2

    def processor(self, spec: DataSpec) -> SpeechProcessor:
        """Recordings at the rate of the pretrained network, of `sample_rate`, or of the data."""
        assert isinstance(spec.input, Audio)
        self.data_rate = spec.input.sample_rate
        return SpeechProcessor(spec, self.config, self._hearing)

    def network(self, spec: DataSpec, processor: Processor) -> nn.Module:
        """The body with a fresh head; nothing pretrained yet."""
        assert isinstance(processor, SpeechProcessor)
        self.alphabet = processor.alphabet
        with _explained(self.config):
            return self._network(spec, processor)

    def _network(self, spec: DataSpec, processor: SpeechProcessor) -> nn.Module:
        encoder = self._encoder(processor.hearing, pretraining=isinstance(spec.target, Masked))
        if self.config.overrides:
            _try(encoder)
        if isinstance(spec.target, Masked):
            return self._pretrainer(encoder)
        if processor.alphabet is not None:
            return Recogniser(encoder, len(processor.alphabet))
        assert isinstance(spec.target, Classes)
        return Classifier(encoder, len(spec.target.names))

    def load_pretrained(self, network: nn.Module) -> Iterable[Origin]:
        """Put in the pretrained weights, if any; the head stays fresh unless it is for the same alphabet."""
        if self.config.weights is None:
            return []
        return [pretrained.put_into(network, self.config.weights, self.alphabet)]

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The layers of the transformer."""
        return list(network.get_submodule("encoder.encoder.layers").children())

    def _hearing(self) -> Hearing:
        config = self.config
        if config.weights is None:
            with _explained(config):
                shape = _shape(config)
            found = Hearing(shape, config.sample_rate or self.data_rate or DEFAULT_RATE, normalise=True)
        else:
            found = pretrained.hearing(config.weights, _dropouts(config) | config.overrides)
            self._compare(found)
        if found.shape.get("add_adapter"):
            raise TaskkitError(
                f"{pretrained.KEY if config.weights else 'model.overrides'}: {config.weights or 'the network'} has an "
                "adapter, layers that shorten time behind the transformer (add_adapter in its configuration). This "
                "model runs none. Leave it out with model.overrides={add_adapter: false}, or name other weights."
            )
        return found

    def _compare(self, found: Hearing) -> None:
        """Raise TaskkitError when settings ask for another shape or rate than pretrained weights have."""
        usual = sections.Wav2vec2(dropout=self.config.dropout)
        ours, fresh = _shape(replace(self.config, overrides={})), _shape(usual)
        asked = {name: value for name, value in ours.items() if value != fresh.get(name) and name not in DERIVED}
        if self.config.mlp_ratio == usual.mlp_ratio:
            asked.pop("intermediate_size", None)
        has = {**found.shape, "sample_rate": found.sample_rate}
        if self.config.sample_rate is not None:
            asked["sample_rate"] = self.config.sample_rate
        other = [name for name, value in asked.items() if name not in self.config.overrides and has.get(name) != value]
        if other:
            raise TaskkitError(
                f"model.weights: {self.config.weights} has {other[0]} {has.get(other[0])}; the recipe's model section "
                f"asks for {asked[other[0]]}. With weights, the shape is theirs. Leave such settings out."
            )

    def _encoder(self, hearing: Hearing, *, pretraining: bool) -> SpeechEncoder:
        config = self.config
        masking = Masking(
            config.mask_time,
            config.mask_time_span,
            config.mask_channels,
            config.mask_channel_span,
            least=LEAST if pretraining else 0,
        )
        return SpeechEncoder(
            build(hearing.shape),
            masking,
            normalise=hearing.normalise,
            layer_drop=config.layer_drop,
            speed=config.speed,
            feature_gradient=config.feature_gradient,
        )

    def _pretrainer(self, encoder: SpeechEncoder) -> Pretrainer:
        if encoder.config.model_type != "wav2vec2":
            raise TaskkitError(
                f"model.family: speech.pretraining is the objective of wav2vec 2.0; a {encoder.config.model_type} "
                "model learns by another. Set model.family to wav2vec2."
            )
        return Pretrainer(encoder)


def _shape(config: sections.Wav2vec2) -> dict[str, Any]:
    """The configuration of a network of this section, from scratch."""
    shape = {
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": round(config.width * config.mlp_ratio),
        "conv_dim": config.conv_widths,
        "conv_kernel": config.conv_kernels,
        "conv_stride": config.conv_strides,
        "conv_bias": True,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
        "num_codevector_groups": config.codebooks,
        "num_codevectors_per_group": config.codes,
        "codevector_dim": config.width,
        "proj_codevector_dim": config.width,
        **_dropouts(config),
    }
    if config.family != "wav2vec2":
        shape = {name: value for name, value in shape.items() if "codev" not in name}
    fresh = pretrained.plain(AutoConfig.for_model(config.family, **shape))
    if not config.overrides:
        return fresh
    pretrained.overridden(fresh, config.overrides)
    # Once more, since some values of a configuration follow from others.
    return pretrained.plain(AutoConfig.for_model(config.family, **shape | config.overrides))


@contextmanager
def _explained(config: sections.Wav2vec2) -> Iterator[None]:
    """Raise TaskkitError when no network can be built with what a person wrote for transformers to check."""
    try:
        yield
    except (ArithmeticError, LookupError, RuntimeError, StrictDataclassError, TypeError, ValueError) as error:
        if not config.overrides:
            raise
        reason = f"there is no {error}" if isinstance(error, KeyError) else str(error).strip().splitlines()[-1].strip()
        raise TaskkitError(
            f"model.overrides: no network can be built with {config.overrides}: {reason.rstrip('.')}. Names and values "
            "as in a config.json of transformers, which fit together, were expected. Correct them."
        ) from None


def _try(encoder: SpeechEncoder) -> None:
    """Let it hear a moment of silence, since transformers checks some values only then."""
    grid = Grid.of(encoder.config.conv_kernel, encoder.config.conv_stride)
    samples, training = grid.field + grid.hop, encoder.training
    with torch.no_grad():
        encoder.eval()(torch.zeros(1, samples, dtype=torch.int16), torch.tensor([samples]))
    encoder.train(training)


def _dropouts(config: sections.Wav2vec2) -> dict[str, Any]:
    """Every dropout of the transformer has one share."""
    if config.dropout is None:
        return {}
    return dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "final_dropout"), config.dropout)
