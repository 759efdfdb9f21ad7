"""How a first loss is judged beside the one that chance gives."""

import pytest

from taskkit.engine.chance import far_off, in_words


@pytest.mark.parametrize(
    ("loss", "chance", "pretrained", "said"),
    [
        (2.6, 2.3026, False, None),
        (1.4, 2.3026, False, None),
        (5.0, 2.3026, False, "2.2 times what chance gives (5; 2.303)"),
        (5.0, 2.3026, True, "2.2 times what chance gives (5; 2.303)"),
        (0.3, 2.3026, False, "0.13 of what chance gives (0.3; 2.303)"),
        (0.3, 2.3026, True, None),
        (500.0, None, False, None),
        (float("nan"), 2.3026, False, None),
        (3.0, -1.0, False, None),
    ],
)
def test_a_first_loss_is_far_from_chance_when_one_is_twice_the_other(
    loss: float, chance: float | None, pretrained: bool, said: str | None
) -> None:
    found = far_off(loss, chance, pretrained=pretrained)
    assert (found is None) == (said is None)
    assert said is None or (found is not None and said in found)


def test_chance_that_is_not_known_is_said_to_be_so() -> None:
    assert in_words(2.5, 2.3026) == "first loss 2.5000; chance gives 2.3026"
    assert in_words(2.5, None) == "first loss 2.5000; what chance gives is not known"
