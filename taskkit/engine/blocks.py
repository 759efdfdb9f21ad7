"""A network's blocks as modules that are called one by one, and what can be done with each of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def called_blocks(network: nn.Module, blocks: Iterable[nn.Module]) -> list[nn.Module]:
    """The modules of a network that are its blocks, inner ones first: each is called and holds a block's parameters.

    A block may be a mere list of parameters, as timm groups them; one whose parameters are those of no module is left
    out.
    """
    wanted = {frozenset(map(id, block.parameters())) for block in blocks}
    found = dict[frozenset[int], nn.Module]()
    for module in network.modules():
        own = frozenset(map(id, module.parameters()))
        if own in wanted and module is not network and type(module).forward is not nn.Module.forward:
            found.setdefault(own, module)
    return list(reversed(found.values()))


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Let each block keep what comes in alone, and compute what is in it again for its gradients (Chen et al., 2016).

    What is drawn at random inside is drawn alike again. Names of parameters stay as they are.
    """
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def counts_batches(block: nn.Module) -> bool:
    """Whether a block keeps statistics of its batches, of which a second pass would count each twice."""
    return any(
        isinstance(each, nn.modules.batchnorm._NormBase) and each.track_running_stats for each in block.modules()
    )
