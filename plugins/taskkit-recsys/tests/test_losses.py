"""Losses over all items or a few: what they are, and that they stay within their budget."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from taskkit_recsys import sections
from taskkit_recsys.answer import Vectors
from taskkit_recsys.arrays import NONE
from taskkit_recsys.losses import Objective

QUERIES, ITEMS, WIDTH = 30, 50, 8


def answer(queries=QUERIES, items=ITEMS, most=1):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(queries, WIDTH, generator=generator).requires_grad_()
    item = torch.randn(items, WIDTH, generator=generator).requires_grad_()
    target = torch.randint(0, items, (queries, most), generator=generator)
    target[::5, 0] = NONE
    return Vectors(query, item, torch.randn(items, generator=generator).requires_grad_(), target)


def objective(counts=None, **settings):
    return Objective(sections.NextItem(**settings), torch.ones(ITEMS).long() if counts is None else counts)


def loss_of(given, counts=None, **settings):
    return objective(counts, **settings)(given)[0]


def test_softmax_is_cross_entropy_over_all_items():
    given = answer()
    expected = F.cross_entropy(given.query @ given.item.T + given.bias, given.target[:, 0], ignore_index=NONE)
    loss, count = objective()(given)
    assert loss.item() == pytest.approx(expected.item())
    assert count == 24  # of thirty queries every fifth has no target


def test_a_query_may_have_several_targets_that_count_alike():
    given = answer(most=3)
    logits = (given.query @ given.item.T + given.bias)[:, None].expand(-1, 3, -1)
    expected = F.cross_entropy(logits.flatten(0, 1), given.target.flatten(), ignore_index=NONE)
    assert loss_of(given).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("popular", [0.0, 1.0])
def test_many_shared_negatives_come_to_the_same_as_all_items(popular):
    torch.manual_seed(0)
    counts = torch.arange(1, ITEMS + 1)
    given = answer()
    few = loss_of(given, counts, loss="sampled", negatives=100_000, popular_negatives=popular)
    assert few.item() == pytest.approx(loss_of(given).item(), rel=0.02)


def test_a_negative_that_is_the_target_is_left_out():
    given = answer(items=1)
    assert loss_of(given, torch.ones(1).long(), loss="sampled", negatives=4).item() == 0


def test_gbce_is_bce_without_its_correction_and_nearly_unbiased_with_all_of_it():
    losses = {}
    for name, settings in {"bce": {"loss": "bce"}, "gbce": {"loss": "gbce", "gbce_t": 0.0}}.items():
        torch.manual_seed(0)
        losses[name] = loss_of(answer(), **settings, negatives=5).item()
    assert losses["gbce"] == losses["bce"]
    assert objective(gbce_t=1.0, negatives=7).beta(ITEMS) == pytest.approx(7 / (ITEMS - 1))


def test_bce_is_binary_cross_entropy_of_the_target_and_negatives():
    given = answer(queries=2, items=2)._replace(target=torch.tensor([[0], [1]]))
    scores = given.query @ given.item.T + given.bias
    losses = []
    for seed in range(300):
        torch.manual_seed(seed)
        losses.append(loss_of(given, torch.ones(2).long(), loss="bce", negatives=1).item())
    positive, negative = -F.logsigmoid(scores.diagonal()), F.softplus(scores.flip(1).diagonal())
    # Half of the negatives are the target itself and left out.
    assert sum(losses) / len(losses) == pytest.approx(((positive + 0.5 * negative) / 2).mean().item(), rel=0.1)


@pytest.mark.parametrize("settings", [{"loss": "softmax"}, {"loss": "sampled", "negatives": 20}], ids=str)
def test_parts_give_the_same_loss_and_gradients_as_the_whole(settings):
    results = []
    for budget in (2**26, 4 * ITEMS):
        torch.manual_seed(1)
        given = answer(most=2)
        loss = loss_of(given, **settings, logits_budget=budget)
        loss.backward()
        results.append([loss, given.query.grad, given.item.grad, given.bias.grad])
    for whole, parts in zip(*results, strict=True):
        assert torch.allclose(whole, parts, atol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "sampled", "gbce", "bce"])
def test_a_query_without_a_target_has_no_gradient(loss):
    given = answer()
    loss_of(given, loss=loss).backward()
    without = given.target[:, 0] == NONE
    assert not given.query.grad[without].any()
    assert given.query.grad[~without].any(1).all()


class Largest(TorchDispatchMode):
    """The most elements of any tensor that an operation made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *made])
        return out


def test_rare_items_of_a_large_catalogue_are_drawn_as_often_as_their_share_says():
    items = 1_000_000
    counts = torch.ones(items, dtype=torch.int64)
    counts[0] = 10**9
    loss = objective(counts, loss="sampled", negatives=1, popular_negatives=1.0)
    shares = loss.cumulative.diff()
    assert torch.allclose(shares.float(), loss.share[1:], rtol=1e-3, atol=0)


@pytest.mark.parametrize("loss", ["softmax", "sampled", "gbce"])
def test_a_large_catalogue_keeps_to_the_budget(loss):
    queries, items, budget = 256, 20_000, 400_000  # all scores at once would be 5 120 000
    given = answer(queries, items)
    with Largest() as largest:
        loss_of(given, torch.ones(items).long(), loss=loss, logits_budget=budget).backward()
    assert largest.elements <= budget
    assert given.item.grad is not None


@pytest.mark.parametrize("loss", ["softmax", "sampled", "bce", "gbce"])
def test_chance_is_the_loss_of_equal_scores(loss):
    torch.manual_seed(0)
    given = answer()
    equal = Vectors(given.query * 0, given.item, None, given.target)
    made = objective(loss=loss, negatives=1000 if loss == "sampled" else 4)
    losses = torch.stack([made(equal)[0] for _ in range(20)])
    assert losses.mean().item() == pytest.approx(made.chance, rel=0.05)
