"""The encoder of a run of taskkit, for another run to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from taskkit import CheckpointError, LoadedRun, Origin, load_run
from taskkit_text import lora

MODEL = "text.transformer"


def is_run(weights: str) -> bool:
    """Whether these are a run of taskkit."""
    return (Path(weights).expanduser() / "run.json").is_file()


def shape(weights: str) -> tuple[Mapping[str, Any], Tokenizer]:
    """The configuration of a run's encoder, as plain data, and its tokenizer; raises CheckpointError."""
    state = _opened(weights).built.processor.state_dict()
    return state["encoder"], Tokenizer.from_str(state["tokenizer"])


def state(weights: str) -> tuple[Mapping[str, Tensor], Origin]:
    """The weights of a run's encoder by name, with what its adapters learnt; raises CheckpointError."""
    encoder = _opened(weights).built.network.get_submodule("encoder")
    return lora.merged(encoder), Origin(f"run {Path(weights).name}", weights)


def _opened(weights: str) -> LoadedRun:
    run = load_run(Path(weights).expanduser())
    name = run.manifest["resolved"]["model"]["name"]
    if name != MODEL:
        raise CheckpointError(
            f"model.weights: {weights} is a run of {name}. One of {MODEL} was expected, whose encoder this one can "
            "begin with. Name another run."
        )
    return run
