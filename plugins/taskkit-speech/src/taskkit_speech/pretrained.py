"""Where pretrained weights come from, a run, a folder or the model hub, and what is read from there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logs
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.utils import logging as logs

from taskkit import CheckpointError, Download, Origin, TaskkitError, fetch, load_run
from taskkit_speech.processor import Hearing, SpeechProcessor

log = logging.getLogger("taskkit")

KEY = "model.weights"
FAMILIES = ("hubert", "wav2vec2", "wavlm")
EXTRACTOR = "preprocessor_config.json"
UNTOLD = {"_name_or_path", "architectures", "dtype", "id2label", "label2id", "torch_dtype", "transformers_version"}
"""Where a configuration was read from, by whom it was written, and what it calls classes: no shape needs it."""
MASK = "masked_spec_embed"
"""Fine-tuned models often lack it; it is only used in training."""


def is_run(weights: str) -> bool:
    """Whether these are a run of taskkit."""
    return (Path(weights).expanduser() / "run.json").is_file()


def hearing(weights: str, overrides: Mapping[str, Any]) -> Hearing:
    """What a pretrained network is and hears; raises CheckpointError or TaskkitError."""
    if is_run(weights):
        processor = _processor(weights)
        return processor.hearing._replace(shape=overridden(processor.hearing.shape, overrides))
    folder, _ = find(weights)
    config = _configuration(folder)
    if config.model_type not in FAMILIES:
        raise TaskkitError(
            f"{KEY}: {weights} is a {config.model_type} model. One of {', '.join(FAMILIES)} was expected. Name another."
        )
    extractor = json.loads((folder / EXTRACTOR).read_text()) if (folder / EXTRACTOR).is_file() else {}
    return Hearing(
        overridden(plain(config), overrides),
        extractor.get("sampling_rate", 16000),
        extractor.get("do_normalize", True),
    )


def plain(config: PretrainedConfig) -> dict[str, Any]:
    """A configuration as plain data, all that a shape needs."""
    told: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in told.items() if name not in UNTOLD}


def put_into(network: nn.Module, weights: str, alphabet: Any) -> Origin:
    """Put pretrained weights into a new network: the body, and the head too if it answers the same characters.

    Raises CheckpointError when some are missing or of another shape.
    """
    encoder = network.get_submodule("encoder")
    if is_run(weights):
        run = load_run(Path(weights).expanduser())
        donor, known = run.built.network.state_dict(), run.built.processor
        same_head = isinstance(known, SpeechProcessor) and known.alphabet is not None and known.alphabet == alphabet
        state = {name.removeprefix("encoder."): value for name, value in donor.items() if name.startswith("encoder.")}
        _load(encoder, state, weights)
        if same_head:
            network.get_submodule("head").load_state_dict(
                {name.removeprefix("head."): value for name, value in donor.items() if name.startswith("head.")}
            )
        return Origin(f"run {Path(weights).name}", str(weights))
    folder, origin = find(weights)
    _load(encoder, _state(folder, encoder.config), str(folder))
    return origin


def find(weights: str) -> tuple[Path, Origin]:
    """The folder of a model of transformers: one that is named, or a copy of that of the hub; raises SourceError."""
    folder = Path(weights).expanduser()
    if folder.is_dir():
        return folder, Origin(weights, str(folder))
    hub = Download(f"the model hub, {weights}", partial(_download, weights))
    return fetch(f"speech-{weights}", {"config.json": None, "*.safetensors": None, "*.json": None}, [hub], key=KEY)


def _processor(weights: str) -> SpeechProcessor:
    processor = load_run(Path(weights).expanduser()).built.processor
    if not isinstance(processor, SpeechProcessor):
        raise CheckpointError(f"{KEY}: {weights} is a run of another kind. One of a speech.wav2vec2 was expected.")
    return processor


def _configuration(folder: Path) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: its config.json cannot be read: {' '.join(str(error).split())[:200]}. A folder that "
            f"transformers wrote was expected. Correct {KEY}."
        ) from None
    return config


def overridden(shape: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with changes; raises TaskkitError for a name that it does not have."""
    if "model_type" in overrides:
        raise TaskkitError(
            "model.overrides: model_type is not theirs to change: model.family or model.weights says it. Leave it out."
        )
    if unknown := sorted(set(overrides) - set(shape)):
        raise TaskkitError(
            f"model.overrides: the configuration of {shape['model_type']} has no {unknown[0]!r}. It has "
            f"{', '.join(sorted(shape))}. Correct the name."
        )
    return {**shape, **overrides}


def _state(folder: Path, config: PretrainedConfig) -> Mapping[str, Tensor]:
    """The weights of a model of transformers, by its own names."""
    try:
        with _quiet():
            model, report = AutoModel.from_pretrained(
                folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
    except (RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: its weights cannot be read as {config.model_type}: {' '.join(str(error).split())[:300]}. A "
            f"model.safetensors of that kind was expected. Correct {KEY} or model.overrides."
        ) from None
    if missing := sorted(set(report["missing_keys"]) - {MASK}):
        raise CheckpointError(
            f"{folder}: its weights lack {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}. All "
            f"weights of {config.model_type} were expected. Correct {KEY} or model.overrides."
        )
    if unused := sorted(report["unexpected_keys"]):
        log.info("%s: %d weights that the body has no place for are not used, as %s", folder, len(unused), unused[0])
    return dict(model.state_dict())


def _load(encoder: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    try:
        encoder.load_state_dict({name: value for name, value in state.items() if name in encoder.state_dict()})
    except RuntimeError as error:
        raise CheckpointError(
            f"{where}: its weights do not fit ({str(error).splitlines()[1].strip()}). Those of the same shape were "
            "expected. Leave model.overrides alone."
        ) from None


def _download(name: str, folder: Path) -> None:
    """Let transformers fetch a model in its way, and keep it in ours."""
    from transformers import AutoFeatureExtractor

    try:
        with _patient():
            model = AutoModel.from_pretrained(name, dtype=torch.float32)
            extractor = AutoFeatureExtractor.from_pretrained(name)
    except OSError as error:
        # transformers says what it looked for, and keeps to itself why it was not had.
        raise OSError(f"{' '.join(str(error).split())} ({_root(error)})") from error
    model.save_pretrained(folder, max_shard_size="1TB")
    extractor.save_pretrained(folder)


def _root(error: BaseException) -> str:
    """The first of the errors that led to one."""
    while (before := error.__cause__) is not None:
        error = before
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _patient() -> Iterator[None]:
    """Keep the client of the hub from telling of each of its tries: the last one becomes our error."""
    verbosity = hub_logs.get_verbosity()
    hub_logs.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        hub_logs.set_verbosity(verbosity)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from telling in its own way what is told here, and from drawing a bar."""
    verbosity, bar = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bar:
            logs.enable_progress_bar()
