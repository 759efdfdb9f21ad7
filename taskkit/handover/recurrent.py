"""Recurrent networks in a program: one operator each, as torch and ONNX have them, for sequences of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._decomp import global_decomposition_table

Shapes = Callable[..., Any]
"""Gives empty tensors of the shapes that an operator answers."""


@contextmanager
def whole() -> Iterator[None]:
    """Let what traces a network meanwhile take LSTM and GRU as they are.

    Else torch looks into them, and writes down as many steps as its example is long; the loop that it can write in
    their stead is slower, and ONNX has it not. Traced, they are asked only for the shapes of what they answer.
    """
    shapes: Mapping[Any, Shapes] = {torch.ops.aten.lstm.input: _lstm, torch.ops.aten.gru.input: _gru}
    # Both places that torch.export._patches, which has the loop, changes too: tracing looks into one, fake tensors into
    # the other.
    registry: Any = global_decomposition_table["post_autograd"]
    with ExitStack() as stack:
        for operator, instead in shapes.items():
            for table, key in (
                (operator.py_kernels, torch._C.DispatchKey.CompositeImplicitAutograd),
                (registry, operator),
            ):
                stack.enter_context(_replaced(table, key, instead))
        yield


@contextmanager
def _replaced(table: Any, key: Any, value: Any) -> Iterator[None]:
    before = table.get(key)
    table[key] = value
    try:
        yield
    finally:
        if before is None:
            table.pop(key, None)
        else:
            table[key] = before


def _lstm(values: Tensor, state: Sequence[Tensor], *settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    hidden, cell = state
    return _sequence(values, hidden, settings), torch.empty_like(hidden), torch.empty_like(cell)


def _gru(values: Tensor, hidden: Tensor, *settings: Any) -> tuple[Tensor, Tensor]:
    return _sequence(values, hidden, settings), torch.empty_like(hidden)


def _sequence(values: Tensor, hidden: Tensor, settings: Sequence[Any]) -> Tensor:
    _weights, _biases, _layers, _dropout, _train, both, _batch_first = settings
    return values.new_empty((*values.shape[:-1], hidden.shape[-1] * (2 if both else 1)))
