"""The training examples that a network sees as most like an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from taskkit.contracts.data import Batch, Prepared, Stream
from taskkit.engine.build import Built
from taskkit.engine.loaders import encoded_split, for_judging
from taskkit.errors import TaskkitError
from taskkit.explanation.question import Question
from taskkit.explanation.value import Neighbour
from taskkit.handover.answers import tensors

NEAREST = 5


class Training:
    """What a network makes of its training examples, seen once for all questions.

    Raises TaskkitError where these are a stream.
    """

    def __init__(self, built: Built, prepared: Prepared, device: torch.device) -> None:
        examples = prepared.examples("train")
        if isinstance(examples, Stream):
            raise TaskkitError(
                f"{built.recipe.data.name}: its training examples are a stream, among which none can be found again. "
                "Choose another method."
            )
        self.examples, self.spec = examples, prepared.spec
        loader = for_judging(built, encoded_split(examples, built, "train"), resident="no", workers=0)
        loader.place(device, rank=0, world=1)
        seen, numbers = [], []
        for host in loader:
            batch = {name: tensor.to(device) for name, tensor in host.tensors.items()}
            seen.append(features(built, batch).cpu())
            numbers += host.tensors["example"].tolist()
        self.features, self.numbers = torch.cat(seen), numbers

    def nearest(self, question: Question) -> list[Neighbour]:
        """The training examples nearest to a sample, the nearest first, each once."""
        own = features(question.built, question.alone).cpu()
        similar = nn.functional.cosine_similarity(self.features, own)
        found: dict[int, float] = {}
        for at in similar.argsort(descending=True, stable=True).tolist():
            found.setdefault(self.numbers[at], float(similar[at]))
            if len(found) == NEAREST:
                break
        return [self._neighbour(number, similarity) for number, similarity in found.items()]

    def _neighbour(self, number: int, similarity: float) -> Neighbour:
        example = self.examples[number]
        target: Any = None if example.target is None else self.spec.target.readable(example.target)
        return Neighbour(example.id, similarity, target, self.spec.input.show(example.input))


def features(built: Built, batch: Batch) -> Tensor:
    """What a network makes of each sample of a batch before it answers, (batch, features).

    What its last linear layer is given for each sample; where there is none, the vector that it answers for each.
    Raises TaskkitError where there is neither.
    """
    given: list[Tensor] = []
    answers: list[Any] = []
    hooks = [
        module.register_forward_hook(lambda _, inputs, output: given.append(inputs[0]))
        for module in built.network.modules()
        if isinstance(module, nn.Linear)
    ]
    hooks.append(built.network.register_forward_hook(lambda _, inputs, output: answers.append(output)))
    try:
        with torch.no_grad():
            built.task(batch)
    finally:
        for hook in hooks:
            hook.remove()
    samples = len(batch["example"])
    vectors = [tensor for tensor in given[::-1] if tensor.ndim == 2 and len(tensor) == samples]
    answered = [tensor for answer in answers for tensor in tensors(answer).values() if tensor.ndim == 2]
    sequences = [tensor.flatten(1, -2).mean(dim=1) for tensor in given[::-1] if tensor.ndim > 2]
    for found in _first(vectors, [each for each in answered if len(each) == samples], sequences):
        return found.float()
    raise TaskkitError(
        f"{built.recipe.model.name}: its network has no linear layer and answers no vector for each sample, so that "
        "nobody can say which inputs it sees as alike. Choose another method."
    )


def _first(*kinds: Sequence[Tensor]) -> list[Tensor]:
    return [kind[0] for kind in kinds if kind]
