"""The methods that attribute an answer to parts of its input: captum's, and attention rollout."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from taskkit.errors import TaskkitError
from taskkit.explanation.calls import Attention
from taskkit.explanation.question import AT_ONCE, Question, Tensors
from taskkit.explanation.value import Sum

STEPS = (32, 64, 128, 256, 512)
"""Points on the way from the baseline to the input, each time as many as are needed for the sum to hold."""
NEAR = 0.01
"""By so much of the change, and by a thousandth at least, may a sum of attributions be off."""
LEAST = 1e-3
CELLS = {"occlusion": 14, "shap": 7}
"""Parts of a picture to each side, at most."""
STRETCHES = {"occlusion": 96, "shap": 48}
"""Parts of what has one dimension, at most."""
QUESTIONS = 2000
"""About so many a Shapley value may ask."""
MOST_ORDERS = 25
"""Orders in which parts are added, at most."""


@dataclass(frozen=True)
class Attributed:
    """Numbers for each place of the inputs, by their names, (1, …)."""

    by_input: Mapping[str, Tensor]
    sum: Sum | None = None
    baseline: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """From a baseline to the input: in its numbers or, where these name things, in the vectors that are looked up."""

    ask: Callable[..., Tensor]
    values: Tensors
    baseline: Tensors
    names: Sequence[str]
    """Of the input that each of the values is, or is looked up for."""
    said: str
    """The baseline, in words."""
    looked_up: bool

    @classmethod
    def of(cls, question: Question) -> Way:
        """The vectors where there are any."""
        if not question.measured and question.lookups:
            vectors = question.vectors()
            nought = tuple(map(torch.zeros_like, vectors))
            names = tuple(question.lookups.values())
            said = "vectors of nought where something is looked up"
            return cls(question.scores_of_vectors, vectors, nought, names, said, looked_up=True)
        absent = question.places.absent if question.places is not None else {}
        numbers = ", ".join(f"{name} {absent.get(name, 0)}" for name in question.inputs)
        said = "nought everywhere" if question.measured else f"the number of what is absent: {numbers}"
        return cls(question.scores, question.values(), question.nothing(), question.inputs, said, looked_up=False)

    def change(self) -> float:
        """How far the number of the input is from that of the baseline."""
        return float(self.ask(*self.values) - self.ask(*self.baseline))

    def parts(self, question: Question, method: str) -> tuple[Tensors, int]:
        """For each number of the values that of the part that it belongs to, and how many parts there are."""
        firsts, masks, count = dict[str, int](), list[Tensor](), 0
        for name, value in zip(self.names, self.values, strict=True):
            shape = value.shape[1:-1] if self.looked_up else value.shape[1:]
            mask = _mask(shape[question.alone[name].ndim - question.sample[name].ndim :], method)
            if not mask.numel():
                raise Inapplicable(f"of this input the network is given nothing as {name!r}")
            firsts.setdefault(name, count)
            count = max(count, firsts[name] + int(mask.max()) + 1)
            numbered = mask.to(value.device) + firsts[name]
            spread = numbered[..., None] if self.looked_up else numbered
            masks.append(spread.expand(value.shape).contiguous())
        return tuple(masks), count

    def by_input(self, question: Question, found: Tensors) -> dict[str, Tensor]:
        """What was found for each place of the inputs; what is looked up for one place is added up."""
        values = [value[0].detach() for value in found]
        if not self.looked_up:
            return dict(zip(self.names, values, strict=True))
        by_input: dict[str, Tensor] = {}
        for name, vectors in zip(self.names, values, strict=True):
            places = vectors.sum(dim=-1)
            room = torch.zeros(question.alone[name].shape, dtype=places.dtype, device=places.device)
            if places.ndim != room.ndim or places.shape[-1] > room.shape[-1] or places.shape[:-1] != room.shape[:-1]:
                raise Inapplicable(f"it looks up {tuple(places.shape)} vectors for {tuple(room.shape)} of {name!r}")
            room[..., : places.shape[-1]] = places
            by_input[name] = by_input.get(name, 0) + room
        return by_input


Method = Callable[[Question], Attributed]


class Inapplicable(TaskkitError):
    """A method that says nothing of such a network."""


def integrated_gradients(question: Question) -> Attributed:
    """Gradients along the way from the baseline to the input (Sundararajan et al., 2017)."""
    if not (question.measured or question.lookups):
        raise Inapplicable(
            "its input are numbers that name things, and the network looks none of them up in a table of embeddings "
            "by torch.nn.Embedding or torch.nn.functional.embedding: there is no gradient to follow"
        )
    way = Way.of(question)
    _check_gradient(way.ask, way.values)
    with torch.no_grad():
        change = way.change()
    for steps in STEPS:
        found = (
            _captum()
            .IntegratedGradients(way.ask)
            .attribute(way.values, way.baseline, n_steps=steps, method="gausslegendre", internal_batch_size=AT_ONCE)
        )
        total = _sum(found, change)
        if total.holds:
            break
    return Attributed(way.by_input(question, found), total, way.said, {"steps": steps})


def occlusion(question: Question) -> Attributed:
    """How much the number falls when a part alone is taken away (Zeiler and Fergus, 2014)."""
    way = Way.of(question)
    masks, count = way.parts(question, "occlusion")
    with torch.no_grad():
        found = (
            _captum()
            .FeatureAblation(way.ask)
            .attribute(way.values, way.baseline, feature_mask=masks, perturbations_per_eval=AT_ONCE)
        )
    return Attributed(way.by_input(question, _shared(found, masks)), None, way.said, {"parts": count})


def shap(question: Question) -> Attributed:
    """Shapley values: the mean of what a part adds, over random orders of all (Castro et al., 2009)."""
    way = Way.of(question)
    masks, count = way.parts(question, "shap")
    orders = max(2, min(MOST_ORDERS, QUESTIONS // count))
    # Captum draws the orders from torch's own generator.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = (
            _captum()
            .ShapleyValueSampling(way.ask)
            .attribute(way.values, way.baseline, feature_mask=masks, n_samples=orders, perturbations_per_eval=AT_ONCE)
        )
        change = way.change()
    shared = _shared(found, masks)
    return Attributed(
        way.by_input(question, shared), _sum(shared, change), way.said, {"parts": count, "orders": orders}
    )


def grad_cam(question: Question) -> Attributed:
    """The maps of the last convolution, weighed by their gradients (Selvaraju et al., 2017)."""
    if len(question.measured) != 1:
        raise Inapplicable("its input is no one tensor of measured numbers, to which a convolution could be applied")
    values = question.values()
    _check_gradient(question.scores, values)
    layer = _last_maps(question, values)
    with torch.enable_grad():
        maps = (
            _captum()
            .LayerGradCam(question.scores, question.built.network.get_submodule(layer))
            .attribute(values, relu_attributions=True)
        )
    shape = values[0].shape[2:]
    spread = nn.functional.interpolate(maps.float(), shape[1:] or shape, mode="bilinear" if shape[1:] else "linear")
    return Attributed({question.inputs[0]: spread[0, 0][None].detach()}, settings={"layer": layer})


def attention_rollout(question: Question) -> Attributed:
    """How much of each place reaches the answer through all layers of attention (Abnar and Zuidema, 2020).

    Of the last layer the places count by how strongly the answer depends on each.
    """
    with torch.enable_grad(), Attention() as seen:
        score = question.explained.score(question.answer(question.alone)).float()
    if not seen.weights:
        raise Inapplicable(
            "its network attends nowhere by torch.nn.functional.scaled_dot_product_attention or "
            "torch.nn.MultiheadAttention"
        )
    sizes = {weights.shape[-2:] for weights in seen.weights}
    if len(sizes) > 1 or len(set(next(iter(sizes)))) > 1:
        raise Inapplicable("its layers attend to different numbers of places, which cannot be multiplied")
    slopes = _slopes(score, seen.mixed[-1])
    rolled = torch.eye(len(slopes), device=slopes.device)
    for weights in seen.weights:
        stays = (weights[0].float() + torch.eye(len(slopes), device=slopes.device)) / 2
        rolled = stays / stays.sum(dim=-1, keepdim=True) @ rolled
    return Attributed({question.inputs[0]: (slopes @ rolled)[None]}, settings={"layers": len(seen.weights)})


METHODS: Mapping[str, Method] = {
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
    "shap": shap,
    "grad-cam": grad_cam,
    "attention-rollout": attention_rollout,
}


def _captum() -> Any:
    """The library of attributions; raises TaskkitError where it is not installed."""
    try:
        return importlib.import_module("captum.attr")
    except ImportError as error:
        raise TaskkitError(
            f"this method is captum's, which cannot be imported ({error}): pip install 'taskkit-ml[explain]'"
        ) from None


def _sum(attributed: Sequence[Tensor], change: float) -> Sum:
    total = float(sum(each.double().sum() for each in attributed))
    return Sum(total, change, max(NEAR * abs(change), LEAST))


def _check_gradient(ask: Callable[..., Tensor], values: Tensors) -> None:
    """Raise Inapplicable where the answer does not follow from the values by steps that have a gradient."""
    asked = tuple(value.clone().requires_grad_() for value in values)
    with torch.enable_grad():
        score = ask(*asked)
    # Layers of few bits let none through, though what stands behind them has one.
    if not score.requires_grad or any(
        slope is None for slope in torch.autograd.grad(score.sum(), asked, allow_unused=True)
    ):
        raise Inapplicable("its network answers without a gradient to its input")


def _mask(shape: torch.Size, method: str) -> Tensor:
    """Squares of a picture (channels, height, width), else stretches of the last dimension."""
    if len(shape) == 0:
        return torch.zeros((), dtype=torch.int64)
    if len(shape) >= 2:
        side = math.ceil(max(shape[-2:]) / CELLS[method])
        rows, columns = (torch.arange(size) // side for size in shape[-2:])
        return rows[:, None] * (int(columns[-1]) + 1) + columns
    return torch.arange(shape[0]) // math.ceil(shape[0] / STRETCHES[method])


def _shared(found: Tensors, masks: Tensors) -> Tensors:
    """What was found for a part, which captum gives to each of its numbers, shared out among all of them."""
    sizes = torch.cat([mask.flatten() for mask in masks]).bincount()
    return tuple(value.double() / sizes[mask] for value, mask in zip(found, masks, strict=True))


def _last_maps(question: Question, values: Tensors) -> str:
    """The name of the last module that answers maps over the input; raises Inapplicable where there is none."""
    rank, network = values[0].ndim - 1, question.built.network
    seen: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == max(rank, 3) and min(output.shape[2:]) > 1:
                seen.append(name)

        return hook

    convolutions = (nn.Conv1d, nn.Conv2d)
    if not any(isinstance(module, convolutions) for module in network.modules()):
        raise Inapplicable("its network has no convolution")
    hooks = [module.register_forward_hook(look(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad(), Attention() as attention:
            question.scores(*values)
    finally:
        for hook in hooks:
            hook.remove()
    if attention.weights:
        raise Inapplicable("attention follows the last convolution, so that its maps say little; see attention-rollout")
    if not seen:
        raise Inapplicable("no layer of its network answers maps of more than one place")
    return seen[-1]


def _slopes(score: Tensor, mixed: Tensor) -> Tensor:
    """How strongly the score depends on each place (places,) of what the last attention gave; they add up to one."""
    slope = torch.autograd.grad(score.sum(), mixed, allow_unused=True)[0] if mixed.requires_grad else None
    if slope is None:
        raise Inapplicable("its network answers without a gradient to what it attends to")
    by_place = slope.movedim(-2, 0).flatten(1).norm(dim=1)
    shares: Tensor = by_place / by_place.sum().clamp(min=1e-12)
    return shares
