"""Training whose weights, gradients and optimiser states are shared out among processes: FSDP2, by torch's fully_shard.

A checkpoint has all of it whole, as one of a single process has it, so that any number of processes can go on from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ModelParallelStrategy, ParallelStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from taskkit.errors import TaskkitError

STEPS = ("training_step", "validation_step", "flops_per_example")
"""What is called of a module instead of `forward`: what no block has is gathered around them."""


class FullyShard(ModelParallelStrategy):
    """Each process keeps a share of every weight, gradient and state of the optimiser, and gathers a block at a time.

    A checkpoint is gathered in the first process, which writes it. Only training is so: whatever follows it is done
    with whole networks.
    """

    def __init__(self, blocks: Sequence[nn.Module] = ()) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)
        self.blocks = blocks
        """Of what will be trained, inner ones first; what is in none of them is gathered for a whole step."""
        self._called: list[int] = []
        """The blocks that this process called in a step, by number."""
        self._talk: Any = None
        """The group of all processes that needs no device."""

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Not: weights are restored whole, and then shared out."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """The states of optimisers are restored as other strategies have it, by what is below."""
        return True

    def setup_environment(self) -> None:
        """Let all processes share the data."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: pl.Trainer) -> None:
        """Set up as strategies do that wrap a module, for which Lightning's own wants a hook of it instead."""
        ParallelStrategy.setup(self, trainer)

    def _setup_model(self, model: nn.Module) -> nn.Module:
        assert self.lightning_module is not None
        if self.lightning_module.trainer.state.fn == TrainerFn.FITTING:
            # All begin as the first one does, as DDP has it.
            for tensor in _tensors(model):
                torch.distributed.broadcast(tensor, 0)
            self.shard(model)
        return model

    def shard(self, model: nn.Module) -> None:
        """Leave each process its share of a module's weights, block by block and then of what is in no block.

        Raises TaskkitError for what torch shares out not, as weights that are single numbers without a dimension.
        """
        mesh = self.device_mesh["data_parallel"]
        try:
            for part in (*self.blocks, model):
                fully_shard(part, mesh=mesh)
        except (ValueError, NotImplementedError) as error:
            raise TaskkitError(
                f"trainer.strategy is fsdp, and torch cannot share these weights out ({str(error).rstrip('.')}). Set "
                "trainer.strategy=ddp."
            ) from error
        for number, block in enumerate(self.blocks):
            block.register_forward_pre_hook(partial(_note, self._called, number))
        for name in STEPS:
            register_fsdp_forward_method(model, name)
        self._talk = torch.distributed.new_group(backend="gloo")

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Take a step with the buffers of the first process, as DDP has it; raises TaskkitError for one that differs.

        Shares of a block's weights are put together as the processes come by, of whichever block that is.
        """
        self._share_buffers()
        self._called.clear()
        outputs = super().training_step(*args, **kwargs)
        self._check_alike("called other blocks of the network", self._called)
        return outputs

    def post_backward(self, closure_loss: Tensor) -> None:
        """Raise TaskkitError where the processes have gradients of different parameters, of a loss of shape ()."""
        super().post_backward(closure_loss)
        assert self.model is not None
        without = [name for name, p in self.model.named_parameters() if p.requires_grad and p.grad is None]
        self._check_alike("had gradients of other parameters", without)

    def gather(self) -> None:
        """Let each process have all weights, so that one may ask the network more often than others."""
        self._share_buffers()
        for part in self._parts():
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()

    def release(self) -> None:
        """Leave each process its share again."""
        for part in self._parts():
            part.set_reshard_after_forward(not isinstance(part, pl.LightningModule), recurse=False)
            part.reshard()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole state of the module, on the CPU; empty but in the first process."""
        assert self.model is not None
        return self.gathered(self.model.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The whole state as torch's optimisers have it, on the CPU; empty but in the first process."""
        plain = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        found = plain.state_dict()
        state = {number: self.gathered(kept) for number, kept in found["state"].items()}
        return {"state": state, "param_groups": found["param_groups"]} if self.is_global_zero else {}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take the whole state of the module, before it is shared out."""
        ParallelStrategy.load_model_state_dict(self, checkpoint, strict)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a whole checkpoint."""
        return ParallelStrategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take each process's share of whole states."""
        for optimiser, whole in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
            state = {
                number: {name: _share(value, parameters[number]) for name, value in kept.items()}
                for number, kept in whole["state"].items()
            }
            optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})

    def gathered(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A whole state on the CPU, for which all processes must ask; empty but in the first."""
        kept = {}
        for name, value in state.items():
            whole = value.full_tensor() if isinstance(value, DTensor) else value
            whole = whole.detach().cpu() if isinstance(whole, Tensor) else whole
            if self.is_global_zero:
                kept[name] = whole
        return kept

    def _check_alike(self, what: str, mine: Sequence[Any]) -> None:
        digest = int.from_bytes(hashlib.blake2b(repr(mine).encode(), digest_size=7).digest())
        largest = torch.tensor([digest, -digest])
        torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX, self._talk)
        if largest[0] != -largest[1]:
            raise TaskkitError(
                f"trainer.strategy is fsdp, and in a step one process {what} than another, as where layers are dropped "
                "at random. With fsdp all must go the same way. Turn that off in the model section, or set "
                "trainer.strategy=ddp_find_unused_parameters_true."
            )

    def _share_buffers(self) -> None:
        assert self.model is not None
        for buffer in self.model.buffers():
            torch.distributed.broadcast(buffer, 0)

    def _parts(self) -> Iterator[FSDPModule]:
        assert self.model is not None
        return (part for part in self.model.modules() if isinstance(part, FSDPModule))


def own_share(tensor: Tensor) -> Tensor:
    """What this process has of a tensor, without a copy; all of one that is not shared out."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def everywhere(tensor: Tensor, how: torch.distributed.ReduceOp.RedOpType) -> Tensor:
    """The tensor reduced over all processes, in place; as it is where there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor, how)
    return tensor


def share_alike(copy: nn.Module, module: nn.Module) -> None:
    """Leave each process its share of the weights of a copy, as it has them of the module."""
    shares: dict[int, nn.Parameter] = {
        id(whole): nn.Parameter(_share(whole.detach(), own), requires_grad=whole.requires_grad)
        for whole, own in zip(copy.parameters(), module.parameters(), strict=True)
    }
    for part in copy.modules():
        for name, whole in part.named_parameters(recurse=False, remove_duplicate=False):
            setattr(part, name, shares[id(whole)])


def _note(called: list[int], number: int, module: nn.Module, inputs: Any) -> None:
    called.append(number)


def _share(value: Any, parameter: Tensor) -> Any:
    """A process's share of what an optimiser keeps of a parameter, where that is of its shape."""
    if not (isinstance(value, Tensor) and isinstance(parameter, DTensor) and value.shape == parameter.shape):
        return value
    whole = value.to(parameter.device)
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from (parameter.detach() for parameter in model.parameters())
    yield from model.buffers()
