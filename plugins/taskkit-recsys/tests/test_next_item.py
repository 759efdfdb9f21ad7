"""The task: what it reports, that nothing is sampled unasked, and what a person reads."""

import json

import pytest
import torch

from taskkit import Example, TaskkitError
from taskkit_recsys import sections
from taskkit_recsys.answer import Scores
from taskkit_recsys.history import History, Query
from taskkit_recsys.next_item import NextItem, Recommend
from taskkit_recsys.popular import Popular
from taskkit_recsys.sasrec import Sasrec


@pytest.fixture
def task(cycle):
    return make(cycle)


def make(cycle, **settings):
    model = Popular(sections.Popular())
    processor = model.processor(cycle.spec())
    processor.fit(cycle.train()[:3])  # takes items 2 to 6 most often
    network = model.network(cycle.spec(), processor)
    return NextItem(sections.NextItem(**settings), network, processor, cycle.spec()).eval()


def batch_of(task, examples):
    samples = [sample for example in examples for sample in task.processor.encode(example)]
    return {**task.processor.collate(samples), "example": torch.arange(len(examples))}


def results(task, examples):
    step = task.step(batch_of(task, examples))
    judges = task.metrics()
    for name, metric in judges.items():
        metric.update(**step.scored[name])
    return {name: float(metric.compute()) for name, metric in judges.items()}


def predictions(task, examples, outputs=None, **options):
    batch = batch_of(task, examples)
    return task.predict(batch, task(batch) if outputs is None else outputs, examples, Recommend(**options))


def test_filtered_and_unfiltered_metrics_stand_side_by_side(task, cycle):
    found = results(task, cycle.test())
    for name in ("ndcg@5", "ndcg@10", "ndcg@20", "hr@10", "recall@10", "mrr"):
        assert found[name] >= found[f"{name}_unfiltered"]
    assert found["hr@20"] == 1  # twelve items
    assert {"coverage@10", "gini@10", "popularity@10", "popularity_of_targets"} <= set(found)
    assert not any("sampled" in name for name in found)
    # Three users took items 0 to 8 in training; everybody's target is another item, once or twice.
    counts = task.counts.float()
    assert found["popularity_of_targets"] == pytest.approx(counts.mean().item())


def test_sampled_ranking_is_only_there_when_asked_for_and_says_so(cycle):
    task = make(cycle, sampled=3)
    found = results(task, cycle.test())
    assert found["ndcg@10_sampled3"] > found["ndcg@10"]  # among four items none is below the tenth place
    assert found["ndcg@10"] == results(make(cycle), cycle.test())["ndcg@10"]
    assert "not comparable" in task.protocol()["…_sampled3"]
    assert "…_sampled3" not in make(cycle).protocol()


def test_the_protocol_is_plain_and_says_among_what_was_ranked(task):
    assert json.loads(json.dumps(task.protocol()))["ranking"] == "among all 12 items"


def test_the_baseline_is_what_a_popularity_list_gets(task, cycle):
    baseline = task.baseline(cycle.train(), cycle.test())
    assert baseline == pytest.approx(results(task, cycle.test()))


def test_scores_of_users_have_the_metrics_as_their_means(task, cycle):
    batch = batch_of(task, cycle.test())
    scores = task.scores(batch, task.step(batch))
    found = results(task, cycle.test())
    for name in ("ndcg@10", "hr@10_unfiltered", "mrr"):
        assert scores[name].mean().item() == pytest.approx(found[name])
    assert scores["cross_entropy"].shape == (cycle.users,)


def test_predictions_are_ranked_lists_without_what_was_seen(task):
    examples = [Example("a", Query(None, [2, 3]))]
    (answer,) = predictions(task, examples, top=3)
    assert [row["rank"] for row in answer["prediction"]] == [1, 2, 3]
    assert [row["item"] for row in answer["prediction"]] == ["i4", "i5", "i6"]
    assert answer["prediction"][0]["title"] == "i4"
    assert "remark" not in answer
    (answer,) = predictions(task, examples, top=2, filter_seen=False)
    assert [row["item"] for row in answer["prediction"]] == ["i2", "i3"]


def test_an_empty_history_gets_the_popular_list_and_a_note(task, cycle):
    examples = [Example("a", Query(None, [])), Example("b", Query(None, [1]))]
    reversed_scores = Scores(-task.counts.float().expand(2, -1))
    empty, known = predictions(task, examples, reversed_scores, top=2)
    assert [row["item"] for row in empty["prediction"]] == ["i2", "i3"]
    assert "empty history" in empty["remark"]
    assert [row["item"] for row in known["prediction"]] == ["i9", "i10"]


def test_an_empty_history_is_not_explained_since_the_network_does_not_answer_it(task):
    empty, known = (batch_of(task, [Example("a", Query(None, taken))]) for taken in ([], [2]))
    for wanted in (None, "i4"):
        with pytest.raises(TaskkitError, match=r"an empty history.* Give at least one item"):
            task.explained(empty, task(empty), Recommend(), wanted)
        assert task.explained(known, task(known), Recommend(), wanted).answer in ("i3", "i4")


def test_more_items_than_there_are_can_be_asked_for(task, cycle):
    examples = [Example("a", Query(None, [2])), Example("b", Query(None, []))]
    known, empty = predictions(task, examples, top=10**20)
    assert (len(known["prediction"]), len(empty["prediction"])) == (cycle.items - 1, cycle.items)


def test_a_list_is_shorter_where_nothing_new_is_left(task, cycle):
    (answer,) = predictions(task, [Example("a", Query(None, list(range(1, cycle.items))))])
    assert [row["item"] for row in answer["prediction"]] == ["i0"]


def test_several_targets_are_judged_together(cycle):
    spec = cycle.spec(most=2)
    model = Popular(sections.Popular())
    processor = model.processor(spec)
    processor.fit(cycle.train()[:3])
    task = NextItem(sections.NextItem(), model.network(spec, processor), processor, spec).eval()
    found = results(task, [Example("a", Query(None, []), (2, 10)), Example("b", Query(None, []), (2,))])
    assert found["hr@5"] == 1
    assert found["recall@5"] == 0.75


def test_the_loss_of_training_is_the_mean_over_the_targets_of_all_queries(cycle):
    model = Sasrec(sections.Sasrec(length=4, width=8, depth=1, dropout=0.0))
    processor = model.processor(cycle.spec())
    processor.fit(cycle.train())
    task = NextItem(sections.NextItem(), model.network(cycle.spec(), processor), processor, cycle.spec())
    step = task.step(batch_of(task, [Example("a", History(0, [0, 1, 2])), Example("b", History(1, [1, 2, 3, 4]))]))
    assert (int(step.count), step.over) == (5, "items")
    assert task.eval().step(batch_of(task, cycle.test()[:3])).count == 3


def test_judging_does_not_hold_more_scores_than_the_budget(cycle):
    assert results(make(cycle, logits_budget=1), cycle.test()) == results(make(cycle), cycle.test())


def test_cutoffs_must_have_that_of_the_headline():
    assert next(iter(sections.NextItem(cutoffs=[5]).problems()))[0] == "cutoffs"
    assert not list(sections.NextItem().problems())
