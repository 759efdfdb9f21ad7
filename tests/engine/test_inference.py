"""How fast a task answers, from the times of its batches."""

import numpy as np
import pytest

from taskkit.batches.loader import HostBatch
from taskkit.engine.inference import _throughput


def batch(samples: int) -> HostBatch:
    return HostBatch({}, np.arange(samples), samples)


def test_a_batch_that_waited_for_the_machine_does_not_move_throughput() -> None:
    large, small = batch(10), batch(6)
    timed = [(large, 0.1), (small, 0.06), (large, 0.1), (small, 9.0), (large, 0.1), (small, 0.06)]
    assert _throughput(timed) == pytest.approx(100.0)
