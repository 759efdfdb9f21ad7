import pytest

from taskkit import DataError
from taskkit_speech.normalise import NORMALISERS

letters = NORMALISERS["letters-v1"]
plain = NORMALISERS["plain-v1"]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello,   World!", "hello world"),
        ("It’s  “so-called” don't", "it's so called don't"),
        ("'quoted' dogs' rock 'n' roll", "quoted dogs rock n roll"),
        ("press 7, or 21", "press seven or twenty one"),
        ("2,000 or 2.5", "two thousand or two point five"),
        ("007", "zero zero seven"),
        ("3D", "three d"),
        ("ﬁne — naïve café", "fine naïve café"),
        ("e\u0301tude", "étude"),
        ("…?!", ""),
        ("", ""),
    ],
)
def test_what_is_written_in_several_ways_is_written_in_one(written, spoken):
    assert letters(written, "en") == spoken


@pytest.mark.parametrize(
    ("language", "spoken"),
    [
        ("fr", "l'appel vingt et un"),
        ("es", "l'appel veintiuno"),
        ("it", "l'appel ventuno"),
        ("ru", "l'appel двадцать один"),
    ],
)
def test_numbers_are_spelled_out_in_the_language(language, spoken):
    assert letters("L’appel 21", language) == spoken


def test_numbers_stay_when_the_language_is_not_known():
    assert letters("Press 21!", "") == "press 21"


def test_a_language_without_number_words_is_refused_only_when_there_is_a_number():
    assert letters("Bom dia", "xx") == "bom dia"
    with pytest.raises(DataError, match=r"data\.language=xx: numbers cannot be spelled out"):
        letters("7", "xx")


def test_scripts_with_marks_keep_them():
    assert letters("हिन्दी।", "") == "हिन्दी"


def test_plain_keeps_everything_but_blanks():
    assert plain("  Hello,\tWorld 21! ", "en") == "Hello, World 21!"


@pytest.mark.parametrize("normalise", NORMALISERS.values())
def test_normalising_twice_changes_nothing_more(normalise):
    for text in ("It’s “2,000” dogs' 0.5 é", "L’appel №5", "x² ½ — ''"):
        once = normalise(text, "en")
        assert normalise(once, "en") == once
