from contextlib import suppress
from itertools import product

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
        ("1,234.56", "one thousand two hundred and thirty four point five six"),
        ("3.141", "three point one four one"),
        ("0.125 or 0,125", "zero point one two five or zero point one two five"),
        (
            "1,234,567 or 1.234.567",
            " or ".join(["one million two hundred and thirty four thousand five hundred and sixty seven"] * 2),
        ),
        ("4111222233334444", "four one one one two two two two three three three three four four four four"),
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


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("3.141", "dreitausendeinhunderteinundvierzig"),
        ("3,141", "drei komma eins vier eins"),
        ("1.234,5", "eintausendzweihundertvierunddreißig komma fünf"),
        ("28.8 und 28,8", "achtundzwanzig komma acht und achtundzwanzig komma acht"),
        ("0.125", "null komma eins zwei fünf"),
    ],
)
def test_where_a_comma_begins_decimals_a_point_divides_thousands(written, spoken):
    assert letters(written, "de") == spoken


@pytest.mark.parametrize(("language", "number"), [("am", "1999"), ("am", "1,234,567"), ("kn", "999999999999")])
def test_a_number_that_a_language_cannot_say_is_named(language, number):
    with pytest.raises(DataError, match=rf"data\.language={language}: .* not {number.replace(',', '')} .*plain-v1"):
        letters(f"call {number}", language)


def test_every_language_says_a_number_or_why_not():
    from num2words import CONVERTER_CLASSES

    for language, number in product(CONVERTER_CLASSES, ("7", "1,234,567", "3.5", "12345678901234567890")):
        with suppress(DataError):
            letters(number, language)
    assert letters("7 or 21", "id") == "tujuh or dua puluh satu"


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


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9", "cafe\u0301"), ("\u0587", "\u0565\u0582"), ("\ufb01n", "fin")]
)
def test_what_unicode_writes_in_two_ways_is_one_transcript(name, one, other):
    assert NORMALISERS[name](one, "") == NORMALISERS[name](other, "")
