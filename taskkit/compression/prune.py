"""Networks without the weights that matter least, by how large they are."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils import prune as pruning

from taskkit.errors import TaskkitError

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def prune(network: nn.Module, share: float, *, structured: bool) -> float:
    """Set a share of a network's weights to nought in place, and give the share of all weights of these layers that is.

    The smallest of all linear and convolutional layers together; `structured`: in each layer the rows or channels whose
    norm is smallest, but for the last layer, which answers. Raises TaskkitError where there is no such layer.
    """
    layers = [module for module in network.modules() if isinstance(module, LAYERS) and _plain(module)]
    chosen = layers[:-1] if structured else layers
    if not chosen:
        raise TaskkitError(
            "The network has no linear or convolutional layer that could be pruned. Choose another way to compress it."
        )
    if structured:
        for layer in chosen:
            pruning.ln_structured(layer, "weight", amount=share, n=2, dim=0)  # type: ignore[no-untyped-call]
    else:
        pruning.global_unstructured([(layer, "weight") for layer in chosen], pruning.L1Unstructured, amount=share)
    for layer in chosen:
        pruning.remove(layer, "weight")  # type: ignore[no-untyped-call]
    weights = [layer.weight for layer in layers]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def _plain(module: nn.Module) -> bool:
    """Whether its weight is a parameter of its own, and not made of others."""
    weight: Tensor | None = module._parameters.get("weight")
    return weight is not None
