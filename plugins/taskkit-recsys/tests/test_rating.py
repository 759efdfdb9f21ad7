"""Ratings: errors within the scale, against the mean, and a factorisation that learns who likes what."""

import pytest
import torch

from taskkit import DataSpec, Example, NoOptions
from taskkit_recsys import sections
from taskkit_recsys.facts import Histories, Rating
from taskkit_recsys.history import Pair
from taskkit_recsys.mf import Mf
from taskkit_recsys.rating import Rating as RatingTask

SPEC = DataSpec(Histories(("a", "b", "c", "d"), ("x", "y", "z")), Rating(1, 5), "ratings")
RATINGS = {(0, 0): 5, (0, 1): 1, (1, 0): 1, (1, 1): 5, (2, 0): 5, (2, 2): 3, (3, 1): 5, (3, 2): 4}


@pytest.fixture
def examples():
    return [Example(f"{user} {item}", Pair(user, item), float(r)) for (user, item), r in RATINGS.items()]


@pytest.fixture
def task(examples):
    torch.manual_seed(0)
    model = Mf(sections.Mf(width=4))
    processor = model.processor(SPEC)
    processor.fit(examples)
    return RatingTask(sections.Rating(), model.network(SPEC, processor), processor, SPEC)


def batch_of(task, examples):
    return task.processor.collate([sample for example in examples for sample in task.processor.encode(example)])


def test_a_new_network_answers_about_the_mean(task, examples):
    assert task(batch_of(task, examples)).detach().mean().item() == pytest.approx(29 / 8, abs=0.1)


def test_it_learns_who_likes_what(task, examples):
    batch = batch_of(task, examples)
    optimiser = torch.optim.Adam(task.network.parameters(), lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        task.step(batch).loss.backward()
        optimiser.step()
    step = task.eval().step(batch)
    rmse = task.metrics()["rmse"]
    rmse.update(**step.scored)
    assert rmse.compute() < 0.2
    assert task.scores(batch, step)["squared_error"].mean().sqrt().item() == pytest.approx(rmse.compute().item())


def test_what_nobody_knows_gets_what_is_known_without_it(task):
    with torch.no_grad():
        task.network.item_bias[1] = 0.5
    examples = [Example("nobody", Pair(None, 1)), Example("nothing", Pair(None, None))]
    assert task(batch_of(task, examples)).tolist() == pytest.approx([29 / 8 + 0.5, 29 / 8])


def test_answers_stay_on_the_scale(task, examples):
    with torch.no_grad():
        task.network.user_bias[0] = 10
    batch = batch_of(task, examples)
    step = task.step(batch)
    assert step.scored["preds"].max() == 5
    assert task.predict(batch, step.outputs, examples, NoOptions())[0] == {"prediction": 5.0}


def test_the_baseline_is_what_users_and_items_are_rated_on_average(task, examples):
    mean = 29 / 8
    item = {x: sum(r - mean for (_, i), r in RATINGS.items() if i == x) / (n + 25) for x, n in enumerate((3, 3, 2))}
    user = sum(RATINGS[0, i] - mean - item[i] for i in (0, 1)) / (2 + 10)
    test = [Example("known", Pair(0, 2), mean + item[2] + user), Example("nobody", Pair(None, 1), mean + item[1])]
    assert task.baseline(examples, test) == pytest.approx({"rmse": 0.0, "mae": 0.0}, abs=1e-9)
    nothing = [Example("new", Pair(None, 9), mean - 2)]
    assert task.baseline(examples, nothing) == pytest.approx({"rmse": 2.0, "mae": 2.0})


def test_the_baseline_beats_the_mean_where_some_are_hard_to_please(task):
    pairs = [(user, item) for user in range(40) for item in range(20)]
    rated = [Example(f"{u} {i}", Pair(u, i), float(1 + 2 * (u % 2) + 2 * (i % 2))) for u, i in pairs]
    found = task.baseline([each for n, each in enumerate(rated) if n % 7], rated[::7])
    assert found["rmse"] < 0.8  # the mean alone: 1.4


def test_the_baseline_stays_on_the_scale(task):
    train = [Example(f"{n}", Pair(0, n), 5.0) for n in range(200)] + [Example("x", Pair(1, 0), 1.0)]
    assert task.baseline(train, [Example("t", Pair(0, 1), 5.0)])["mae"] < 0.02
