"""What is recommended without torch is what is recommended with it."""

import numpy as np
import torch

from taskkit import DataSpec, Example
from taskkit_recsys.answer import Scores, Vectors
from taskkit_recsys.arrays import HistoryArrays, NextItemArrays
from taskkit_recsys.facts import Histories, NextItem
from taskkit_recsys.history import History, Query
from taskkit_recsys.next_item import NextItem as Task
from taskkit_recsys.options import Recommend
from taskkit_recsys.processor import HistoryProcessor
from taskkit_recsys.sections import NextItem as Section

ITEMS = [f"i{n}" for n in range(12)]
SPEC = DataSpec(Histories(("a", "b"), ITEMS), NextItem(ITEMS), "print")
ASKED = [
    Example("1", Query(0, (1, 2, 3))),
    Example("2", Query(None, ())),
    Example("3", Query(1, tuple(range(11)))),
]


def both():
    processor = HistoryProcessor(SPEC, 4)
    processor.fit([Example("a", History(0, (1, 2, 3, 3))), Example("b", History(1, (5, 2)))])
    state = {
        name: value.numpy() if isinstance(value, torch.Tensor) else value
        for name, value in processor.state_dict().items()
    }
    return processor, HistoryArrays(None, SPEC, state)


def test_a_history_becomes_the_same_batch():
    processor, arrays = both()
    batch = processor.collate([processor.encode(each)[0] for each in ASKED])
    other = arrays.collate([arrays.encode(each)[0] for each in ASKED])
    assert batch.keys() == other.keys()
    for name, tensor in batch.items():
        assert torch.equal(tensor, torch.from_numpy(other[name]))


def test_the_same_items_are_recommended_of_equal_scores_and_none_that_were_seen():
    processor, arrays = both()
    task = Task(Section(), torch.nn.Identity(), processor, SPEC)
    other = NextItemArrays(Section(), SPEC, arrays, {}, {})
    samples = [processor.encode(each)[0] for each in ASKED]
    query, item = torch.tensor([[1.0], [0.0], [-1.0]]), torch.arange(12).div(2, rounding_mode="floor")[:, None].float()
    values = torch.tensor([[0.0, float("nan"), 2, 2, 1, 0, -0.0, 5, 5, 5, 1, 1]] * 3)
    answers = {"query": query.numpy(), "item": item.numpy()}, {"values": values.numpy()}
    for outputs, plain in zip((Vectors(query, item), Scores(values)), answers, strict=True):
        for options in (Recommend(top=3), Recommend(top=20, filter_seen=False)):
            batch = processor.collate(samples)
            expected = task.predict(batch, outputs, ASKED, options)
            found = other.predict({n: np.asarray(t) for n, t in batch.items()}, plain, ASKED, options)
            assert found == list(expected)


def test_a_user_of_the_run_is_asked_by_name():
    processor, arrays = both()
    options = processor.predict_options(user="b")
    assert [list(each.input.items) for each in arrays.requested(options)] == [[5, 2]]
