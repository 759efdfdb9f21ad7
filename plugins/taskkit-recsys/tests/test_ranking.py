"""Where targets stand: against an obvious ranking, whatever is in the batch, with ties and without what was seen."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from taskkit_recsys import metrics
from taskkit_recsys.answer import Scores, Vectors
from taskkit_recsys.arrays import NONE
from taskkit_recsys.ranking import MISSED, SharedScores, held, order, rank, recommend

USERS, ITEMS, MOST = 40, 60, 3


@pytest.fixture(scope="module")
def scores():
    """Scores of few different values, so that most are tied."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 12, (USERS, ITEMS)).astype(np.float32))


@pytest.fixture(scope="module")
def histories():
    random = np.random.default_rng(1)
    return [random.choice(ITEMS, random.integers(0, 50), replace=False).tolist() for _ in range(USERS)]


@pytest.fixture(scope="module")
def targets(histories):
    """One to three items of each user, some of which the history holds."""
    random = np.random.default_rng(2)
    return [random.choice(ITEMS, random.integers(1, MOST + 1), replace=False).tolist() for _ in range(USERS)]


def lists(histories):
    return pad_sequence([torch.tensor(each, dtype=torch.int32) for each in histories], True, NONE)


def padded(targets):
    return torch.tensor([[*target, *[NONE] * (MOST - len(target))] for target in targets])


def ranked(scores, targets, histories, rows=slice(None), **options):
    where = {"k": 10, "example": torch.arange(USERS)[rows], **options}
    return rank(Scores(scores[rows]), padded(targets)[rows], lists(histories)[rows], **where)


def obvious(scores, excluded):
    """All items but those, best first; of equals the one with the lower number."""
    return sorted(set(range(ITEMS)) - set(excluded), key=lambda item: (-scores[item].item(), item))


def test_places_are_those_of_an_obvious_ranking(scores, histories, targets):
    ranking = ranked(scores, targets, histories)
    for user, (history, wanted) in enumerate(zip(histories, targets, strict=True)):
        everything = obvious(scores[user], [])
        for column, item in enumerate(wanted):
            new = obvious(scores[user], history)
            assert ranking.unfiltered[user, column] == everything.index(item) + 1
            assert ranking.filtered[user, column] == (MISSED if item in history else new.index(item) + 1)
        top = obvious(scores[user], history)[:10]
        assert ranking.top[user].tolist() == [*top, *[NONE] * (10 - len(top))]


@pytest.mark.parametrize("k", [1, 10, ITEMS + 5])
def test_scores_that_all_users_share_are_ranked_alike_in_less_memory(scores, histories, targets, k):
    of_all = Scores(scores[:1].expand(USERS, -1))
    expected = rank(of_all, padded(targets), lists(histories), k=k, example=torch.arange(USERS))
    found = SharedScores.of(scores[0]).rank(padded(targets), lists(histories), k=k)
    there = padded(targets) != NONE
    for name in ("filtered", "unfiltered", "nll"):
        assert torch.equal(getattr(found, name)[there], getattr(expected, name)[there])
    assert torch.equal(found.top, expected.top)


def test_scores_of_users_are_those_of_an_obvious_reference(scores, histories, targets):
    ranking = ranked(scores, targets, histories)
    valid = padded(targets) != NONE
    for user, wanted in enumerate(targets):
        top = obvious(scores[user], [])[:10]
        gain = sum(1 / np.log2(top.index(item) + 2) for item in wanted if item in top)
        best = sum(1 / np.log2(place + 2) for place in range(len(wanted)))
        values = {name: score(ranking.unfiltered, valid)[user] for name, score in metrics.accuracy([10]).items()}
        assert values["ndcg@10"] == pytest.approx(gain / best)
        assert values["hr@10"] == any(item in top for item in wanted)
        assert values["recall@10"] == pytest.approx(np.mean([item in top for item in wanted]))
        assert values["mrr"] == pytest.approx(1 / min(obvious(scores[user], []).index(item) + 1 for item in wanted))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("ndcg@10", RetrievalNormalizedDCG(top_k=10)),
        ("hr@10", RetrievalHitRate(top_k=10)),
        ("recall@10", RetrievalRecall(top_k=10)),
        ("mrr", RetrievalMRR()),
    ],
)
def test_metrics_are_those_of_torchmetrics_on_the_same_scores(histories, targets, name, reference):
    scores = torch.rand(
        USERS, ITEMS, generator=torch.Generator().manual_seed(3)
    )  # without ties, which it breaks by chance
    values = metrics.accuracy([10])[name](ranked(scores, targets, histories).unfiltered, padded(targets) != NONE)
    relevant = torch.zeros(USERS, ITEMS, dtype=torch.bool)
    for user, wanted in enumerate(targets):
        relevant[user, wanted] = True
    users = torch.arange(USERS)[:, None].expand(-1, ITEMS)
    assert values.mean() == pytest.approx(reference(scores.flatten(), relevant.flatten(), users.flatten()))


