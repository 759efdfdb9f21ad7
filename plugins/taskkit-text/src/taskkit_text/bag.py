"""A linear classifier of weighted n-grams: the fast and honest baseline (Joachims, 1998)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from taskkit import Batch, Classes, DataError, DataSpec, Example, Model, Places, Sample, Unit
from taskkit_text import sections, vocabulary
from taskkit_text.arrays import Bags, together
from taskkit_text.processor import TextProcessor, as_arrays, target, tensors


class Bag(Model[sections.Bag, "BagProcessor"]):
    """Logistic regression on the tf-idf weights of n-grams."""

    def processor(self, spec: DataSpec) -> BagProcessor:
        """The weighted n-grams of a text, once it is fitted."""
        return BagProcessor(spec, self.config)

    def network(self, spec: DataSpec, processor: BagProcessor) -> nn.Module:
        """A weight of nought for every n-gram and class."""
        assert isinstance(spec.target, Classes)
        return LinearBag(len(processor.bags.ngrams), len(spec.target))


class BagProcessor(TextProcessor):
    """The n-grams of a text that are known, each weighted by how often it is there and how rare it is elsewhere.

    The weights are (1 + log count) x (1 + log((1 + texts) / (1 + texts with it))), and their squares add up to 1
    (Salton and Buckley, 1988). Of a pair, the n-grams of either text are told apart.
    """

    unit = Unit("n-grams")
    layout = "packed"

    def __init__(self, spec: DataSpec, config: sections.Bag) -> None:
        super().__init__(spec, config.max_characters)
        self.config = config
        self._set("words", [], [])

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn which n-grams there are, and in how many texts; raises DataError when none is common enough."""
        texts = (part for example in examples for part in self.cut.parts(example.input))
        self._set(vocabulary.choose(self.config.tokens, texts, usual="words"), [], [])
        # Not a set, whose order is that of random hashes: ties are broken by what comes first.
        counts = Counter(chain.from_iterable(dict.fromkeys(self.bags.of(example.input)) for example in examples))
        known = [
            (ngram, count)
            for ngram, count in counts.most_common(self.config.vocabulary)
            if count >= self.config.min_count
        ]
        if not known:
            raise DataError(
                f"model.min_count: no n-gram is in {self.config.min_count} of the {len(examples)} training examples. "
                "Some must be known. Lower it to 1."
            )
        rarity = [1 + math.log((1 + len(examples)) / (1 + count)) for _, count in known]
        self._set(self.bags.tokens, [ngram for ngram, _ in known], rarity)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`ngrams`, int32, and `weights`, both (n-grams,), `target`, and `flags`."""
        return [{**tensors(self.bags.sample(example.input)), **target(example)}]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """One bag after the other; `offsets` (texts + 1,) say where each begins and the last one ends."""
        batch = tensors(together([as_arrays(sample) for sample in samples]))
        if "target" in samples[0]:
            batch["target"] = torch.stack([sample["target"] for sample in samples])
        return batch

    def places(self, example: Example, sample: Sample) -> Places:
        """The n-grams."""
        return Places([self.bags.ngrams[number] for number in sample["ngrams"].tolist()], "items")

    def length(self, sample: Sample) -> int:
        """N-grams; a text without a known one is answered by the bias, and counts as one."""
        return max(1, len(sample["ngrams"]))

    def padded_size(self, batch: Batch) -> int:
        """N-grams, as `length` counts them; none is padding."""
        return int(batch["offsets"].diff().clamp(min=1).sum())

    def settings(self) -> Mapping[str, Any]:
        """How long an n-gram may be; which of them are known is in the state."""
        return {**super().settings(), "ngrams": self.config.ngrams}

    def state_dict(self) -> Mapping[str, Any]:
        """The n-grams, in the order of their numbers, and how rare each is."""
        return {"tokens": self.bags.tokens, "ngrams": self.bags.ngrams, "rarity": self.bags.rarity}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._set(state["tokens"], state["ngrams"], state["rarity"])

    def _set(self, tokens: vocabulary.Tokens, ngrams: list[str], rarity: list[float]) -> None:
        self.bags = Bags(self.cut, tokens, ngrams, rarity, self.config.ngrams)


class LinearBag(nn.Module):
    """The sum of the n-grams' weights for each class, and a bias."""

    def __init__(self, ngrams: int, classes: int) -> None:
        super().__init__()
        self.scores = nn.EmbeddingBag(ngrams, classes, mode="sum", include_last_offset=True)
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.zeros_(self.scores.weight)

    def forward(self, ngrams: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
        """N-grams and their weights (all n-grams,) of texts that begin at `offsets` in, logits (texts, classes) out."""
        logits: Tensor = self.scores(ngrams, offsets, per_sample_weights=weights) + self.bias
        return logits
