"""Which samples make which batch."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from taskkit import DataError, Example, Processor, Unit
from taskkit.batches.encode import encode
from taskkit.batches.plan import Bucketed, Fixed, Packed, Plan, plan
from taskkit.batches.store import Encoded

LENGTHS = np.random.default_rng(0).integers(1, 100, 500)
PADDED = -(-LENGTHS // 16) * 16


class Texts(Processor):
    """An example of n tokens; a list gives a window for each of its numbers."""

    unit = Unit("tokens")

    def __init__(self, layout: str) -> None:
        self.layout = layout  # type: ignore[assignment]

    def read(self, source: str, options: Any) -> Sequence[Example]:
        return [Example(source, int(source))]

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        counts = example.input if isinstance(example.input, list) else [example.input]
        return [{"tokens": torch.zeros(count)} for count in counts]

    def length(self, sample: dict[str, Tensor]) -> int:  # type: ignore[override]
        return len(sample["tokens"])

    def padded_length(self, length: int) -> int:
        return -(-length // 16) * 16


def encoded(layout: str, inputs: Sequence[object] = LENGTHS.tolist()) -> tuple[Encoded, Texts]:
    processor = Texts(layout)
    return encode([Example(str(n), value) for n, value in enumerate(inputs)], processor, key=None), processor


def made(kind: str, **options: object) -> Plan:
    plans = {
        "fixed": lambda: Fixed(500, 7, **options),
        "bucketed": lambda: Bucketed(PADDED, 512.0, **options),
        "packed": lambda: Packed(LENGTHS, 512.0, **options),
    }
    return plans[kind]()  # type: ignore[no-any-return]


kinds = pytest.mark.parametrize("kind", ["fixed", "bucketed", "packed"])


@kinds
def test_every_sample_is_handed_over_once_an_epoch_in_an_order_of_its_own(kind: str) -> None:
    one, epochs = made(kind, seed=3, shuffle=True), []
    for epoch in range(3):
        one.set_epoch(epoch)
        epochs.append(list(chain(*(numbers.tolist() for numbers in one.batches()))))
    assert all(sorted(numbers) == list(range(500)) for numbers in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@kinds
def test_every_epoch_has_as_many_batches(kind: str) -> None:
    one, counts = made(kind, shuffle=True), set()
    for epoch in range(20):
        one.set_epoch(epoch)
        counts.add(len(list(one.batches())))
    assert counts == {len(one)}


@kinds
def test_an_order_is_that_of_seed_and_epoch_alone(kind: str) -> None:
    one, other = made(kind, seed=4, shuffle=True), made(kind, seed=4, shuffle=True)
    list(other.batches())
    one.set_epoch(5)
    other.set_epoch(5)
    for a, b in zip(one.batches(2), list(other.batches())[2:], strict=True):
        assert a.tolist() == b.tolist()


@kinds
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_have_as_many_batches_each_and_share_every_sample(kind: str, shuffle: bool) -> None:
    shares = [made(kind, shuffle=shuffle, rank=rank, world=3) for rank in range(3)]
    if shuffle or kind != "fixed":
        assert len({len(share) for share in shares}) == 1
    assert sorted(chain(*(numbers.tolist() for share in shares for numbers in share.batches()))) == list(range(500))


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("kind", ["bucketed", "packed"])
def test_the_mean_size_of_a_batch_is_that_of_one_process(kind: str, world: int) -> None:
    sizes = [len(b) for rank in range(world) for b in made(kind, shuffle=True, rank=rank, world=world).batches()]
    assert min(sizes) < max(sizes)
    assert made(kind, shuffle=True, world=world).samples_per_batch == pytest.approx(np.mean(sizes))
    assert made("fixed", shuffle=True).samples_per_batch is None


def test_a_padded_batch_holds_samples_of_one_padded_length_within_the_budget() -> None:
    batches = list(made("bucketed", shuffle=True).batches())
    mixed = [numbers for numbers in batches if len(set(PADDED[numbers])) > 1]
    assert all(len(numbers) * PADDED[numbers].max() <= 512 for numbers in batches)
    assert len(mixed) <= len(set(PADDED))
    # What a length leaves over goes to the next one, instead of making a shape of its own.
    assert len({(len(numbers), PADDED[numbers].max()) for numbers in batches}) <= len(set(PADDED)) + 2


def test_buckets_waste_less_than_batches_of_any_samples() -> None:
    def padding(one: Plan) -> float:
        held = sum(len(numbers) * PADDED[numbers].max() for numbers in one.batches())
        return 1 - LENGTHS.sum() / held

    assert padding(made("bucketed", shuffle=True)) < 0.2
    assert padding(Fixed(500, 10, shuffle=True)) > 0.35


def test_a_packed_batch_holds_the_budget_and_one_sample_more_at_most() -> None:
    sums = [LENGTHS[numbers].sum() for numbers in made("packed", shuffle=True).batches()]
    assert max(sums) < 512 + LENGTHS.max()
    assert np.mean(sums[:-1]) == pytest.approx(512, rel=0.1)


def test_without_a_budget_a_batch_holds_as_many_units_as_so_many_mean_samples() -> None:
    for layout, lengths in (("padded", PADDED), ("packed", LENGTHS)):
        one = plan(*encoded(layout), 16)
        assert one.budget == pytest.approx(16 * lengths.mean())  # type: ignore[attr-defined]
        assert len(one) == pytest.approx(500 / 16, rel=0.15)


def test_a_budget_that_does_not_hold_the_longest_sample_is_refused() -> None:
    with pytest.raises(DataError, match=r"loader\.budget: 50 tokens do not hold the longest sample, which has 99"):
        plan(*encoded("packed"), 16, budget=50)


def test_a_budget_where_all_samples_have_one_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"loader\.budget is 50, but these samples all have one shape"):
        plan(*encoded("stacked"), 16, budget=50)


def test_several_processes_need_a_budget_of_two_samples() -> None:
    with pytest.raises(DataError, match="at least two of the longest samples"):
        len(Packed(LENGTHS, 100.0, world=2))


def test_the_windows_of_an_example_keep_their_order() -> None:
    windows = encoded("padded", [[96, 96, 5], 3, [96, 1]])
    assert isinstance(plan(*windows, 2, shuffle=True), Bucketed)
    one = plan(*windows, 2)
    assert list(chain(*(numbers.tolist() for numbers in one.batches()))) == list(range(6))


def test_samples_of_a_few_blocks_at_a_time_are_shuffled_among_each_other() -> None:
    order = Fixed(50, 1, seed=2, shuffle=True, blocks=np.array([10, 20, 30, 40, 50]), together=2)
    epochs = []
    for epoch in range(3):
        order.set_epoch(epoch)
        numbers = np.concatenate(list(order.batches()))
        assert sorted(numbers) == list(range(50))
        read = [np.unique(part // 10).tolist() for part in np.split(numbers, [20, 40])]
        assert [len(blocks) for blocks in read] == [2, 2, 1]
        # Both blocks of a part are read in turn, and not one after the other.
        assert np.count_nonzero(np.diff(numbers[:20] // 10)) > 4
        epochs.append(numbers.tolist())
    assert len({tuple(numbers) for numbers in epochs}) == 3
