"""What was probably meant."""

import pytest

from taskkit import did_you_mean
from taskkit.wording import nearest

WORDS = ("image.vit", "image.Resnet", "adam", "adamw", "wav2vec2-base")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("image.vlt", "image.vit"),
        ("IMAGE.RESNET", "image.Resnet"),
        ("adamW", "adamw"),
        ("wav2vec2", "wav2vec2-base"),
        ("speech", ""),
    ],
)
def test_the_word_that_was_meant_is_found_whatever_its_case(word: str, meant: str) -> None:
    assert nearest(word, WORDS) == meant
    assert did_you_mean(word, iter(WORDS)) == (f" Did you mean {meant!r}?" if meant else "")


def test_how_near_is_near_can_be_said() -> None:
    assert nearest("image.net", WORDS) == "image.Resnet"
    assert nearest("image.net", WORDS, cutoff=0.9) == ""
