"""Texts as token numbers: cut to a length, and put together padded or packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from taskkit import Batch, DataSpec, Example, Sample
from taskkit_text.processor import TextProcessor, flags, target

Truncate = Literal["head", "head_tail"]


class Tokenised(NamedTuple):
    """Token numbers, which text of a pair each is of, whether the text was longer, and whether any is known."""

    ids: list[int]
    type_ids: list[int]
    truncated: bool
    known: bool


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
        super().__init__(spec, max_characters)
        self.max_length = max_length
        self.truncate: Truncate = truncate
        self.round_to = round_to
        self.layout = "packed" if packed else "padded"

    def encode(self, example: Example) -> Sequence[Sample]:
        """`input_ids`: int32 (tokens,), `target`, for some pairs `token_type_ids`, and `flags`."""
        tokens = tokenise(self.tokenizer, self.parts(example.input), self.max_length, self.truncate)
        sample = {
            "input_ids": torch.tensor(tokens.ids, dtype=torch.int32),
            **flags(tokens.truncated or self.is_too_long(example.input), tokens.known),
            **target(example),
        }
        if self.segments:
            sample["token_type_ids"] = torch.tensor(tokens.type_ids, dtype=torch.int32)
        return [sample]

    def shortened(self, text: str) -> str:
        """Its beginning, or its beginning and its end, as `truncate` says."""
        if self.truncate == "head" or len(text) <= self.max_characters:
            return super().shortened(text)
        tail = self.max_characters // 2
        return text[: self.max_characters - tail] + text[len(text) - tail :]

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


def tokenise(tokenizer: Tokenizer, parts: Sequence[str], max_length: int, truncate: Truncate) -> Tokenised:
    """The tokens of a text or of a pair, with those that mark their ends, and whether some had to go.

    Of a pair, the longer text gives way first.
    """
    encodings = [tokenizer.encode(part, add_special_tokens=False) for part in parts]
    lengths = [len(encoding) for encoding in encodings]
    room = max_length - tokenizer.num_special_tokens_to_add(len(parts) == 2)
    kept = _shares(lengths, room)
    whole = tokenizer.post_process(encodings[0], encodings[1] if len(encodings) == 2 else None)
    unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
    known = any(number != unknown for encoding in encodings for number in encoding.ids)
    if kept == lengths:
        return Tokenised(whole.ids, whole.type_ids, truncated=False, known=known)
    # The library's own way of cutting keeps all that it cuts off, for a pair in all combinations.
    left = _left(whole.special_tokens_mask, lengths, kept, truncate)
    ids, types = ([column[place] for place in left] for column in (whole.ids, whole.type_ids))
    return Tokenised(ids, types, truncated=True, known=known)


def pad(samples: Sequence[Sample], length: int, padding: int) -> dict[str, Tensor]:
    """`input_ids` (texts, length), int64; `attention_mask`, bool, of the same shape, where any is padding."""
    lengths = [len(sample["input_ids"]) for sample in samples]
    batch: dict[str, Tensor] = {}
    for name, fill in (("input_ids", padding), ("token_type_ids", 0)):
        if name in samples[0]:
            batch[name] = torch.full((len(samples), length), fill)
            for row, sample in enumerate(samples):
                batch[name][row, : lengths[row]] = sample[name]
    if min(lengths) < length:
        batch["attention_mask"] = torch.arange(length) < torch.tensor(lengths)[:, None]
    return batch


def pack(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """`input_ids` and `position_ids` (1, all tokens), int64; positions begin again at 0 with each text.

    `offsets` (texts + 1,), int32, say where each text begins, and where the last one ends.
    """
    names = ("input_ids", "token_type_ids")
    batch = {name: torch.cat([s[name] for s in samples]).long()[None] for name in names if name in samples[0]}
    lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    positions = torch.arange(int(offsets[-1])) - offsets[:-1].repeat_interleave(lengths)
    return {**batch, "position_ids": positions[None], "offsets": offsets.int()}


def _shares(lengths: Sequence[int], room: int) -> list[int]:
    """How many tokens of each text there is room for."""
    if sum(lengths) <= room:
        return list(lengths)
    if len(lengths) == 1:
        return [room]
    shorter = min(*lengths, room // 2)
    return [shorter, room - shorter] if lengths[0] < lengths[1] else [room - shorter, shorter]


def _left(ends: Sequence[int], lengths: Sequence[int], kept: Sequence[int], truncate: Truncate) -> list[int]:
    """The places of the tokens that are left: all that mark `ends`, and of each text the `kept` first ones.

    Or, of each text, half as many of the first ones and of the last ones.
    """
    tails = [share // 2 if truncate == "head_tail" else 0 for share in kept]
    stays = (
        place < share - tail or place >= length - tail
        for length, share, tail in zip(lengths, kept, tails, strict=True)
        for place in range(length)
    )
    return [place for place, end in enumerate(ends) if end or next(stays)]
