"""What holds for all values: what is written reads back the same, and every plan hands over every sample once."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from taskkit import Catalogue, Classes, DataSpec, Record, Values
from taskkit.batches.plan import Bucketed, Fixed, Packed, Plan
from taskkit.errors import DataError, RecipeError
from taskkit.recipe.dump import document, inline
from taskkit.recipe.merge import file_layer, override_layer, scalar
from taskkit.runs.checkpoint import check_plain
from taskkit.runs.packing import pack, stated_facts, unpack

QUICK = settings(max_examples=150, deadline=None)

# Control characters and lone halves of characters are refused when a recipe is read.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TREES = st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), min_size=1, max_size=4)


@QUICK
@given(TREES)
def test_what_is_written_as_yaml_reads_back_the_same_here_and_elsewhere(values: dict[str, Any]) -> None:
    text = document(values, {})
    assert file_layer("some.yaml", text.encode()).values == values
    assert yaml.safe_load(text) == values


@QUICK
@given(NAMES, NAMES, VALUES)
def test_a_change_on_the_command_line_reads_as_it_would_in_a_file(section: str, name: str, value: Any) -> None:
    layer = override_layer(f"{section}.{name}={inline(value)}")
    assert layer.values == {section: {name: value}}


@QUICK
@given(st.text(max_size=20))
def test_a_bare_word_is_a_value_or_the_word_itself(text: str) -> None:
    value = scalar(text)
    if isinstance(value, str):
        assert value == text
    elif isinstance(value, float):
        assert not math.isfinite(value) or value == float(text.replace("_", ""))


@QUICK
@given(st.binary(max_size=60))
def test_whatever_bytes_a_recipe_holds_it_is_read_or_refused_with_a_place(content: bytes) -> None:
    try:
        found = list(file_layer("some.yaml", content).places.values())
    except RecipeError as error:
        found = [problem.where for problem in error.problems]
    assert all(where.startswith("some.yaml") for where in found)


LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def plans(lengths: list[int], batch_size: int, budget: int, **options: Any) -> list[Plan]:
    """One of each kind, over samples of these lengths."""
    sizes = np.array(lengths, dtype=np.int64)
    return [
        Fixed(len(lengths), batch_size, **options),
        Bucketed(sizes, max(budget, max(lengths)), **options),
        Packed(sizes, max(budget, 2 * max(lengths)), **options),
    ]


@QUICK
@given(LENGTHS, st.integers(1, 20), st.integers(1, 300), st.integers(0, 5), st.booleans())
def test_an_epoch_of_any_plan_holds_every_sample_once(
    lengths: list[int], batch_size: int, budget: int, epoch: int, shuffle: bool
) -> None:
    for plan in plans(lengths, batch_size, budget, seed=3, shuffle=shuffle):
        plan.set_epoch(epoch)
        batches = [batch.tolist() for batch in plan.batches()]
        assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
        assert len(batches) == len(plan)
        assert all(batches)


@QUICK
@given(LENGTHS, st.integers(1, 20), st.integers(1, 300), st.integers(1, 4))
def test_every_epoch_of_a_shuffled_plan_has_as_many_batches(
    lengths: list[int], batch_size: int, budget: int, world: int
) -> None:
    assume(len(lengths) >= world)
    for plan in plans(lengths, batch_size, budget, seed=1, shuffle=True, world=world):
        counts = set()
        for epoch in range(4):
            plan.set_epoch(epoch)
            counts.add(len(plan))
        assert len(counts) == 1


@QUICK
@given(LENGTHS, st.integers(1, 20), st.integers(1, 300), st.integers(2, 4), st.integers(0, 3))
def test_what_processes_hold_together_is_what_one_would_with_a_larger_batch(
    lengths: list[int], batch_size: int, budget: int, world: int, epoch: int
) -> None:
    assume(len(lengths) >= world)
    options = {"seed": 5, "shuffle": True}
    for kind in range(3):
        try:
            shares = [
                plans(lengths, batch_size, budget, rank=rank, world=world, **options)[kind] for rank in range(world)
            ]
            for share in shares:
                share.set_epoch(epoch)
            parts = [[batch.tolist() for batch in share.batches()] for share in shares]
        except DataError:
            continue
        assert sorted(chain.from_iterable(chain.from_iterable(parts))) == list(range(len(lengths)))
        if kind:  # plans of a budget give every process a share of every batch
            assert len({len(part) for part in parts}) == 1


@QUICK
@given(LENGTHS, st.integers(1, 300), st.integers(0, 3))
def test_batches_keep_to_their_budget(lengths: list[int], budget: int, epoch: int) -> None:
    _, bucketed, packed = plans(lengths, 1, budget, shuffle=True)
    bucketed.set_epoch(epoch)
    packed.set_epoch(epoch)
    most = max(lengths)
    for batch in bucketed.batches():
        assert len(batch) * max(lengths[n] for n in batch) <= max(budget, most)
    for batch in packed.batches():
        assert sum(lengths[n] for n in batch) <= max(budget, 2 * most) + most


@QUICK
@given(LENGTHS, st.integers(1, 20), st.integers(1, 300), st.integers(0, 30))
def test_a_plan_goes_on_where_it_was(lengths: list[int], batch_size: int, budget: int, done: int) -> None:
    for plan in plans(lengths, batch_size, budget, seed=2, shuffle=True):
        whole = [batch.tolist() for batch in plan.batches()]
        assert [batch.tolist() for batch in plan.batches(done)] == whole[done:]


NAMED = st.lists(TEXT, min_size=1, max_size=5, unique=True).map(tuple)
FACTS = st.one_of(
    st.builds(lambda names: Classes(names, tuple(range(len(names)))), NAMED),
    st.builds(lambda names: Values(names, (0.5,) * len(names), (1.5,) * len(names)), NAMED),
)
NESTED = st.recursive(
    FACTS, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(Record), max_leaves=4
)


@QUICK
@given(NESTED, NESTED)
def test_facts_however_nested_come_back_from_a_checkpoint_as_they_were(one: Any, other: Any) -> None:
    spec = DataSpec(one, other, "print", protocol={"splits": "by hash"})
    assert unpack(pack(spec), stated_facts(spec)) == spec


@QUICK
@given(st.lists(TEXT, max_size=20))
def test_a_catalogue_that_came_back_is_the_same_without_its_names(names: list[str]) -> None:
    whole = Catalogue(names)
    again = Catalogue(None, whole.size, whole.sha256)
    assert whole == again
    assert len(again) == len(names)
    if names:
        assert whole != Catalogue(names[:-1])
        with pytest.raises(LookupError, match="keeps no names"):
            again[0]


@QUICK
@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
    )
)
def test_plain_data_may_be_saved(value: Any) -> None:
    check_plain("a state", {"value": value, "weight": torch.zeros(2)})
