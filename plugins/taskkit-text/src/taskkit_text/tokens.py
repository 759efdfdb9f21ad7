"""Texts as token numbers: cut to a length, and put together padded or packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from taskkit import Batch, DataSpec, Example, Places, Sample
from taskkit_text import arrays
from taskkit_text.arrays import Truncate
from taskkit_text.processor import TextProcessor, as_arrays, target, tensors


class TokenProcessor(TextProcessor):
    """Token numbers of at most `max_length`; a subclass finds or learns the tokenizer in `fit`.

    Texts of a batch are padded to the next multiple of `round_to` of the longest, or packed one after the other.
    """

    tokenizer: Tokenizer
    padding = 0
    """The number that stands where there is no token."""
    segments = False
    """Whether the network takes, with each token, which text of a pair it is of."""

    def __init__(
        self,
        spec: DataSpec,
        max_characters: int,
        max_length: int,
        truncate: Truncate,
        round_to: int,
        packed: bool = False,
    ) -> None:
        super().__init__(spec, max_characters, truncate)
        self.max_length = max_length
        self.truncate: Truncate = truncate
        self.round_to = round_to
        self.layout = "packed" if packed else "padded"

    def encode(self, example: Example) -> Sequence[Sample]:
        """`input_ids`: int32 (tokens,), `target`, for some pairs `token_type_ids`, and `flags`."""
        return [{**tensors(self._tokens.sample(example.input)), **target(example)}]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Token numbers (texts, tokens) with a mask of them where any is padding; or packed, see `pack`."""
        if self.layout == "packed":
            batch = pack(samples)
        else:
            longest = max(map(self.length, samples))
            batch = pad(samples, self.padded_length(longest), self.padding)
        if "target" in samples[0]:
            batch["target"] = torch.stack([sample["target"] for sample in samples])
        return batch

    def complete(self, batch: Batch) -> Batch:
        """With a mask also where nothing is padding; packed texts have none."""
        if self.layout == "packed" or "attention_mask" in batch:
            return batch
        return {**batch, "attention_mask": torch.ones_like(batch["input_ids"], dtype=torch.bool)}

    def places(self, example: Example, sample: Sample) -> Places:
        """The piece of the text that each token is, with the blanks and whatever was cut out behind it."""
        parts = self.cut.parts(example.input)
        tokens = arrays.tokenise(self.tokenizer, parts, self.max_length, self.truncate)
        return Places(_pieces(parts, tokens, self.tokenizer), "text", {"input_ids": self.padding})

    def length(self, sample: Sample) -> int:
        """Tokens."""
        return len(sample["input_ids"])

    def padded_length(self, length: int) -> int:
        """The next multiple of `round_to`, but not beyond `max_length`."""
        return min(-(-length // self.round_to) * self.round_to, self.max_length)

    def padded_size(self, batch: Batch) -> int:
        """Tokens, padding included."""
        return batch["input_ids"].numel()

    def settings(self) -> Mapping[str, Any]:
        """How long texts are cut; how a batch is put together decides no sample."""
        return {**super().settings(), "max_length": self.max_length, "truncate": self.truncate}

    def state_dict(self) -> Mapping[str, Any]:
        """The tokenizer, as the JSON text of its own library, and what the network must know of it."""
        return {
            "tokenizer": self.tokenizer.to_str(),
            "padding": self.padding,
            "segments": self.segments,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.tokenizer = Tokenizer.from_str(state["tokenizer"])
        self.padding = state["padding"]
        self.segments = state["segments"]

    @property
    def _tokens(self) -> arrays.Tokens:
        return arrays.Tokens(self.tokenizer, self.cut, self.max_length, self.round_to, self.padding, self.segments)


def _pieces(parts: Sequence[str], tokens: arrays.Tokenised, tokenizer: Tokenizer) -> list[str]:
    """What each token stands for, up to where the next one of the same text begins; of a mark of an end its name."""
    pieces: list[str] = []
    for at, (number, kind, (start, end)) in enumerate(zip(tokens.ids, tokens.type_ids, tokens.spans, strict=True)):
        if start == end:
            pieces.append(tokenizer.id_to_token(number) or "")
            continue
        text = parts[min(kind, len(parts) - 1)]
        after = tokens.spans[at + 1] if at + 1 < len(tokens.spans) else (0, 0)
        # Blanks belong to what stands before them; what was cut out belongs to nobody.
        blanks = text[end : after[0]] if after[0] >= end else text[end:]
        pieces.append(text[start:end] + (blanks if not blanks.strip() else " … "))
    return pieces


def pad(samples: Sequence[Sample], length: int, padding: int) -> dict[str, Tensor]:
    """As `arrays.pad`, in tensors."""
    return tensors(arrays.pad([as_arrays(sample) for sample in samples], length, padding))


def pack(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """As `arrays.pack`, in tensors."""
    return tensors(arrays.pack([as_arrays(sample) for sample in samples]))
