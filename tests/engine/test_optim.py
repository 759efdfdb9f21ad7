"""Optimisers, their groups and their schedules."""

from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from taskkit.contracts.recipe import OptimSection
from taskkit.engine.optim import factor, make_optimiser, moving_average, parameter_groups
from taskkit.engine.overflow import Skipped
from taskkit.errors import TaskkitError


def network() -> nn.Sequential:
    """A stem, two blocks and a head."""
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1))


def test_the_rate_warms_up_to_its_peak_and_falls_to_its_end() -> None:
    section = OptimSection(warmup=0.1, schedule="cosine", min_lr=0.01)
    rates = [factor(step, section=section, total=100) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.505)
    assert rates[100] == pytest.approx(0.01)
    assert rates == [*sorted(rates[:11]), *sorted(rates[11:], reverse=True)]


def test_a_warm_up_of_one_or_more_is_counted_in_steps() -> None:
    section = OptimSection(warmup=4, schedule="linear")
    assert [factor(step, section=section, total=8) for step in (0, 3, 4, 6, 8)] == [0.2, 0.8, 1.0, 0.5, 0.0]


def test_a_rate_of_three_stages_warms_up_holds_and_falls_by_equal_ratios() -> None:
    section = OptimSection(warmup=0.1, hold=0.4, schedule="exponential", min_lr=0.05)
    rates = [factor(step, section=section, total=100) for step in range(101)]
    assert set(rates[10:51]) == {1.0}
    assert [rates[75], rates[100]] == pytest.approx([0.05**0.5, 0.05])
    assert rates[60] / rates[59] == pytest.approx(rates[90] / rates[89])


def test_a_constant_schedule_stays() -> None:
    assert {factor(step, section=OptimSection(schedule="constant"), total=10) for step in range(20)} == {1.0}


def test_matrices_decay_and_vectors_do_not() -> None:
    groups = parameter_groups(OptimSection(weight_decay=0.1), network(), ())
    assert {p.ndim: group["weight_decay"] for group in groups for p in group["params"]} == {2: 0.1, 1: 0.0}


def test_the_rate_shrinks_with_each_block_away_from_the_output() -> None:
    net = network()
    groups = parameter_groups(OptimSection(lr=1.0, layer_decay=0.5), net, [net[1], net[2]])
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert [rates[id(layer.weight)] for layer in net] == [0.25, 0.5, 1.0, 1.0]


def test_layer_decay_without_known_blocks_is_an_error() -> None:
    with pytest.raises(TaskkitError, match="does not say what its blocks are"):
        parameter_groups(OptimSection(layer_decay=0.5), network(), ())


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("SGD", "SGD"), ("rmsprop", "RMSprop"), ("lion", None)])
def test_any_optimiser_of_torch_is_known_by_its_name(name: str, kind: str | None) -> None:
    groups = parameter_groups(OptimSection(), network(), ())
    if kind is None:
        with pytest.raises(TaskkitError, match=r"torch\.optim has no .lion."):
            make_optimiser(OptimSection(name=name), groups)
    else:
        assert type(make_optimiser(OptimSection(name=name), groups)) is getattr(torch.optim, kind)


def test_an_argument_that_an_optimiser_does_not_take_is_an_error_with_a_suggestion() -> None:
    groups = parameter_groups(OptimSection(), network(), ())
    assert make_optimiser(OptimSection(options={"amsgrad": True}), groups).defaults["amsgrad"] is True
    with pytest.raises(TaskkitError, match=r"optim\.options\.amsgrd.*Did you mean 'amsgrad'"):
        make_optimiser(OptimSection(options={"amsgrd": True}), groups)


def test_what_an_optimiser_refuses_names_the_section() -> None:
    with pytest.raises(TaskkitError, match=r"^optim: torch\.optim\.Muon refuses these settings or parameters"):
        make_optimiser(OptimSection(name="muon"), parameter_groups(OptimSection(), network(), ()))


def test_an_average_of_the_weights_is_where_they_will_be_trained() -> None:
    """Not where they are when it is made: Lightning moves them later."""
    module, average = pl.LightningModule(), moving_average(0.9, Skipped())
    module.layer = nn.Linear(2, 2)
    there: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    average.setup(there, module, "fit")
    copies = average._average_model.module.layer  # type: ignore[attr-defined]
    assert copies.weight.device.type == "meta"
    assert module.layer.weight.device.type == "cpu"
