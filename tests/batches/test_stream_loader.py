"""Loaders of streams: what is read in which order, by which process, and where a run goes on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import pytest
import torch
from torch import Tensor

from taskkit import DataError, Example, Processor, Stream
from taskkit.batches.loader import HostBatch, StreamLoader


@dataclass
class Numbers(Stream):
    """Each epoch has the numbers from 100 times its own on; `asked` keeps where each reading began."""

    size: int | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, epoch: int, start: int) -> Iterator[Example]:
        self.asked.append((epoch, start))
        for number in count(start) if self.size is None else range(start, self.size):
            yield Example(f"{epoch}/{number}", 100 * epoch + number)


@dataclass
class Halves(Processor):
    """Encodes a number, `times` over, and draws a view of each: the number and something random."""

    times: int = 1

    def read(self, source: str, options: Any) -> Sequence[Example]:
        return [Example(source, int(source))]

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        sample = {"number": torch.tensor(example.input), "flag_even": torch.tensor(example.input % 2 == 0)}
        return [sample] * self.times

    def draw(self, sample: Any, random: torch.Generator) -> Any:
        return {**sample, "view": torch.rand((), generator=random)}

    def length(self, sample: Any) -> int:
        return 3


def loader(size: int | None = None, *, times: int = 1, rank: int = 0, world: int = 1) -> StreamLoader:
    made = StreamLoader(Numbers(size), Halves(times), batch_size=4, seed=7)
    made.place(torch.device("cpu"), rank, world)
    return made


def numbers(batches: Iterator[HostBatch], how_many: int) -> list[list[int]]:
    return [batch.tensors["number"].tolist() for batch in islice(batches, how_many)]


def views(batches: Iterator[HostBatch], how_many: int) -> list[Tensor]:
    return [batch.tensors["view"] for batch in islice(batches, how_many)]


def test_a_stream_is_read_in_its_order_and_whole_batches_of_an_epoch_alone() -> None:
    assert numbers(iter(loader(10)), 5) == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [100, 101, 102, 103],
        [104, 105, 106, 107],
        [200, 201, 202, 203],
    ]


def test_a_batch_holds_numbers_of_examples_and_no_flags() -> None:
    (batch,) = islice(iter(loader(times=2)), 1)
    assert batch.tensors["example"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(batch.tensors) == {"number", "view", "example"}
    assert (batch.samples, batch.real_size) == (8, 24)


def test_processes_take_examples_of_their_own_and_together_all() -> None:
    one = StreamLoader(Numbers(40), Halves(), batch_size=8, seed=7)
    shares = [numbers(iter(loader(40, rank=rank, world=2)), 6) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == numbers(iter(one), 6)
    assert not {n for batch in shares[0] for n in batch} & {n for batch in shares[1] for n in batch}


def test_all_processes_have_as_many_batches_though_the_last_examples_would_do_for_one() -> None:
    shares = [numbers(iter(loader(12, rank=rank, world=2)), 2) for rank in range(2)]
    assert shares == [[[0, 1, 2, 3], [100, 101, 102, 103]], [[4, 5, 6, 7], [104, 105, 106, 107]]]


def test_an_example_is_drawn_alike_by_whichever_process_and_anew_in_each_epoch() -> None:
    one = StreamLoader(Numbers(8), Halves(), batch_size=8, seed=7)
    first, second = views(iter(one), 2)
    shares = torch.cat([views(iter(loader(8, rank=rank, world=2)), 1)[0] for rank in range(2)])
    assert torch.equal(shares, first)
    assert len({*first.tolist(), *second.tolist()}) == 16


def test_the_windows_of_an_example_are_drawn_apart() -> None:
    (view,) = views(iter(loader(times=2)), 1)
    assert len(set(view.tolist())) == 8


def test_views_are_drawn_of_what_a_processor_keeps_for_that() -> None:
    class Doubled(Halves):
        def drawable(self, example: Example) -> list[dict[str, Tensor]]:
            if example.input == 5:
                return [{"number": torch.tensor(-1)}]
            return [{"number": torch.tensor(2 * example.input)}]

        def draw(self, sample: Any, random: torch.Generator) -> Any:
            if sample["number"] < 0:
                raise DataError("it is broken.")
            return super().draw(sample, random)

    batches = iter(StreamLoader(Numbers(), Doubled(), batch_size=4))
    assert numbers(batches, 1) == [[0, 2, 4, 6]]
    with pytest.raises(DataError, match=r"^example '0/5': it is broken\."):
        next(batches)


@pytest.mark.parametrize("trained", range(6))
@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_loader_goes_on_after_what_was_trained_on_however_much_was_read_ahead(trained: int, ahead: int) -> None:
    straight = views(iter(loader(10)), 8)
    made = loader(10)
    views(iter(made), trained + ahead)
    for _ in range(trained):
        made.trained()
    resumed = loader(10)
    resumed.load_state_dict(made.state_dict())
    assert all(map(torch.equal, views(iter(resumed), 8 - trained), straight[trained:]))
    # The same loader, read anew, goes on there too.
    assert all(map(torch.equal, views(iter(made), 8 - trained), straight[trained:]))


def test_what_was_trained_on_is_not_read_again() -> None:
    made = loader(10)
    made.load_state_dict({"epoch": 3, "start": 4})
    assert numbers(iter(made), 1) == [[304, 305, 306, 307]]
    assert made.stream.asked == [(3, 4)]  # type: ignore[attr-defined]


def test_another_number_of_processes_goes_on_at_the_same_example() -> None:
    made = loader()
    views(iter(made), 3)
    for _ in range(3):
        made.trained()
    shares = []
    for rank in range(2):
        resumed = loader(rank=rank, world=2)
        resumed.load_state_dict(made.state_dict())
        shares += numbers(iter(resumed), 1)
    assert shares == [[12, 13, 14, 15], [16, 17, 18, 19]]


def test_a_stream_without_end_has_one_epoch() -> None:
    made = loader()
    assert numbers(iter(made), 50)[-1] == [196, 197, 198, 199]
    assert made.stream.asked == [(0, 0)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [0, 3])
def test_an_epoch_without_a_whole_batch_is_refused_instead_of_read_for_ever(size: int) -> None:
    with pytest.raises(DataError, match=f"epoch 0 has {size} examples. A batch for each process was expected, 4 in"):
        next(iter(loader(size)))
