"""Every model: what it may see, what it predicts in training, and that it learns what there is to learn."""

import numpy as np
import pytest
import torch

from taskkit import Example, TaskkitError
from taskkit_recsys import sections
from taskkit_recsys.answer import Scores
from taskkit_recsys.arrays import NONE
from taskkit_recsys.bert4rec import Bert4rec, draw
from taskkit_recsys.gru4rec import Gru4rec
from taskkit_recsys.history import History, Query
from taskkit_recsys.item_knn import ItemKnn, interactions_of, neighbours
from taskkit_recsys.lightgcn import Lightgcn
from taskkit_recsys.mf import Mf
from taskkit_recsys.next_item import NextItem
from taskkit_recsys.popular import Popular
from taskkit_recsys.sasrec import Sasrec

SMALL = {"width": 16, "depth": 1, "heads": 2, "dropout": 0.0}
CAUSAL = {
    "sasrec": Sasrec(sections.Sasrec(length=6, **SMALL)),
    "sasrec as in the paper": Sasrec(sections.Sasrec(length=6, position="learned", **SMALL)),
    "gru4rec": Gru4rec(sections.Gru4rec(length=6, width=16, hidden=32, dropout=0.0)),
}
SEQUENTIAL = {**CAUSAL, "bert4rec": Bert4rec(sections.Bert4rec(length=6, masked=0.2, mask_last=0.5, **SMALL))}
FACTORS = {"mf": Mf(sections.Mf(length=6, width=8)), "lightgcn": Lightgcn(sections.Lightgcn(length=6, width=8))}
COUNTING = {"popular": Popular(sections.Popular()), "item_knn": ItemKnn(sections.ItemKnn(length=6, neighbours=4))}
LEARNING = {**SEQUENTIAL, **FACTORS}

learning = pytest.mark.parametrize("model", LEARNING.values(), ids=LEARNING)
everything = pytest.mark.parametrize("model", [*LEARNING.values(), *COUNTING.values()], ids=[*LEARNING, *COUNTING])


def task_of(cycle, model, **settings):
    torch.manual_seed(0)
    processor = model.processor(cycle.spec())
    processor.fit(cycle.train())
    network = model.network(cycle.spec(), processor)
    return NextItem(sections.NextItem(cutoffs=[1, 7, 10], **settings), network, processor, cycle.spec())


def batch_of(task, examples):
    return task.processor.collate([sample for example in examples for sample in task.processor.encode(example)])


