"""Whether what is trained is still finite; where it is not, which step, input and parameter were the first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from taskkit.batches.loader import HostBatch, Loader, StreamLoader
from taskkit.batches.plan import Indices
from taskkit.contracts.recipe import Recipe
from taskkit.engine.fsdp import everywhere, own_share
from taskkit.errors import NonfiniteError
from taskkit.runs import checkpoint
from taskkit.wording import quoted, some

NAMED = 3
"""Parameters that a message names."""


@dataclass(frozen=True)
class _Batch:
    step: int
    """The optimiser step that it has a part in."""
    samples: Indices


@dataclass(frozen=True)
class _Gradients:
    step: int
    of: Sequence[int]
    """Numbers of the parameters that had one."""
    norms: Tensor
    """Of each of them, or of this process's share of it, on the device."""


class Trail:
    """What the steps since the last look left behind, so that the first that was not finite can be named.

    Nothing is read from the device until there is reason to look; a step adds one kernel over all gradients.
    """

    def __init__(self, recipe: Recipe, directory: Path, loader: Loader | StreamLoader) -> None:
        self.recipe = recipe
        self.directory = directory
        self.loader = loader
        self._parameters: list[tuple[str, nn.Parameter]] = []
        self._shared_out = False
        """Whether each process has a share of them."""
        self._step = 0
        self._batches: list[_Batch] = []
        self._gradients: list[_Gradients] = []

    def follow(self, network: nn.Module) -> None:
        """Follow the parameters that are trained."""
        self._parameters = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        self._shared_out = any(isinstance(p, DTensor) for _, p in self._parameters)

    def batch(self, step: int, batch: HostBatch) -> None:
        """Note a batch that has a part in an optimiser step."""
        self._step = step
        self._batches.append(_Batch(step, batch.indices))

    def gradients(self, step: int) -> None:
        """Note how large the gradients of an optimiser step are."""
        found = [(n, p.grad) for n, (_, p) in enumerate(self._parameters) if p.grad is not None]
        dense = [(n, grad) for n, grad in found if grad.layout is torch.strided]
        if dense:
            numbers, grads = zip(*dense, strict=True)
            if self._shared_out:
                grads = tuple(map(own_share, grads))
            self._gradients.append(_Gradients(step, numbers, torch.stack(torch._foreach_norm(grads))))

    def forget(self) -> None:
        """Begin anew after a look at which all was finite.

        The last gradients are kept: what they did to the weights shows in the next loss.
        """
        self._batches, self._gradients = [], self._gradients[-1:]

    def judge(self, losses: Sequence[float], mine: Sequence[Tensor]) -> None:
        """Raise NonfiniteError where one of these losses is not finite.

        `losses` are the means over the processes of the batches so far, `mine` those of this process. Batches that a
        checkpoint kept are before those that were noted, and were finite.
        """
        bad = next((n for n, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is None:
            return
        noted = self._batches[bad - len(losses)]
        at_fault = _together(None if math.isfinite(float(mine[bad])) else self._bad_input(noted))
        what = f"in step {noted.step} the training loss was {losses[bad]}"
        raise self._error(noted.step, what, at_fault)

    def check_weights(self, state: Iterator[Tensor]) -> None:
        """Raise NonfiniteError where a trained parameter is not finite, or what its optimiser keeps of it."""
        names = [name for name, _ in self._parameters]
        tensors = [own_share(p.detach()) for _, p in self._parameters]
        kept = [own_share(each) for each in state if each.is_floating_point()]
        if not tensors:
            return
        finite = _in_all(torch.stack([each.isfinite().all() for each in (*tensors, *kept)]))
        if all(finite):
            return
        bad = [name for name, right in zip(names, finite, strict=False) if not right]
        what = f"{_named(bad)} {'was' if len(bad) == 1 else 'were'}" if bad else "what the optimiser keeps was"
        raise self._error(self._step + 1, f"after step {self._step} {what} not finite", None)

    def _error(self, step: int, what: str, at_fault: str | None) -> NonfiniteError:
        """What is said: `what` was found, of an input at fault or not, and gradients before `step` may explain it."""
        gradients = self._first_bad_gradients()
        if at_fault is not None:
            where = f"{what}: {at_fault}."
        elif gradients is not None and gradients[0] < step:
            where = (
                f"In step {gradients[0]} the gradient of {_named(gradients[1])} was not finite, from a finite loss; so "
                f"{what}."
            )
        else:
            all_of = f", and so were the gradients of {_named(gradients[1])}" if gradients else ""
            where = (
                f"{what}{all_of}. The batch's inputs and all gradients before it were finite: the "
                "numbers grew too large in the network or in the loss."
            )
        return NonfiniteError(f"{where[0].upper()}{where[1:]} {self._advice(at_fault, step)}")

    def _advice(self, at_fault: str | None, step: int) -> str:
        last = self.directory / "checkpoints" / "last.ckpt"
        saved = checkpoint.read(last).step if last.exists() else None
        rate = f"optim.lr={self.recipe.optim.lr / 2:g} trainer.gradient_clip_val=1"
        good = "No checkpoint was written before." if saved is None else f"The last good checkpoint is of step {saved}."
        anew = f"taskkit run {quoted(self.directory)}/recipe.yaml"
        if at_fault is not None:
            return f"{good} Mend that example or leave it out, and begin again: {anew}"
        if step == 1:  # No rate had a part in it.
            exact = "" if self.recipe.trainer.precision == "32-true" else " trainer.precision=32-true"
            return (
                "No weight was changed before, so the network as it begins or the loss makes it. Find the operation "
                f"with: {anew} trainer.detect_anomaly=true{exact}"
            )
        if saved is None:
            return f"{good} Begin again with: {anew} {rate}; trainer.detect_anomaly=true finds the operation."
        return (
            f"{good} Go on from there with: taskkit run --resume {quoted(self.directory)} --from-good {rate}; "
            "trainer.detect_anomaly=true beside it finds the operation."
        )

    def _first_bad_gradients(self) -> tuple[int, list[str]] | None:
        """The first step with gradients that are not finite, and the names of their parameters; all processes ask."""
        for each in self._gradients:
            finite = _in_all(each.norms.isfinite())
            if not all(finite):
                return each.step, [
                    self._parameters[n][0] for n, right in zip(each.of, finite, strict=True) if not right
                ]
        return None

    def _bad_input(self, batch: _Batch) -> str | None:
        """Which tensor of which example of a batch is not finite; None: all are, as far as they are kept."""
        if not isinstance(self.loader, Loader):
            return None
        encoded = self.loader.encoded
        for number in batch.samples.tolist():
            for name, tensor in encoded[number].items():
                if isinstance(tensor, Tensor) and tensor.is_floating_point() and not tensor.isfinite().all():
                    return f"`{name}` of the example {encoded.ids[encoded.example_of[number]]!r} is not finite"
        return None


def _in_all(finite: Tensor) -> list[bool]:
    """What is so in all processes, each of which may have a share of a parameter."""
    return everywhere(finite.int(), torch.distributed.ReduceOp.MIN).bool().tolist()


def _named(names: Sequence[str]) -> str:
    return some(names, NAMED)


def _together(found: str | None) -> str | None:
    """What the first of the processes found that found anything."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return found
    everywhere: list[str | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everywhere, found)
    return next((each for each in everywhere if each is not None), None)
