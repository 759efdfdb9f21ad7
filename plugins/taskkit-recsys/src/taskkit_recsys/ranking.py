"""Where targets stand among all items, and what is recommended instead: on the device, for many users at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from taskkit_recsys.answer import Answer
from taskkit_recsys.arrays import NONE

LOWEST = torch.iinfo(torch.int64).min
"""Below the order of every item that has a score."""
MISSED = torch.iinfo(torch.int32).max
"""The place of a target that is not recommended at all."""
WORK = 16
"""What ranking holds at once beside the scores, in multiples of their size, rounded up."""


class Ranking(NamedTuple):
    """The places of the targets of some users, 1 the best, and what is recommended to them."""

    filtered: Tensor
    """(users, most): among the items that are not in the user's history; MISSED for one that is in it."""
    unfiltered: Tensor
    """(users, most): among all items."""
    sampled: Tensor | None
    """(users, most): among the target and a sample of the items that are not in the user's history."""
    top: Tensor
    """(users, k): the k best items that are not in the history, NONE where these are fewer."""
    nll: Tensor
    """(users, most): the negative log-likelihood of each target among all items, in nats."""


def rank(
    answer: Answer,
    target: Tensor,
    seen: Tensor,
    *,
    k: int,
    example: Tensor,
    sampled: int | None = None,
    budget: int = 2**26,
) -> Ranking:
    """Rank all items for each user; what is held at once takes about as much as `budget` scores.

    `target` (users, most), NONE where there is none; `seen` (users, any), the items of a history, NONE after them;
    `example` (users,) numbers the users, which decides the sample. Equal scores are ranked by item number.
    """
    parts = []
    for rows, scores in in_parts(answer, budget // WORK):
        ordered, history = order(scores), held(seen[rows], scores.shape[1])
        items, valid = target[rows].clamp(min=0).long(), target[rows] >= 0
        target_order = ordered.gather(1, items)
        new = ordered.masked_fill(history, LOWEST)
        parts.append(
            Ranking(
                _place(target_order, new).masked_fill(history.gather(1, items), MISSED),
                _place(target_order, ordered),
                None if sampled is None else _place(target_order, _sample(new, items, valid, example[rows], sampled)),
                best(new, k),
                scores.logsumexp(1, keepdim=True) - scores.gather(1, items),
            )
        )
    filtered, unfiltered, chance, top, nll = zip(*parts, strict=True)
    together = None if sampled is None else torch.cat(chance)
    return Ranking(torch.cat(filtered), torch.cat(unfiltered), together, torch.cat(top), torch.cat(nll))


@dataclass(frozen=True)
class SharedScores:
    """Scores of items that are the same for all users, whose ranking takes what the histories take."""

    nll: Tensor
    """The negative log-likelihood of each item (items,), in nats."""
    ranked: Tensor
    """The items (items,), best first."""
    place: Tensor
    """The place of each item (items,), 1 the best."""

    @classmethod
    def of(cls, scores: Tensor) -> SharedScores:
        """Those of some scores (items,)."""
        ranked = order(scores[None])[0].argsort(descending=True)
        place = torch.empty_like(ranked).scatter_(0, ranked, torch.arange(1, len(ranked) + 1, device=ranked.device))
        return cls(scores.logsumexp(0) - scores, ranked, place)

    def rank(self, target: Tensor, seen: Tensor, k: int) -> Ranking:
        """What `rank` gives, without a sample; `target` (users, most) and `seen` (users, any) as there."""
        items = target.clamp(min=0).long()
        unfiltered = self.place[items]
        taken = self.place[seen.clamp(min=0).long()].masked_fill(seen == NONE, MISSED)
        taken = torch.nn.functional.pad(taken.sort(1).values, (0, 1), value=MISSED)  # the places of what was seen
        ahead = torch.searchsorted(taken, unfiltered)
        # Before the place of the first item that was seen are as many new ones, before the second one fewer, …
        new_before = taken - torch.arange(1, taken.shape[1] + 1, device=taken.device)
        wanted = torch.arange(1, k + 1, device=taken.device).expand(len(taken), -1).contiguous()
        tops = wanted + torch.searchsorted(new_before, wanted)
        return Ranking(
            (unfiltered - ahead).masked_fill(taken.gather(1, ahead) == unfiltered, MISSED),
            unfiltered,
            None,
            self.ranked[(tops - 1).clamp(max=len(self.ranked) - 1)].masked_fill(tops > len(self.ranked), NONE),
            self.nll[items],
        )


def recommend(answer: Answer, seen: Tensor | None, k: int, budget: int = 2**26) -> tuple[Tensor, Tensor]:
    """The k best items for each user, NONE where there are fewer, and their scores, both (users, k).

    Those of `seen` are left out.
    """
    items, values = [], []
    for rows, scores in in_parts(answer, budget):
        ordered = order(scores)
        if seen is not None:
            ordered = ordered.masked_fill(held(seen[rows], scores.shape[1]), LOWEST)
        items.append(best(ordered, k))
        values.append(scores.gather(1, items[-1].clamp(min=0)))
    return torch.cat(items), torch.cat(values)


def in_parts(answer: Answer, budget: int) -> Iterator[tuple[slice, Tensor]]:
    """Some users and their scores (users, items), until all had their turn; no score is NaN."""
    users, items = answer.shape
    step = max(budget // items, 1)
    for start in range(0, users, step):
        yield slice(start, start + step), answer.scores(start, start + step).nan_to_num(nan=-torch.inf)


def order(scores: Tensor) -> Tensor:
    """Whole numbers in the order of the scores (users, items); among equal scores the first item has the highest.

    No two items of a user have the same, so nothing depends on how a device sorts, or on what else is in a batch.
    """
    bits = (scores.float() + 0.0).view(torch.int32)  # adding zero makes -0.0 equal to 0.0
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()  # the bits of negative floats run backwards
    return (ordered << 32) - torch.arange(scores.shape[1], device=scores.device)


def best(ordered: Tensor, k: int) -> Tensor:
    """The k items that are highest in their order (users, items), best first; NONE where fewer are above LOWEST."""
    highest = ordered.topk(min(k, ordered.shape[1]))
    items = highest.indices.masked_fill(highest.values == LOWEST, NONE)
    return torch.nn.functional.pad(items, (0, k - items.shape[1]), value=NONE)


def held(seen: Tensor, items: int) -> Tensor:
    """Which of so many items are among those seen: lists (users, any), NONE after them, in, bool (users, items) out."""
    there = torch.zeros(len(seen), items + 1, dtype=torch.bool, device=seen.device)
    return there.scatter_(1, seen.long() % (items + 1), True)[:, :items]  # NONE becomes the last one, no item's


def _place(targets: Tensor, items: Tensor) -> Tensor:
    """The place, 1 the best, of the order of each target (users, most) among that of items (users, items)."""
    return torch.stack([(items > column[:, None]).sum(1) for column in targets.T], 1) + 1


def _sample(ordered: Tensor, targets: Tensor, valid: Tensor, example: Tensor, count: int) -> Tensor:
    """The order of `count` random items that are neither seen nor targets (users, count).

    The sample depends on the number of the example alone.
    """
    chance = _hash(example[:, None].long() * ordered.shape[1] + torch.arange(ordered.shape[1], device=ordered.device))
    chance = chance.masked_fill(ordered == LOWEST, LOWEST)
    chance = chance.scatter(1, targets, chance.gather(1, targets).masked_fill(valid, LOWEST))
    drawn = chance.topk(min(count, ordered.shape[1]))
    return ordered.gather(1, drawn.indices).masked_fill(drawn.values == LOWEST, LOWEST)


def _hash(numbers: Tensor) -> Tensor:
    """Scramble int64 numbers, as the finaliser of SplitMix64 does (Steele et al., 2014)."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        numbers = (numbers ^ (numbers >> shift)) * factor
    return numbers ^ (numbers >> 31)
