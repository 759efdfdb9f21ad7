"""What plugins share that build on models of transformers; no code that comes with a model is ever run."""

from taskkit_transformers.attention import ATTENTION, use_attention
from taskkit_transformers.configuration import (
    KEY,
    fresh_model,
    overridden,
    plain,
    read_configuration,
    reason,
    refuse_code,
)
from taskkit_transformers.weights import fill, find_model, is_run, open_run, quiet, read_weights

__all__ = [
    "ATTENTION",
    "KEY",
    "fill",
    "find_model",
    "fresh_model",
    "is_run",
    "open_run",
    "overridden",
    "plain",
    "quiet",
    "read_configuration",
    "read_weights",
    "reason",
    "refuse_code",
    "use_attention",
]