def trained(task, steps, batch):
    optimiser = torch.optim.Adam(task.network.parameters(), lr=0.02)
    task.train()
    for _ in range(steps):
        loss = task.step(batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return task.eval()


@torch.no_grad()
def hit_rate(task, examples, k, ending=""):
    """The share of the users whose target is among the first k."""
    batch = {**batch_of(task, examples), "example": torch.arange(len(examples))}
    return task.step(batch).scored[f"hr@{k}{ending}"]["value"].mean()


@pytest.mark.parametrize("model", SEQUENTIAL.values(), ids=SEQUENTIAL)
def test_it_learns_what_follows_what(cycle, model):
    task = task_of(cycle, model)
    trained(task, 150, batch_of(task, cycle.train()))
    assert hit_rate(task, cycle.test(), 1) > 0.9


@pytest.mark.parametrize("loss", ["sampled", "gbce", "bce"])
def test_it_learns_so_by_every_loss(cycle, loss):
    task = task_of(cycle, SEQUENTIAL["sasrec"], loss=loss, negatives=8)
    trained(task, 100, batch_of(task, cycle.train()))
    assert hit_rate(task, cycle.test(), 1) > 0.9


@pytest.mark.parametrize("model", FACTORS.values(), ids=FACTORS)
def test_it_learns_who_took_what(cycle, model):
    task = task_of(cycle, model)
    trained(task, 60, batch_of(task, cycle.train()))
    taken = [Example(e.id, e.input, (e.input.items[3],)) for e in cycle.train()]
    assert hit_rate(task, taken, 7, "_unfiltered") > 0.9


@everything
def test_it_answers_one_query_for_each_history_also_of_nobody_and_of_nothing(cycle, model):
    task = task_of(cycle, model).eval()
    queries = [
        Example("known", Query(0, [1, 2])),
        Example("nobody", Query(None, [1, 2])),
        Example("empty", Query(None, [])),
    ]
    answer = task(batch_of(task, queries))
    assert answer.scores(0, 3).shape == (3, cycle.items)
    assert answer.scores(0, 3).isfinite().all()


@everything
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(cycle, model):
    task = task_of(cycle, model).eval()
    examples = [Example("a", Query(3, [1, 2, 3])), Example("b", Query(7, [5, 6, 7, 8, 9, 10, 11]))]
    together = task(batch_of(task, examples)).scores(0, 2)
    for row, example in enumerate(examples):
        assert torch.allclose(task(batch_of(task, [example])).scores(0, 1)[0], together[row], atol=1e-5)


@pytest.mark.parametrize("model", CAUSAL.values(), ids=CAUSAL)
def test_a_place_sees_nothing_that_comes_after_it(cycle, model):
    network = task_of(cycle, model).network.train()
    history = torch.tensor([[0, 1, 2, 3, 4, 5, 6]], dtype=torch.int32)
    other = history.clone()
    other[0, 3:] = 9
    before, after = (network(h, torch.zeros(1)).query for h in (history, other))
    assert torch.allclose(before[:3], after[:3], atol=1e-6)
    assert not torch.allclose(before[3:6], after[3:6], atol=1e-3)


@pytest.mark.parametrize("model", CAUSAL.values(), ids=CAUSAL)
def test_in_training_each_place_is_to_find_what_follows_it(cycle, model):
    history = torch.tensor([[0, 1, 2, 3, NONE, NONE, NONE]], dtype=torch.int32)
    answer = task_of(cycle, model).network.train()(history, torch.zeros(1))
    assert answer.target[:, 0].tolist() == [1, 2, 3, NONE, NONE, NONE]
    assert len(answer.query) == 6


@pytest.mark.parametrize("model", CAUSAL.values(), ids=CAUSAL)
def test_in_judging_the_last_item_of_a_history_is_the_query(cycle, model):
    network = task_of(cycle, model).network
    history = torch.tensor([[4, 5, 6, NONE, NONE, NONE, NONE]], dtype=torch.int32)
    everywhere = network.train()(history, torch.zeros(1)).query
    assert torch.allclose(network.eval()(history, torch.zeros(1)).query[0], everywhere[2], atol=1e-6)


def test_masks_hide_a_share_of_the_items_or_only_the_last():
    torch.manual_seed(0)
    history = torch.full((400, 21), NONE)
    history[:200, :20], history[200:, :4] = 1, 1
    places = draw(history, share=0.25, only_last=0.0)
    assert ((places != NONE).sum(1) == torch.tensor([5] * 200 + [1] * 200)).all()
    assert places[200:].max() <= 3
    chosen = torch.bincount(places[:200][places[:200] != NONE], minlength=21)
    assert chosen[20] == 0
    assert chosen[:20].min() > 25  # 50 of each, if evenly
    assert all(len(set(row)) == 5 for row in places[:200, :5].tolist())
    last = draw(history, share=0.25, only_last=1.0)
    assert last[:, 0].tolist() == [19] * 200 + [3] * 200
    assert (last[:, 1:] == NONE).all()


def test_a_masked_item_is_not_seen_but_its_neighbours_on_both_sides_are(cycle):
    network = task_of(cycle, SEQUENTIAL["bert4rec"]).network.eval()
    places = torch.tensor([[2]])
    history = torch.tensor([[0, 1, 2, 3, 4, NONE, NONE]])

    def read(item, at):
        changed = history.clone()
        changed[0, at] = item
        return network._read(changed, places)

    same = read(2, 2)
    assert torch.equal(read(7, 2), same)
    assert not torch.allclose(read(7, 1), same, atol=1e-3)
    assert not torch.allclose(read(7, 3), same, atol=1e-3)


def test_one_step_along_the_graph_is_that_of_the_paper(cycle):
    model = Lightgcn(sections.Lightgcn(width=4, depth=1))
    network = task_of(cycle, model).network
    users, items = network.spread()
    user, item = network.user[5], network.item[cycle.steps(5, 0, 7)]
    takers = 7 * cycle.users / cycle.items
    expected = (user + (item / (7 * takers) ** 0.5).sum(0)) / 2
    assert torch.allclose(users[5], expected, atol=1e-6)
    assert items.shape == (cycle.items, 4)


def test_neighbours_are_those_of_an_obvious_cosine(cycle):
    task = task_of(cycle, COUNTING["item_knn"])
    interactions = interactions_of(task.processor).toarray()
    items, similarity = neighbours(interactions_of(task.processor), 3, shrink=2.0)
    for item in range(cycle.items):
        lengths = np.sqrt((interactions**2).sum(0))
        cosine = interactions[:, item] @ interactions / (lengths[item] * lengths + 2)
        cosine[item] = -1
        assert similarity[item].tolist() == pytest.approx(sorted(cosine, reverse=True)[:3])
        assert item not in items[item]


def test_popular_items_are_those_that_most_took(cycle):
    model = COUNTING["popular"]
    processor = model.processor(cycle.spec())
    processor.fit([Example("a", History(0, [3, 3, 5]))])
    scores = model.network(cycle.spec(), processor)(torch.zeros(1, 51), torch.zeros(1)).values[0]
    assert scores.argsort(descending=True, stable=True)[:3].tolist() == [3, 5, 0]


@pytest.mark.parametrize("model", COUNTING.values(), ids=COUNTING)
def test_a_model_that_counts_says_that_it_takes_no_steps(cycle, model):
    task = task_of(cycle, model).train()
    with pytest.raises(TaskkitError, match="max_epochs"):
        task.step(batch_of(task, cycle.train()))
    assert isinstance(task.eval()(batch_of(task, cycle.test())), Scores)


@everything
def test_processes_can_send_each_other_what_a_network_holds(cycle, model):
    network = task_of(cycle, model).network
    assert all(tensor.layout is torch.strided for tensor in (*network.buffers(), *network.parameters()))
