"""Low-rank adapters in the linear layers of an encoder, by the peft library (Hu et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from taskkit import TaskkitError
from taskkit_text import sections


def insert(encoder: nn.Module, section: sections.Lora) -> None:
    """Give the layers that the section names an adapter each, and keep all other weights of the encoder fixed.

    Raises TaskkitError for a name that no linear layer has.
    """
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds to import

    linear = {name.rpartition(".")[2] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    if unknown := sorted(set(section.targets) - linear):
        raise TaskkitError(
            f"model.lora.targets: no linear layer of this encoder is called {unknown[0]!r}. Some of "
            f"{', '.join(sorted(linear))} were expected, or none for all of them."
        )
    config = LoraConfig(
        r=section.rank,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        target_modules=sorted(section.targets or linear),
    )
    inject_adapter_in_model(config, encoder)


def own_names(encoder: nn.Module) -> Mapping[str, str]:
    """For each weight that the encoder has without adapters, its name with them."""
    names = (name for name in encoder.state_dict() if ".lora_" not in name)
    return {name.replace(".base_layer.", "."): name for name in names}


def fill(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put the weights of an encoder without adapters into one that may have some."""
    names = own_names(encoder)
    encoder.load_state_dict({names[name]: value for name, value in weights.items() if name in names}, strict=False)
