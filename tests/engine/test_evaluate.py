"""What a test keeps of each example, whatever processes and batches it was shared out over."""

import random

from taskkit.engine.evaluate import gather


def test_the_windows_of_an_example_are_joined_in_their_order_whatever_process_had_them() -> None:
    parts = [((example, 4 * example + window), window) for example in range(3) for window in range(4)]
    shares = [part for rank in range(2) for part in parts[rank::2]]
    random.Random(0).shuffle(shares)
    assert list(gather(shares)) == [(example, [0, 1, 2, 3]) for example in range(3)]
