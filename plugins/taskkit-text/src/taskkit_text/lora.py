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


def merged(encoder: nn.Module) -> Mapping[str, Tensor]:
    """The weights of an encoder by the names that they have without adapters, which become part of them."""
    if any(".lora_" in name for name, _ in encoder.named_parameters()):
        from peft.tuners.tuners_utils import BaseTunerLayer  # takes seconds to import

        for module in encoder.modules():
            if isinstance(module, BaseTunerLayer):
                module.merge()
    state = encoder.state_dict()
    return {own: state[name] for own, name in own_names(encoder).items()}
