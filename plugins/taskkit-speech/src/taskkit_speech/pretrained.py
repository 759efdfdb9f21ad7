"""What is read of pretrained weights, from a run, a folder or the model hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from taskkit import Origin, TaskkitError
from taskkit_speech.processor import FrontEnd, SpeechProcessor
from taskkit_transformers import (
    KEY,
    fill,
    find_model,
    is_run,
    open_run,
    overridden,
    read_configuration,
    read_weights,
)

MODEL = "speech.wav2vec2"
FAMILIES = ("hubert", "wav2vec2", "wavlm")
EXTRACTOR = "preprocessor_config.json"
MASK = "masked_spec_embed"
"""Fine-tuned models often lack it; it is only used in training."""


def front_end(weights: str, overrides: Mapping[str, Any]) -> FrontEnd:
    """What a pretrained network is and takes; raises SourceError, CheckpointError or TaskkitError."""
    if is_run(weights):
        processor = open_run(weights, MODEL).built.processor
        assert isinstance(processor, SpeechProcessor)
        theirs = processor.front_end
    else:
        folder, _ = _find(weights)
        shape = read_configuration(folder)
        if shape["model_type"] not in FAMILIES:
            raise TaskkitError(
                f"{KEY}: {weights} is a {shape['model_type']} model. One of {', '.join(FAMILIES)} was expected. Name "
                "another."
            )
        extractor = json.loads((folder / EXTRACTOR).read_text()) if (folder / EXTRACTOR).is_file() else {}
        theirs = FrontEnd(shape, extractor.get("sampling_rate", 16000), extractor.get("do_normalize", True))
    return theirs._replace(shape=overridden(theirs.shape, overrides))


def put_into(network: nn.Module, weights: str, processor: SpeechProcessor) -> Origin:
    """Put pretrained weights into a new network: the body, and the head too if it is for the same characters.

    Raises SourceError, and CheckpointError when some are missing or of another shape.
    """
    encoder = network.get_submodule("encoder")
    if not is_run(weights):
        folder, origin = _find(weights)
        fill(encoder, read_weights(folder, processor.front_end.shape, optional=(MASK,)), weights)
        return origin
    donor = open_run(weights, MODEL).built
    assert isinstance(donor.processor, SpeechProcessor)
    fill(encoder, donor.network.get_submodule("encoder").state_dict(), weights)
    if processor.alphabet is not None and donor.processor.alphabet == processor.alphabet:
        fill(network.get_submodule("head"), donor.network.get_submodule("head").state_dict(), weights)
    return Origin(f"run {Path(weights).name}", weights)


def _find(weights: str) -> tuple[Path, Origin]:
    return find_model(weights, EXTRACTOR, _save_extractor, entry=f"speech-{weights}")


def _save_extractor(name: str, folder: Path) -> None:
    from transformers import AutoFeatureExtractor

    AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False).save_pretrained(folder)
