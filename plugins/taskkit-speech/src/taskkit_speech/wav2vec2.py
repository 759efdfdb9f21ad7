"""Wav2Vec2 (Baevski et al., 2020), HuBERT and WavLM of transformers, small ones from scratch or pretrained ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig

from taskkit import Classes, DataSpec, Example, Fact, Model, Origin, Sample, TaskkitError
from taskkit_speech import handover, pretrained, sections
from taskkit_speech.encoder import Masking, SpeechEncoder, build
from taskkit_speech.facts import Audio, Masked
from taskkit_speech.heads import Classifier, Pretrainer, Recogniser
from taskkit_speech.processor import FrontEnd, SpeechProcessor
from taskkit_speech.windows import Grid
from taskkit_transformers import KEY, overridden, plain

DEFAULT_RATE = 16000
DERIVED = {"codevector_dim", "proj_codevector_dim"}
"""What follows from the width when a network is made from scratch: no setting of a person."""
LEAST = 2
"""Spans masked at least in each clip of a pretraining, as in transformers: without a mask nothing is learnt."""


class Wav2vec2(Model[sections.Wav2vec2, SpeechProcessor]):
    """One body for transcripts, classes and self-supervision; the head is what the data's target needs."""

    def processor(self, spec: DataSpec) -> SpeechProcessor:
        """Recordings at the rate of the pretrained network, of `sample_rate`, or of the data."""
        return SpeechProcessor(spec, self.config, partial(self._front_end, spec))

    def network(self, spec: DataSpec, processor: SpeechProcessor) -> nn.Module:
        """The body with a fresh head; nothing pretrained yet."""
        with _explained(self.config):
            return self._network(spec.target, processor)

    def _network(self, target: Fact, processor: SpeechProcessor) -> nn.Module:
        encoder = self._encoder(processor.front_end, pretraining=isinstance(target, Masked))
        if self.config.overrides:
            _try(encoder)
        if isinstance(target, Classes):
            return Classifier(encoder, len(target))
        if processor.alphabet is not None:
            return Recogniser(encoder, len(processor.alphabet))
        return self._pretrainer(encoder)

    def load_pretrained(self, network: nn.Module, processor: SpeechProcessor) -> Iterable[Origin]:
        """Put in the pretrained weights, if any; the head stays fresh unless it is for the same alphabet."""
        if self.config.weights is None:
            return []
        return [pretrained.put_into(network, self.config.weights, processor)]

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The layers of the transformer."""
        return list(network.get_submodule("encoder.encoder.layers").children())

    def save_pretrained(
        self, network: nn.Module, folder: Path, spec: DataSpec, processor: SpeechProcessor
    ) -> Callable[[Example, Sample], Any]:
        """The body under transformers' own head for characters or classes.

        Raises TaskkitError for what pretrains.
        """
        if isinstance(network, Recogniser) and processor.alphabet is not None:
            return handover.save_recogniser(network, processor.alphabet, processor, folder)
        if isinstance(network, Classifier) and isinstance(spec.target, Classes):
            return handover.save_classifier(network, spec.target.names, processor.front_end, folder)
        raise TaskkitError(
            "--to huggingface: what is pretrained has no answer that could be compared. Fine-tune it by model.weights, "
            "or export --to safetensors."
        )

    def _front_end(self, spec: DataSpec) -> FrontEnd:
        config = self.config
        if config.weights is None:
            with _explained(config):
                shape = _shape(config)
            data_rate = spec.input.sample_rate if isinstance(spec.input, Audio) else None
            front_end = FrontEnd(shape, config.sample_rate or data_rate or DEFAULT_RATE, normalise=True)
        else:
            front_end = pretrained.front_end(config.weights, _dropouts(config) | config.overrides)
            self._compare(front_end)
        if front_end.shape.get("add_adapter"):
            raise TaskkitError(
                f"{KEY if config.weights else 'model.overrides'}: {config.weights or 'the network'} has an "
                "adapter, layers that shorten time behind the transformer (add_adapter in its configuration). This "
                "model runs none. Leave it out with model.overrides={add_adapter: false}, or name other weights."
            )
        return front_end

    def _compare(self, theirs: FrontEnd) -> None:
        """Raise TaskkitError when settings name another shape or rate than pretrained weights have."""
        usual = sections.Wav2vec2(dropout=self.config.dropout)
        ours, fresh = _shape(replace(self.config, overrides={})), _shape(usual)
        set_by_hand = {name: value for name, value in ours.items() if value != fresh.get(name) and name not in DERIVED}
        if self.config.mlp_ratio == usual.mlp_ratio:
            set_by_hand.pop("intermediate_size", None)
        has = {**theirs.shape, "sample_rate": theirs.sample_rate}
        if self.config.sample_rate is not None:
            set_by_hand["sample_rate"] = self.config.sample_rate
        kept = self.config.overrides
        if other := [name for name, value in set_by_hand.items() if name not in kept and has.get(name) != value]:
            raise TaskkitError(
                f"model.weights: {self.config.weights} has {other[0]} {has.get(other[0])}; the recipe's model section "
                f"asks for {set_by_hand[other[0]]}. With weights, the shape is theirs. Leave such settings out."
            )

    def _encoder(self, front_end: FrontEnd, *, pretraining: bool) -> SpeechEncoder:
        config = self.config
        masking = Masking(
            config.mask_time,
            config.mask_time_span,
            config.mask_channels,
            config.mask_channel_span,
            least=LEAST if pretraining else 0,
        )
        return SpeechEncoder(
            build(front_end.shape),
            masking,
            normalise=front_end.normalise,
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
    fresh = plain(AutoConfig.for_model(config.family, **shape))
    if not config.overrides:
        return fresh
    overridden(fresh, config.overrides)
    # Once more, since some values of a configuration follow from others.
    return plain(AutoConfig.for_model(config.family, **shape | config.overrides))


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
    """Run it on a moment of silence, since transformers checks some values only then."""
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
