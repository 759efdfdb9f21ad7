"""Metrics of many weightings at once are those that torchmetrics gives for the rows as often as they count."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchmetrics import Metric, R2Score
from torchmetrics.classification import (
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from taskkit.contracts import weighted

RANDOM = np.random.default_rng(5)
WEIGHTS = RANDOM.multinomial(40, [1 / 40] * 40, size=6).astype(float)


@pytest.mark.parametrize(
    ("function", "metric"),
    [
        (weighted.macro_f1, MulticlassF1Score),
        (weighted.macro_precision, MulticlassPrecision),
        (weighted.macro_recall, MulticlassRecall),
    ],
)
def test_macro_averages_are_those_of_torchmetrics_also_where_a_class_never_occurs(
    function: Callable[..., np.ndarray], metric: type[Metric]
) -> None:
    target = RANDOM.integers(0, 4, 40)  # of five classes
    prediction = np.where(RANDOM.random(40) < 0.6, target, RANDOM.integers(0, 4, 40))
    prediction[target == 3] = 0  # one is never predicted
    found = function(target.astype(str), prediction.astype(str), sample_weight=WEIGHTS)
    for value, weight in zip(found, WEIGHTS.astype(int), strict=True):
        expected = metric(5, average="macro")
        expected.update(*(torch.tensor(np.repeat(each, weight)) for each in (prediction, target)))
        assert value == pytest.approx(float(expected.compute()), abs=1e-6)


def test_r2_is_that_of_torchmetrics_far_from_zero_too() -> None:
    target = RANDOM.normal(size=40) + 1e6
    prediction = target + RANDOM.normal(size=40) / 2
    found = weighted.r2(target, prediction, sample_weight=WEIGHTS)
    for value, weight in zip(found, WEIGHTS.astype(int), strict=True):
        expected = R2Score()
        expected.update(*(torch.tensor(np.repeat(each - 1e6, weight)) for each in (prediction, target)))
        assert value == pytest.approx(float(expected.compute()), abs=1e-6)


def test_r2_of_several_values_is_their_mean() -> None:
    target = RANDOM.normal(size=(3, 40))
    prediction = target + RANDOM.normal(size=(3, 40)) * np.array([[0.1], [0.5], [2.0]])
    found = weighted.mean_r2(*target, *prediction, sample_weight=WEIGHTS)
    for value, weight in zip(found, WEIGHTS.astype(int), strict=True):
        expected = R2Score()
        expected.update(*(torch.tensor(np.repeat(each, weight, axis=1)).T for each in (prediction, target)))
        assert value == pytest.approx(float(expected.compute()), abs=1e-6)


def test_calibration_gaps_add_up_to_the_error_of_torchmetrics_at_the_edges_of_bins_too() -> None:
    edges = torch.linspace(0, 1, 16)[6:]
    sure = torch.cat([edges, torch.rand(30, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5])
    rest = (1 - sure[:, None]).expand(-1, 2) / 2
    probabilities = torch.cat([sure[:, None], rest], 1)
    target = torch.tensor(RANDOM.integers(0, 3, 40))
    correct = (target == 0).double().numpy()
    gaps = weighted.calibration_gaps(sure.double().numpy(), correct, sample_weight=WEIGHTS)
    for value, weight in zip(np.abs(gaps).sum(1), WEIGHTS.astype(int), strict=True):
        expected = MulticlassCalibrationError(3, n_bins=15)
        expected.update(*(torch.tensor(np.repeat(each.numpy(), weight, axis=0)) for each in (probabilities, target)))
        assert value == pytest.approx(float(expected.compute()), abs=1e-6)
