"""The order of samples, and loaders that hand them over."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from taskkit import DataError, Example, Processor
from taskkit.batches.encode import encode
from taskkit.batches.loader import Loader
from taskkit.batches.plan import Bucketed, Fixed

CPU = torch.device("cpu")


class Numbers(Processor):
    """A sample holds its number, repeated as often as `width` says."""

    def __init__(self, ragged: bool = False) -> None:
        self.ragged = ragged

    def read(self, source: str, options: Any) -> list[Example]:
        return [Example(source, int(source))]

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        width = example.input % 3 + 1 if self.ragged else 2
        return [{"number": torch.full((width,), example.input), "flag_even": torch.tensor(example.input % 2 == 0)}]


def loader(count: int = 23, *, resident: str = "auto", workers: int = 0, ragged: bool = False, **plan: int) -> Loader:
    processor = Numbers(ragged)
    encoded = encode([Example(str(i), i) for i in range(count)], processor, key=None)
    order = Fixed(count, batch_size=4, seed=5, shuffle=True)
    made = Loader(encoded, processor, order, resident=resident, workers=workers)  # type: ignore[arg-type]
    made.place(CPU, plan.get("rank", 0), plan.get("world", 1))
    return made


def handed(made: Loader, epoch: int = 0) -> list[list[int]]:
    made.sampler.set_epoch(epoch)
    return [batch.tensors["example"].tolist() for batch in made]


def flat(batches: Sequence[Sequence[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


def test_an_epoch_hands_over_every_sample_once_in_an_order_of_its_own() -> None:
    made = loader()
    first, second = handed(made, 0), handed(made, 1)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(23))
    assert first != second
    assert [len(batch) for batch in first] == [4, 4, 4, 4, 4, 3]


def test_the_order_is_the_same_for_every_loader_of_a_seed() -> None:
    orders = [handed(loader(resident=where, workers=n), 3) for where, n in (("yes", 0), ("no", 0), ("no", 2))]
    assert orders[0] == orders[1] == orders[2]


class Lists(Numbers):
    """Lists of different lengths, which are filled up."""

    fill_values: ClassVar = {"number": -1}

    def __init__(self) -> None:
        super().__init__(ragged=True)


def test_lists_are_filled_up_alike_on_the_device_and_off_it() -> None:
    processor = Lists()
    encoded = encode([Example(str(i), i) for i in range(23)], processor, key=None)
    batches = {}
    for where in ("yes", "no"):
        order = Fixed(23, batch_size=4, seed=5, shuffle=True)
        made = Loader(encoded, processor, order, resident=where, workers=0)  # type: ignore[arg-type]
        made.place(CPU, 0, 1)
        batches[where] = [batch.tensors for batch in made]
    for resident, read in zip(*batches.values(), strict=True):
        assert resident.keys() == read.keys()
        assert all(torch.equal(tensor, read[name]) for name, tensor in resident.items())
        for number, example in zip(resident["number"], resident["example"].tolist(), strict=True):
            count = example % 3 + 1
            assert number.tolist() == [example] * count + [-1] * (len(number) - count)
    assert {batch["number"].shape[1] for batch in batches["yes"]} <= {1, 2, 3}


def test_a_batch_holds_the_samples_that_its_numbers_name() -> None:
    for where in ("yes", "no"):
        for batch, indices, size in loader(resident=where):
            assert torch.equal(batch["number"], batch["example"][:, None].expand(-1, 2))
            assert indices.tolist() == batch["example"].tolist()
            assert size == len(indices)


@pytest.mark.parametrize(("resident", "workers"), [("yes", 0), ("no", 0), ("no", 2)])
def test_a_loader_goes_on_after_the_batches_that_it_handed_over(resident: str, workers: int) -> None:
    straight = handed(loader(), 2)
    made = loader(resident=resident, workers=workers)
    made.sampler.set_epoch(2)
    batches = iter(made)
    seen = [next(batches).tensors["example"].tolist() for _ in range(2)]
    resumed = loader(resident=resident, workers=workers)
    resumed.load_state_dict(made.state_dict())
    assert seen + handed(resumed, 2) == straight
    assert handed(resumed, 3) == handed(loader(), 3)


def test_what_was_skipped_is_not_read() -> None:
    made = loader(resident="no")
    read = []
    item = type(made.encoded).__getitem__
    made.encoded.__class__ = type(
        "Watched", (type(made.encoded),), {"__getitem__": lambda self, i: (read.append(i), item(self, i))[1]}
    )
    made.load_state_dict({"epoch": 0, "batch": 4})
    assert read == flat(handed(made, 0))
    assert len(read) == 7


def test_processes_share_the_batches_of_one_with_a_larger_batch() -> None:
    shares = [handed(loader(rank=rank, world=2), 1) for rank in range(2)]
    one = loader()
    one.plan.batch_size = 8
    whole = handed(one, 1)
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(batch) for batch in whole]


@pytest.mark.parametrize("resident", ["yes", "no"])
def test_a_flag_of_a_sample_is_for_a_person_and_in_no_batch(resident: str) -> None:
    made = loader(resident=resident)
    assert all(set(batch.tensors) == {"number", "example"} for batch in made)
    assert made.encoded.flagged() == {"even": [str(number) for number in range(0, 23, 2)]}


def test_a_loader_knows_how_many_samples_a_training_batch_of_a_budget_has_on_average() -> None:
    made = loader()
    assert made.samples_per_batch is None
    made.plan = Bucketed(np.full(23, 2), 14.0, shuffle=True)
    assert made.samples_per_batch == 23 / 4
    made.place(CPU, rank=1, world=2)
    assert made.samples_per_batch == 23 / (2 * 2)


def test_residence_that_cannot_be_is_refused_with_a_reason() -> None:
    with pytest.raises(DataError, match="needs samples of one shape"):
        loader(ragged=True, resident="yes")
