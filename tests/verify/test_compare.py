"""How far two runs are apart, whatever their modules keep."""

import math

import torch

from taskkit.apart import of_states


def test_plain_data_that_modules_keep_are_compared_beside_tensors() -> None:
    state = {"head.weight": torch.ones(2), "_extra_state": ["tree 1", "tree 2"]}
    assert of_states(state, {"head.weight": torch.ones(2), "_extra_state": ["tree 1", "tree 2"]}).size == 0
    other = of_states(state, {**state, "_extra_state": ["tree 1", "tree 3"]})
    assert (other.size, other.where) == (math.inf, "_extra_state")
    assert of_states(state, {"head.weight": state["head.weight"]}).where == "_extra_state"
    assert of_states(state, {**state, "head.weight": torch.zeros(2)}).where == "head.weight"
