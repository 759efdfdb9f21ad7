"""Samples that are encoded whenever they are read: the same as others, and never kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

import taskkit
from taskkit import DataError, Example, Processor
from taskkit.batches.encode import encode
from taskkit.batches.lazy import LazyEncoded
from taskkit.batches.loader import Loader
from taskkit.batches.plan import plan
from taskkit.batches.store import Encoded
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from tests.same_run import assert_same_weights

CPU = torch.device("cpu")
EXAMPLES = [Example(f"no. {number}", number, 2 * number) for number in range(11)]
WAVES = """
title: Waves
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves}
loader: {batch_size: 32}
trainer: {max_epochs: 2, accelerator: cpu, precision: 32-true}
meter: {every_n_steps: 4}
"""


@dataclass
class Squares(Processor):
    """A number and its square; `encoded` keeps what was asked for."""

    times: int = 1
    encoded: list[int] = field(default_factory=list)

    def read(self, source: str, options: Any) -> Sequence[Example]:
        return [Example(source, int(source))]

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        self.encoded.append(example.input)
        sample = {"square": torch.tensor([example.input, example.input**2]), "target": torch.tensor(example.target)}
        return [{**sample, "flag_even": torch.tensor(example.input % 2 == 0)}] * self.times

    def length(self, sample: Any) -> int:
        return len(sample["square"])


class Padded(Squares):
    layout = "padded"


def batches(encoded: Encoded, processor: Processor, workers: int) -> list[dict[str, Tensor]]:
    order = plan(encoded, processor, 4, seed=3, shuffle=True)
    loader = Loader(encoded, processor, order, workers=workers)
    loader.place(CPU, 0, 1)
    return [dict(batch.tensors) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_samples_that_were_encoded_ahead(workers: int) -> None:
    ahead = batches(encode(EXAMPLES, Squares(), key=None), Squares(), 0)
    lazy = batches(LazyEncoded(EXAMPLES, Squares()), Squares(), workers)
    assert len(lazy) == len(ahead) == 3
    for one, other in zip(lazy, ahead, strict=True):
        assert one.keys() == other.keys() == {"square", "target", "example"}
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_sample_is_encoded_when_it_is_read_and_again_each_time() -> None:
    processor = Squares()
    encoded = LazyEncoded(EXAMPLES, processor)
    assert processor.encoded == [0]
    encoded[7]
    assert processor.encoded == [0, 7]
    batches(encoded, processor, 0)
    batches(encoded, processor, 0)
    assert sorted(processor.encoded) == sorted([0, 7, *range(11), *range(11)])


def test_sizes_are_known_though_nothing_was_encoded() -> None:
    encoded = LazyEncoded(EXAMPLES, Squares())
    assert len(encoded) == len(encoded.ids) == 11
    assert encoded.ids[3] == "no. 3"
    assert encoded.lengths.tolist() == [2] * 11


def test_samples_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"loader.encode is lazy, but this model's samples differ in length"):
        LazyEncoded(EXAMPLES, Padded())


def test_an_example_of_several_samples_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"example 'no. 0': it gives 2 samples. One was expected"):
        LazyEncoded(EXAMPLES, Squares(times=2))


class Picky(Squares):
    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        if example.input == 7:
            raise ZeroDivisionError("seven")
        return super().encode(example)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_example_that_cannot_be_encoded_is_one_line_that_names_it(workers: int) -> None:
    with pytest.raises(DataError) as raised:
        batches(LazyEncoded(EXAMPLES, Picky()), Picky(), workers)
    wanted = "example 'no. 7': Picky cannot encode it: ZeroDivisionError: seven. Mend the example, or leave it out of"
    assert str(raised.value) == f"{wanted} the data."


def test_samples_that_are_encoded_when_they_are_read_cannot_live_on_the_device() -> None:
    encoded, processor = LazyEncoded(EXAMPLES, Squares()), Squares()
    loader = Loader(encoded, processor, plan(encoded, processor, 4), resident="yes")
    with pytest.raises(DataError, match=r"loader.resident: yes needs samples"):
        loader.place(CPU, 0, 1)


@pytest.fixture
def series(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """The plugin `taskkit-series`, its recipe in the current directory and an empty cache."""
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    Path("waves.yaml").write_text(WAVES)
    return discover(["taskkit-series"])


def test_a_run_learns_the_same_and_keeps_no_sample(series: Plugins) -> None:
    before = set(psutil.Process().children())
    ahead = taskkit.run("waves.yaml", ["loader.cache=false"], out="ahead", plugins=series)
    lazy = taskkit.run("waves.yaml", ["loader.encode=lazy", "loader.workers=2"], out="lazy", plugins=series)
    assert_same_weights(lazy.path, ahead.path)
    assert lazy.metrics == ahead.metrics
    assert lazy.manifest.data.sizes == ahead.manifest.data.sizes == {"train": 256, "val": 32, "test": 32}
    assert lazy.manifest.cost.padding == ahead.manifest.cost.padding == 0
    assert taskkit.load_run("lazy", plugins=series).evaluate().metrics == lazy.metrics
    assert not list(Path("cache").glob("samples/*"))
    # A run ends with the processes that read for it.
    assert set(psutil.Process().children()) <= before