def test_a_target_that_is_not_recommended_since_it_was_seen_is_a_miss():
    scores, valid = torch.arange(4.0)[None], torch.tensor([[True]])
    answer = {"answer": Scores(scores), "target": torch.tensor([[3]]), "k": 10, "example": torch.tensor([0])}
    ranking = rank(seen=torch.tensor([[3, 1, 2]]), **answer)
    assert ranking.top[0].tolist() == [0, *[NONE] * 9]
    values = {name: float(score(ranking.filtered, valid)) for name, score in metrics.accuracy([10]).items()}
    assert values == pytest.approx({"ndcg@10": 0, "hr@10": 0, "recall@10": 0, "mrr": 0}, abs=1e-6)


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("budget", [1, 5 * ITEMS, 2**26])
def test_metrics_do_not_depend_on_the_batch_or_on_the_budget(scores, histories, targets, size, budget):
    def judged(size, budget):
        accuracy = metrics.accuracy([5, 10]).values()
        of_lists = [metrics.ItemCounts(ITEMS, measure) for measure in (metrics.coverage, metrics.gini)]
        values = []
        for start in range(0, USERS, size):
            rows = slice(start, start + size)
            ranking = ranked(scores, targets, histories, rows, sampled=20, budget=budget)
            valid = padded(targets)[rows] != NONE
            places = (ranking.filtered, ranking.unfiltered, ranking.sampled)
            values.append(torch.stack([score(of_kind, valid) for of_kind in places for score in accuracy]))
            for metric in of_lists:
                metric.update(ranking.top)
        return [*torch.cat(values, 1).mean(1).tolist(), *(float(metric.compute()) for metric in of_lists)]

    assert judged(size, budget) == pytest.approx(judged(USERS, 2**26), abs=1e-6)


def test_a_sample_holds_neither_history_nor_targets_and_is_drawn_evenly():
    users = 3000
    scores = torch.arange(ITEMS).float().expand(users, -1)
    seen = lists([[*range(10)]] * users)
    target = torch.full((users, 1), 30)
    ranking = rank(Scores(scores), target, seen, k=1, example=torch.arange(users), sampled=10)
    # Of 49 candidates 29 are better than the target; the place among ten of them is 1 + 10 * 29 / 49 on average.
    assert (ranking.sampled.float().mean() - 1).item() == pytest.approx(10 * 29 / 49, abs=0.1)
    assert ranking.sampled.max() <= 11
    everyone = rank(Scores(scores), target, seen, k=1, example=torch.arange(users), sampled=ITEMS)
    assert torch.equal(everyone.sampled, everyone.filtered)


def test_scores_that_are_no_numbers_rank_last():
    scores = torch.zeros(1, ITEMS)
    scores[0, 5] = torch.nan
    ranking = rank(Scores(scores), torch.tensor([[5]]), lists([[]]), k=10, example=torch.tensor([0]))
    assert ranking.unfiltered.item() == ITEMS


def test_order_is_that_of_all_floats():
    values = torch.tensor([[-torch.inf, -3e38, -1.0, -1e-40, -0.0, 0.0, 1e-40, 1.0, 3e38, torch.inf]])
    places = order(values)[0].tolist()
    assert sorted(places) == [*places[:4], places[5], places[4], *places[6:]]  # zeros are equal: the first is ahead


def test_lists_of_what_was_seen_say_it_of_each_item():
    seen = held(torch.tensor([[9, 0, NONE], [3, 3, 3], [NONE] * 3], dtype=torch.int32), 10)
    assert seen.nonzero().tolist() == [[0, 0], [0, 9], [1, 3]]


def test_recommendations_leave_out_what_was_seen_only_when_asked_to():
    answer = Vectors(torch.tensor([[1.0]]), torch.arange(ITEMS)[:, None].float())
    items, scores = recommend(answer, lists([[59, 57]]), 3)
    assert items.tolist() == [[58, 56, 55]]
    assert scores.tolist() == [[58, 56, 55]]
    assert recommend(answer, None, 2)[0].tolist() == [[59, 58]]


def test_lists_are_measured_by_how_many_items_and_how_popular_they_are():
    takers = torch.tensor([4, 0, 0, 8])
    tops, targets = torch.tensor([[3, 0], [3, NONE]], dtype=torch.int32), torch.tensor([[1], [0]])
    measured = {
        "coverage": (metrics.coverage, tops),
        "popularity": (partial(metrics.popularity, takers=takers), tops),
        "targets": (partial(metrics.popularity, takers=takers), targets),
    }
    values = {}
    for name, (measure, items) in measured.items():
        metric = metrics.ItemCounts(4, measure)
        metric.update(items=items)
        values[name] = float(metric.compute())
    assert values == pytest.approx({"coverage": 0.5, "popularity": (8 + 8 + 4) / 3, "targets": 2.0})
    assert metrics.gini(torch.tensor([3, 3, 3])).item() == pytest.approx(0)
    assert metrics.gini(torch.tensor([0, 0, 0, 9])).item() == pytest.approx(0.75)
