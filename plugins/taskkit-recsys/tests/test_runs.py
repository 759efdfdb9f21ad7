"""Whole runs of every model on a small log: trained or not, judged, and asked from what was saved."""

import pytest

import taskkit
from taskkit import TaskkitError

RECIPE = """
seed: 1
task: {name: %s}
model: {name: recsys.%s}
data: {name: recsys.interactions, events: %s}
loader: {batch_size: 8, cache: false}
optim: {lr: 0.01}
trainer: {max_epochs: %d, accelerator: cpu, precision: 32-true}
"""
LEARNING = ("sasrec", "bert4rec", "gru4rec", "lightgcn", "mf")
COUNTING = ("popular", "item_knn")


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    """Twenty users, of whom each takes nine of twelve items in the order of their numbers."""
    path = tmp_path_factory.mktemp("log") / "events.csv"
    rows = [f"u{user},i{(user + step) % 12},{step},{1 + (user + step) % 5}" for user in range(20) for step in range(9)]
    path.write_text("\n".join(["user,item,timestamp,rating", *rows]))
    return path


@pytest.fixture
def run(log, tmp_path):
    def go(model, epochs, task="recsys.next_item", overrides=()):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(RECIPE % (task, model, log, epochs))
        return taskkit.run(recipe, overrides, out=tmp_path / "run")

    return go


@pytest.mark.parametrize(("model", "epochs"), [*((name, 2) for name in LEARNING), *((name, 0) for name in COUNTING)])
def test_it_is_trained_judged_and_asked(run, model, epochs):
    finished = run(model, epochs)
    assert finished.status == "finished"
    assert 0 <= finished.metrics["test/ndcg@10_unfiltered"] <= finished.metrics["test/ndcg@10"] <= 1
    protocol = finished.manifest.protocol
    assert protocol.task_protocol["ranking"] == "among all 12 items"
    assert finished.manifest.baseline["test/ndcg@10"] > 0
    intervals = finished.manifest.intervals
    assert intervals.keys() == finished.metrics.keys(), "every metric has an interval, or the reason why it has none"
    without = {"test/coverage@10", "test/gini@10"}
    assert all(intervals[name].low is None and intervals[name].note for name in without)
    (answer,) = taskkit.load_run(finished.path).predict(["i3,i4,i5"], top=2)
    items = [row["item"] for row in answer["prediction"]]
    assert len(items) == 2
    assert not {"i3", "i4", "i5"} & set(items)


@pytest.mark.parametrize("size", [1, 7])
def test_judging_again_gives_the_same_in_batches_of_any_size(run, size):
    finished = run("sasrec", 1, overrides=["task.sampled=5"])
    again = finished.evaluate("test", [f"loader.eval_batch_size={size}"]).metrics
    for name, value in finished.metrics.items():
        assert again[name] == pytest.approx(value, abs=1e-5), name


def test_the_baseline_of_every_run_is_what_the_popularity_list_gets(run):
    finished = run("popular", 0)
    for name, value in finished.manifest.baseline.items():
        assert finished.metrics[name] == pytest.approx(value), name


def test_a_known_user_is_asked_for_by_name(run):
    finished = run("item_knn", 0)
    (answer,) = finished.predict([], user="u0", top=12)
    # In training u0 took the first seven.
    assert {row["item"] for row in answer["prediction"]} == {"i7", "i8", "i9", "i10", "i11"}


def test_a_checkpoint_holds_each_name_once(run, tmp_path):
    """Its size is that of the names, of numbers that say where each ends, and of one number for each event."""
    long, items = "of-a-large-catalogue-" * 4, 20_000
    names = {
        kind: [f"{kind}-{long}{n}" for n in range(50 if kind == "user" else items)]
        for kind in ("user", "item", "title")
    }
    events = [f"{names['user'][n % 50]},{item},{n}" for n, item in enumerate(names["item"])]
    (tmp_path / "large.csv").write_text("\n".join(["user,item,timestamp", *events]))
    (tmp_path / "titles.csv").write_text(
        "\n".join(["item,title", *map(",".join, zip(names["item"], names["title"], strict=True))])
    )
    files = [f"data.events={tmp_path / 'large.csv'}", f"data.items={tmp_path / 'titles.csv'}"]
    finished = run("popular", 0, overrides=[*files, "data.rating_column=null"])
    content = finished.checkpoint.read_bytes()
    for kind, each in names.items():
        assert content.count(f"{kind}-{long}".encode()) == len(each)
    every = [name for each in names.values() for name in each]
    assert len(content) < sum(map(len, every)) + 8 * (len(every) + len(events))
    (answer,) = finished.predict([], user=names["user"][7], top=1)
    assert answer["prediction"][0]["title"] in names["title"]


def test_counting_for_epochs_is_refused_with_what_to_do(run):
    with pytest.raises(TaskkitError, match=r"Set trainer.max_epochs to 0"):
        run("popular", 1)


def test_ratings_are_learnt_from_the_same_log(run):
    finished = run("mf", 30, "recsys.rating", ["model.width=4"])
    assert finished.metrics["test/rmse"] < finished.manifest.baseline["test/rmse"]
    (answer,) = finished.predict([], user="u0", item="i3")
    assert 1 <= answer["prediction"] <= 5
    users = {name.partition("/")[0] for name in finished.predictions()["id"].to_pylist()}
    assert {*finished.predictions()["group"].to_pylist()} == users, "the ratings of a user are alike"
    intervals = finished.manifest.intervals
    assert {each.groups for each in intervals.values()} in ({len(users)}, {None})
    assert {name for name, each in intervals.items() if each.low is not None} == finished.metrics.keys()
