"""How far two things are apart that should be alike, and where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Difference:
    """How far two things are apart; infinite where one lacks what the other has."""

    size: float = 0.0
    where: str = ""


def largest(differences: Iterable[Difference]) -> Difference:
    """The largest of some differences; none at all when there are none."""
    return max(differences, key=lambda each: each.size, default=Difference())


def of_numbers(one: Mapping[str, float], other: Mapping[str, float], *, relative: bool = False) -> Difference:
    """How far numbers of the same names are apart; relative: as shares of the larger one, or of 1 if that is larger."""
    apart = [Difference(math.inf, name) for name in one.keys() ^ other.keys()]
    return largest([*apart, *(_of_pair(name, one[name], other[name], relative) for name in one.keys() & other.keys())])


def of_tensors(one: Mapping[str, Tensor], other: Mapping[str, Tensor], scale: float = 1.0) -> Difference:
    """How far tensors of the same names and shapes are apart at most, in units of `scale`."""
    apart = [Difference(math.inf, name) for name in one.keys() ^ other.keys()]
    return largest([*apart, *(of_tensor(name, one[name], other[name], scale) for name in one.keys() & other.keys())])


def of_states(one: Mapping[str, Any], other: Mapping[str, Any]) -> Difference:
    """How far the states of two modules are apart: their tensors, and plain data of `get_extra_state`, alike or not."""
    tensors = [{name: each for name, each in state.items() if isinstance(each, Tensor)} for state in (one, other)]
    plain = [{name: each for name, each in state.items() if not isinstance(each, Tensor)} for state in (one, other)]
    unlike = [name for name in plain[0].keys() | plain[1].keys() if plain[0].get(name) != plain[1].get(name)]
    return largest([of_tensors(tensors[0], tensors[1]), *(Difference(math.inf, name) for name in unlike)])


def of_tensor(name: str, one: Tensor, other: Tensor, scale: float = 1.0) -> Difference:
    """How far two tensors are apart, of which `name` is told; infinite where they are of two shapes."""
    if one.shape != other.shape:
        return Difference(math.inf, name)
    one, other = one.detach(), other.detach()
    if torch.equal(one, other):
        return Difference()
    # NaN is like NaN, and unlike all numbers; bits may differ where numbers do not, as 0 and -0.
    unlike = ~((one == other) | ((one != one) & (other != other)))
    if not unlike.any():
        return Difference()
    apart = float((one[unlike].double() - other[unlike].double()).abs().max()) / scale
    return Difference(math.inf if math.isnan(apart) else apart, name)


def magnitude(tensor: Tensor) -> float:
    """The largest finite magnitude in a tensor, of any shape; 0 where there is none."""
    finite = tensor.detach()[torch.isfinite(tensor)].double()
    return float(finite.abs().max()) if finite.numel() else 0.0


def _of_pair(name: str, one: float, other: float, relative: bool) -> Difference:
    if one == other or (math.isnan(one) and math.isnan(other)):
        return Difference()
    apart = abs(one - other) / (max(abs(one), abs(other), 1.0) if relative else 1.0)
    return Difference(math.inf if math.isnan(apart) else apart, name)
