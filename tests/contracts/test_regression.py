"""The regression task of the host, on a network that answers what the batch says."""

import pytest
import torch
from torch import Tensor, nn

from taskkit import DataError, DataSpec, Example, Fact, Processor, Record, Regression, RegressionSection, Values
from taskkit.contracts.component import Chosen, Component, PluginInfo
from taskkit.engine.judge import Judge

HEIGHTS = [(1.5, 60.0), (1.7, 80.0), (1.9, 70.0)]
NAMES = ("height, m", "weight, kg")


class Echo(nn.Module):
    """A network whose answers are its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, answers: Tensor) -> Tensor:
        return self.scale * answers


class Nothing(Processor):
    def read(self, source: str, options: object) -> list[Example]:
        return [Example(source, source)]

    def encode(self, example: Example) -> list[dict[str, Tensor]]:
        return []


def regression(values: Values, **settings: object) -> Regression:
    return Regression(RegressionSection(**settings), Echo(), Nothing(), DataSpec(Fact(), values, "none"))  # type: ignore[arg-type]


def batch(answers: object, targets: object) -> dict[str, Tensor]:
    """A batch whose answers are in standard deviations from the means."""
    target = torch.tensor(targets, dtype=torch.float32)
    return {"answers": torch.tensor(answers), "target": target, "example": torch.arange(len(target))}


def judged(task: Regression, *batches: dict[str, Tensor]) -> dict[str, Tensor]:
    owner = Chosen(
        Component("task", "some.regression", "", "some:Task", "some:Section"), PluginInfo("some", "1", "some"), None
    )
    judge = Judge(task.eval(), owner)
    for each in batches:
        judge.update(task.step(each))
    return dict(judge.compute())


def test_values_state_how_the_training_targets_lie() -> None:
    values = Values.of(HEIGHTS, NAMES)
    assert values.means == pytest.approx((1.7, 70.0))
    assert values.deviations == pytest.approx((0.1632993, 8.164966))
    assert Values.of([(3.0,), (3.0,)]).deviations == (1.0,)
    assert len(values) == 2


@pytest.mark.parametrize("wrong", [[], [(1.5, 60.0), (1.7,)], [(1.5, 60.0), (1.7, float("nan"))]])
def test_training_targets_that_are_no_numbers_are_refused(wrong: list[tuple[float, ...]]) -> None:
    with pytest.raises(DataError, match=r"2 finite numbers were expected in each .*height, m, weight, kg"):
        Values.of(wrong, NAMES)


def test_values_go_with_values_of_the_same_names() -> None:
    assert Values.of(HEIGHTS, NAMES).agrees(Values(NAMES))
    assert not Values.of(HEIGHTS, NAMES).agrees(Values(("height", "weight")))


def test_a_target_is_read_as_a_number_or_by_its_names() -> None:
    assert Values(("price, EUR",)).readable((3.5,)) == 3.5
    assert Values(NAMES).readable((1.7, 80.0)) == {"height, m": 1.7, "weight, kg": 80.0}


def test_among_several_targets_values_keep_their_form() -> None:
    record = Record({"size": Values(NAMES), "price": Values()})
    assert record.tensors() == {"target_size": "float (batch, 2)", "target_price": "float (batch, 1)"}


def test_the_loss_is_of_standardised_values_so_that_units_do_not_matter() -> None:
    metres = regression(Values.of(HEIGHTS, NAMES))
    other = regression(Values.of([(100 * h, w / 1000) for h, w in HEIGHTS], NAMES))
    answers = [[0.5, -1.0], [0.0, 2.0]]
    one = metres.step(batch(answers, HEIGHTS[:2])).loss
    two = other.step(batch(answers, [(100 * h, w / 1000) for h, w in HEIGHTS[:2]])).loss
    assert one.item() == pytest.approx(two.item(), rel=1e-4)
    assert one.requires_grad


@pytest.mark.parametrize(("loss", "value"), [("squared", 2.5), ("absolute", 1.5), ("huber", 1.0)])
def test_how_far_off_counts_is_a_setting(loss: str, value: float) -> None:
    step = regression(Values(("x",), (0.0,), (1.0,)), loss=loss).step(batch([[1.0], [2.0]], [[0.0], [0.0]]))
    assert step.loss.item() == pytest.approx(value)
    assert (step.count, step.over) == (2, "examples")


def test_metrics_are_in_the_units_of_the_data() -> None:
    task = regression(Values(("x",), (10.0,), (2.0,)))
    # The answers are 10, 12 and 14.
    results = judged(task, batch([[0.0], [1.0]], [[11.0], [12.0]]), batch([[2.0]], [[20.0]]))
    assert results["rmse"].item() == pytest.approx(((1 + 0 + 36) / 3) ** 0.5)
    assert results["mae"].item() == pytest.approx(7 / 3)
    assert results["r2"].item() == pytest.approx(1 - 37 / (146 / 3))
    assert "rmse_each" not in results


def test_r2_holds_for_values_far_from_zero_and_for_tiny_ones() -> None:
    random = torch.Generator().manual_seed(0)
    truth = torch.randn(1000, 1, generator=random, dtype=torch.float64)
    answers = (0.8 * truth + 0.1 * torch.randn(1000, 1, generator=random)).float()
    expected = 1 - float((answers - truth).square().sum() / (truth - truth.mean()).square().sum())
    for mean, deviation in ((0.0, 1.0), (2000.0, 1.0), (0.0, 1e-4)):
        rows = (mean + deviation * truth).tolist()
        results = judged(regression(Values(("x",), (mean,), (deviation,))), batch(answers.tolist(), rows))
        assert results["r2"].item() == pytest.approx(expected, abs=1e-3), mean


def test_several_values_are_also_judged_one_by_one() -> None:
    task = regression(Values(NAMES, (1.0, 100.0), (0.5, 10.0)))
    # The answers are (1.5, 90) and (1, 110).
    results = judged(task, batch([[1.0, -1.0], [0.0, 1.0]], [[1.0, 90.0], [1.0, 100.0]]))
    assert results["rmse_each"].tolist() == pytest.approx([(0.25 / 2) ** 0.5, (100 / 2) ** 0.5])
    table = task.tables(results)["rmse_each"]
    assert table["value"] == ["height, m", "weight, kg"]
    assert table["rmse"] == pytest.approx([0.125**0.5, 50**0.5])


def test_metrics_do_not_depend_on_how_examples_are_batched() -> None:
    task = regression(Values.of(HEIGHTS, NAMES))
    answers, targets = [[0.1, 0.2], [0.3, -0.4], [1.5, 0.6]], [list(row) for row in HEIGHTS]
    whole = judged(task, batch(answers, targets))
    parts = judged(task, batch(answers[:1], targets[:1]), batch(answers[1:], targets[1:]))
    assert whole.keys() == parts.keys()
    for name in whole:
        assert torch.allclose(whole[name], parts[name], atol=1e-6), name


def test_a_network_of_one_value_may_leave_out_its_dimension() -> None:
    task, targets = regression(Values(("x",), (1.0,), (2.0,))), [[1.0], [2.0], [3.0]]
    flat, deep = task.step(batch([0.5, 1.0, -1.0], targets)), task.step(batch([[0.5], [1.0], [-1.0]], targets))
    assert flat.loss.item() == deep.loss.item()
    examples = [Example(str(number), None) for number in range(3)]
    answers = task.predict({}, flat.outputs.squeeze(1), examples, None)
    assert [answer["prediction"] for answer in answers] == pytest.approx([2.0, 3.0, -1.0])


def test_a_network_of_fewer_values_than_targets_is_refused_and_not_broadcast() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        regression(Values.of(HEIGHTS, NAMES)).step(batch([[0.5], [1.0]], HEIGHTS[:2]))


def test_several_values_are_predicted_by_name() -> None:
    task = regression(Values(NAMES, (1.0, 100.0), (0.5, 10.0)))
    (answer,) = task.predict({}, torch.tensor([[1.0, -1.0]]), [Example("a", None)], None)
    assert answer == {"prediction": {"height, m": 1.5, "weight, kg": 90.0}}


def test_scores_are_errors_of_each_example() -> None:
    task, rows = regression(Values(NAMES, (0.0, 0.0), (1.0, 1.0))), batch([[1.0, 3.0], [0.0, 0.0]], [[0.0] * 2] * 2)
    scores = task.scores(rows, task.step(rows))
    assert scores["squared_error"].tolist() == [5.0, 0.0]
    assert scores["absolute_error"].tolist() == [2.0, 0.0]


def test_the_baseline_answers_the_means_of_the_training_split() -> None:
    train = [Example(str(i), None, (target,)) for i, target in enumerate([1.0, 3.0])]
    test = [Example(str(i), None, (target,)) for i, target in enumerate([2.0, 6.0])]
    baseline = regression(Values.of([(1.0,), (3.0,)])).baseline(train, test)
    assert baseline == pytest.approx({"rmse": 8**0.5, "mae": 2.0})


def test_chance_is_the_training_loss_of_the_means_where_it_is_known() -> None:
    values = Values.of(HEIGHTS, NAMES)
    task = regression(values)
    loss = task.train().step(batch([[0.0, 0.0]] * 3, HEIGHTS)).loss
    assert loss is not None
    assert loss.item() == pytest.approx(task.chance(), rel=1e-5)
    assert regression(values, loss="absolute").chance() is None
    assert regression(Values(NAMES)).chance() is None
