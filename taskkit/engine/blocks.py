"""A network's blocks as modules that are called one by one."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


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
