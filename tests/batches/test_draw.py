"""Fresh training views of samples: random, and yet the same in whatever process, order and attempt."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from taskkit import DataError, Example, Processor
from taskkit.batches.encode import encode
from taskkit.batches.lazy import LazyEncoded
from taskkit.batches.loader import Loader
from taskkit.batches.plan import plan
from taskkit.batches.store import Encoded

EXAMPLES = [Example(str(number), number) for number in range(10)]


class Noisy(Processor):
    """A number, to which training adds a number between 0 and 1."""

    def read(self, source: str, options: Any) -> Sequence[Example]:
        return [Example(source, int(source))]

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        return [{"number": torch.tensor(float(example.input)), "flag_even": torch.tensor(example.input % 2 == 0)}]

    def draw(self, sample: Any, random: torch.Generator) -> dict[str, Tensor]:
        assert set(sample) == {"number"}
        return {"number": sample["number"] + torch.rand((), generator=random)}


class Cropped(Noisy):
    """Two numbers in a row of four, and batches that pad them."""

    layout: Literal["stacked", "padded", "packed"] = "padded"

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        return [{"number": torch.arange(4) + 10 * example.input}]

    def draw(self, sample: Any, random: torch.Generator) -> dict[str, Tensor]:
        first = int(torch.randint(3, (), generator=random))
        return {"number": sample["number"][first : first + 2]}

    def length(self, sample: Any) -> int:
        return len(sample["number"])


def loader(
    encoded: Encoded | None = None,
    processor: Processor | None = None,
    *,
    seed: int = 0,
    size: int = 4,
    workers: int = 0,
    shuffle: bool = True,
    resident: Literal["auto", "yes", "no"] = "auto",
    rank: int = 0,
    world: int = 1,
) -> Loader:
    processor = processor or Noisy()
    encoded = encode(EXAMPLES, processor, key=None) if encoded is None else encoded
    order = plan(encoded, processor, size, seed=seed, shuffle=shuffle)
    made = Loader(encoded, processor, order, resident=resident, workers=workers)
    made.place(torch.device("cpu"), rank, world)
    return made


def views(made: Loader, epoch: int = 0) -> list[list[float]]:
    made.plan.set_epoch(epoch)
    return [batch.tensors["number"].tolist() for batch in made]


def by_number(batches: Sequence[Sequence[float]]) -> list[float]:
    return sorted(number for batch in batches for number in batch)


def test_each_sample_is_drawn_by_itself_and_anew_in_each_epoch() -> None:
    made = loader()
    first, second = by_number(views(made, 0)), by_number(views(made, 1))
    assert [int(view) for view in first] == [int(view) for view in second] == [*range(10)]
    assert len({view % 1 for view in first + second}) == 20


def test_another_seed_draws_other_views() -> None:
    assert not set(by_number(views(loader()))) & set(by_number(views(loader(seed=1))))


def test_what_is_kept_stays_as_it_was_encoded() -> None:
    made = loader()
    views(made)
    assert [float(made.encoded[number]["number"]) for number in range(10)] == [*range(10)]


def test_validation_sees_samples_as_they_were_encoded() -> None:
    assert views(loader(shuffle=False)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("lazy", [False, True], ids=["ahead", "lazy"])
def test_views_are_the_same_with_and_without_workers(lazy: bool) -> None:
    encoded = LazyEncoded(EXAMPLES, Noisy()) if lazy else None
    made = loader(encoded, workers=2)
    assert [views(made, epoch) for epoch in range(2)] == [views(loader(), epoch) for epoch in range(2)]
    made.release()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_goes_on_draws_what_the_other_would_have_drawn(workers: int) -> None:
    straight = views(loader(), 3)
    resumed = loader(workers=workers)
    resumed.load_state_dict({"epoch": 3, "batch": 1})
    assert views(resumed, 3) == straight[1:]
    resumed.release()


def test_drawing_leaves_the_generators_of_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    views(loader())
    assert torch.equal(torch.rand(3), expected)


def test_processes_draw_what_one_draws_of_twice_the_batch() -> None:
    shares = [views(loader(rank=rank, world=2, size=2), 1) for rank in range(2)]
    together = [sorted(a + b) for a, b in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in views(loader(size=4), 1)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_view_may_be_shorter_than_what_was_encoded_and_counts_as_long_as_it_is(workers: int) -> None:
    made = loader(processor=Cropped(), workers=workers)
    firsts = set()
    for batch in made:
        assert batch.tensors["number"].shape == (batch.samples, 2)
        assert batch.real_size == batch.tensors["number"].numel()
        firsts |= {row[0] % 10 for row in batch.tensors["number"].tolist()}
    assert firsts == {0, 1, 2}
    made.release()


def test_views_that_are_drawn_anew_cannot_live_on_the_device() -> None:
    assert loader().device is None
    assert loader(shuffle=False).device == torch.device("cpu")
    with pytest.raises(DataError, match="are drawn anew"):
        loader(resident="yes")


class Scaled(Noisy):
    """Views of a number a hundred times as large as that which is judged; 7 cannot be drawn."""

    def drawable(self, example: Example) -> list[dict[str, Tensor]]:
        return [{"large": torch.tensor(100.0 * example.input), "flag_even": torch.tensor(example.input % 2 == 0)}]

    def draw(self, sample: Any, random: torch.Generator) -> dict[str, Tensor]:
        assert set(sample) == {"large"}
        if sample["large"] == 700:
            raise DataError("it is broken.")
        return {"number": sample["large"] + torch.rand((), generator=random)}


def drawable(lazy: bool, examples: Sequence[Example] = EXAMPLES[:7]) -> Encoded:
    if lazy:
        return LazyEncoded(examples, Scaled(), training=True)
    return encode(examples, Scaled(), key=None, training=True)


@pytest.mark.parametrize("lazy", [False, True], ids=["ahead", "lazy"])
@pytest.mark.parametrize("workers", [0, 2])
def test_views_are_drawn_of_what_a_processor_keeps_for_that(lazy: bool, workers: int) -> None:
    made = loader(drawable(lazy), Scaled(), workers=workers)
    found = by_number(views(made))
    made.release()
    assert [int(view) for view in found] == [100 * number for number in range(7)]
    assert len({view % 1 for view in found}) > 1
    assert views(loader(encode(EXAMPLES[:7], Scaled(), key=None), Scaled(), shuffle=False)) == [[0, 1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("lazy", [False, True], ids=["ahead", "lazy"])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_example_of_which_no_view_can_be_drawn_is_named(lazy: bool, workers: int) -> None:
    made = loader(drawable(lazy, EXAMPLES), Scaled(), workers=workers)
    with pytest.raises(DataError, match=r"^example '7': it is broken\."):
        views(made)
    made.release()


def test_no_more_than_one_of_what_views_are_drawn_of_is_held() -> None:
    done = list[str]()

    class Noted(Scaled):
        def drawable(self, example: Example) -> list[dict[str, Tensor]]:
            done.append("read")
            return super().drawable(example)

        def draw(self, sample: Any, random: torch.Generator) -> dict[str, Tensor]:
            done.append("drawn")
            return super().draw(sample, random)

    processor = Noted()
    made = loader(LazyEncoded(EXAMPLES[:7], processor, training=True), processor)
    done.clear()
    views(made)
    assert done == ["read", "drawn"] * 7
