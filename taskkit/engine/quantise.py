"""Networks whose linear layers hold numbers of few bits, made anew from single precision whenever a run is read."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from taskkit.errors import TaskkitError

GROUP = 32
"""Weights that share a scale, of four bits."""


def _int8(ao: Any) -> Any:
    return ao.Int8DynamicActivationInt8WeightConfig()


def _int4(ao: Any) -> Any:
    return ao.IntxWeightOnlyConfig(
        weight_dtype=torch.int4,  # type: ignore[attr-defined]
        granularity=ao.PerGroup(GROUP),
    )


def _fp8(ao: Any) -> Any:
    return ao.Float8WeightOnlyConfig()


FORMS: Mapping[str, Callable[[Any], Any]] = {"int8": _int8, "int4": _int4, "fp8": _fp8}
"""By name: weights and activations of 8 bits, weights of 4 bits, weights of floats of 8 bits."""


def quantise(network: nn.Module, form: str) -> None:
    """Quantise a network's linear layers in place by one of FORMS; raises TaskkitError as `layers_of` does."""
    chosen = frozenset(layers_of(network, form))
    ao = _torchao()
    ao.quantize_(network, FORMS[form](ao), filter_fn=lambda _, name: name in chosen)


def layers_of(network: nn.Module, form: str) -> list[str]:
    """The names of the layers that are quantised by a form.

    Raises TaskkitError where torchao is not installed, for an unknown form, and where there is no layer that it suits.
    """
    if form not in FORMS:
        raise TaskkitError(f"{form!r} is no form of numbers. There are {', '.join(FORMS)}.")
    _torchao()
    layers = [name for name, module in network.named_modules() if _suits(module, form)]
    if not layers:
        needed = f" whose inputs are a multiple of {GROUP}" if form == "int4" else ""
        raise TaskkitError(
            f"{form}: the network has no torch.nn.Linear{needed}, and of other layers none is quantised. Choose "
            "another form, or --prune."
        )
    return layers


def _torchao() -> Any:
    try:
        return importlib.import_module("torchao.quantization")
    except ImportError as error:
        raise TaskkitError(
            f"Quantising needs torchao, which cannot be imported ({error}): pip install 'taskkit-ml[compress]'"
        ) from None


def weight_bytes(network: nn.Module) -> int:
    """What a network's parameters and buffers take in memory; of a quantised one its numbers and their scales."""
    held = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return sum(_bytes(tensor) for tensor in held.values())


def _suits(module: nn.Module, form: str) -> bool:
    # Subclasses of Linear may do something else with their weights.
    return type(module) is nn.Linear and (form != "int4" or module.in_features % GROUP == 0)


def _bytes(tensor: Any) -> int:
    names = getattr(tensor, "tensor_data_names", None)
    if names is None and hasattr(tensor, "__tensor_flatten__"):
        names = tensor.__tensor_flatten__()[0]
    if names:
        return sum(_bytes(part) for name in names if (part := getattr(tensor, name, None)) is not None)
    return int(tensor.numel() * tensor.element_size())
