"""Configurations of models as plain data: read, changed and built, and refused where they name code to be run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from taskkit import CheckpointError, TaskkitError

KEY = "model.weights"
"""The recipe's key by which a person names weights."""
CONFIG = "config.json"
NO_SHAPE = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "torch_dtype",
    "transformers_version",
}
"""Where a configuration was read from, by whom it was written, and what it calls classes: no shape needs these."""
CODE = {"auto_map", "_attn_implementation_internal", "_experts_implementation_internal"}
"""Keys of a configuration that name Python code, of its folder or of the hub, which transformers may load and run."""
KERNELS = {"attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation"}
"""Keys that name such code where their value is that of a repository, `owner/name`."""


def read_configuration(folder: Path) -> dict[str, Any]:
    """The configuration of a model as plain data; raises CheckpointError for a file that holds none, or code."""
    try:
        return plain(checked_config(str(folder), local_files_only=True))
    except CheckpointError:
        raise
    except Exception as error:  # A damaged file can raise anything.
        raise CheckpointError(
            f"{KEY}: {folder / CONFIG} cannot be read: {reason(error)}. The configuration of a model that "
            f"transformers knows, with its model_type, was expected. Correct {KEY}."
        ) from error


def checked_config(name: str, **options: Any) -> PretrainedConfig:
    """The configuration in a folder or on the hub; what is in its file is looked at before transformers acts on it.

    Raises CheckpointError when it names code.
    """
    content, _ = PretrainedConfig.get_config_dict(name, **options)
    refuse_code(content, f"{KEY}={name}: {CONFIG}")
    config: PretrainedConfig = AutoConfig.from_pretrained(name, trust_remote_code=False, **options)
    return config


def plain(config: PretrainedConfig) -> dict[str, Any]:
    """A configuration as plain data, all that the shape needs."""
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return _shape(values)


def overridden(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration, as plain data, with some values changed.

    Raises TaskkitError where that cannot be, and CheckpointError where a change names code.
    """
    refuse_code(overrides, "model.overrides")
    kind = settings["model_type"]
    if "model_type" in overrides:
        raise TaskkitError(
            f"model.overrides: model_type={overrides['model_type']} would make another kind of encoder of this {kind}. "
            "Changes of its shape were expected. Leave it out, and choose an encoder of that kind instead."
        )
    try:
        config, unknown = type(AutoConfig.for_model(**settings)).from_dict(
            dict(settings), return_unused_kwargs=True, **overrides
        )
        changed = plain(config)
    except Exception as error:  # The checks of each configuration have errors of their own.
        raise TaskkitError(
            f"model.overrides: {dict(overrides)} cannot be a {kind}: {reason(error)}. Values as its config.json holds "
            "were expected. Correct them."
        ) from error
    if unknown:
        raise TaskkitError(
            f"model.overrides: the configuration of {kind} has no {', '.join(map(repr, unknown))}. It has "
            f"{', '.join(config.to_diff_dict())} and others. Correct the name."
        )
    return changed


def fresh_model(settings: Mapping[str, Any]) -> PreTrainedModel:
    """A model of this configuration, as plain data, freshly initialised.

    Raises CheckpointError when the configuration names code, and whatever transformers does of one that cannot be.
    """
    # Runs of 0.1 may hold the `auto_map` of a model that transformers has, which it takes without that code.
    shape = _shape(settings)
    refuse_code(shape, "this encoder's shape")
    config = AutoConfig.for_model(**shape)
    model: PreTrainedModel = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return model


def refuse_code(settings: Mapping[str, Any], where: str) -> None:
    """Raise CheckpointError when a configuration, or one inside it, names code for transformers to load and run."""
    if name := next(_named_code(settings), None):
        raise CheckpointError(
            f"{where} has {name!r}, which names Python code for transformers to load and run. A model that "
            f"transformers has itself was expected: no code that comes with a model is ever run. Set {KEY} to "
            f"another, or take {name!r} out of a copy if transformers has this kind of model."
        )


def reason(error: Exception) -> str:
    """What an error of another library says, in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _shape(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in NO_SHAPE}


def _named_code(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (name for name, each in value.items() if name in CODE or (name in KERNELS and "/" in str(each)))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _named_code(each)
