"""From attributions to what a person sees: maps of pictures, places with names, stretches of time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from taskkit.explanation.question import Question
from taskkit.explanation.value import Part

FINEST = 64
"""Rows and columns of a map, at most; what is finer is added up."""
STRETCHES = 256
"""Of a sequence without names, at most."""


def part(question: Question, name: str, attributed: Tensor) -> Part:
    """What was attributed to the input of this name, of the shape that a batch of one gives it, or of fewer places."""
    sample, values = question.sample[name], attributed.detach().double().cpu()
    if sample.ndim == 0:
        return Part(name, "number", float(values.sum()))
    if values.ndim > 1:
        values = values[0]
    if sample.ndim == 3:
        return Part(name, "picture", _coarser(_map(values, sample.shape)).tolist(), seen=_pixels(sample))
    places = question.places
    if values.ndim == 1 and places is not None and len(places.names) <= len(values):
        return Part(name, places.kind, values[: len(places.names)].tolist(), tuple(places.names))
    if values.ndim > 1:
        values = values.flatten(1).sum(dim=1)
    values = values[: len(sample)]
    seen = question.built.spec.input.shades(sample) if sample.ndim == 1 else None
    return Part(name, "sequence", _stretches(values).tolist(), seen=sample.tolist() if seen is None else seen)


def _map(values: Tensor, shape: torch.Size) -> Tensor:
    """(height, width) of (channels, height, width), or of places in rows, before which others may stand."""
    if values.ndim == 3:
        return values.sum(dim=0)
    if values.ndim == 2:
        return values
    ratio = shape[-2] / shape[-1]
    rows = max(1, math.floor(math.sqrt(len(values) * ratio)))
    columns = max(1, round(rows / ratio))
    return values[len(values) - rows * columns :].reshape(rows, columns)


def _pixels(sample: Tensor) -> list[list[list[int]]]:
    """Rows of pixels of (channels, height, width): bytes as they are, other numbers spread over what bytes hold."""
    pixels = sample.float()
    if sample.dtype != torch.uint8:
        low, high = pixels.min(), pixels.max()
        pixels = (pixels - low) / (high - low).clamp(min=1e-12) * 255
    shown = pixels if len(pixels) in (1, 3) else pixels.mean(dim=0, keepdim=True)
    rows: list[list[list[int]]] = shown.permute(1, 2, 0).round().int().tolist()
    return rows


def _coarser(values: Tensor) -> Tensor:
    side = math.ceil(max(values.shape) / FINEST)
    if side == 1:
        return values
    pooled = torch.nn.functional.avg_pool2d(values[None, None], side, ceil_mode=True, divisor_override=1)
    return pooled[0, 0]


def _stretches(values: Tensor) -> Tensor:
    size = math.ceil(len(values) / STRETCHES)
    filled = torch.nn.functional.pad(values, (0, -len(values) % size))
    return filled.reshape(-1, size).sum(dim=1)
