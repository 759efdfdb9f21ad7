"""Transcripts made alike: what is written in several ways is written in one. A name is never given to other rules.

The name is in the protocol of every result, since error rates compare only between transcripts made by the same rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from taskkit import DataError

APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´", "'"))


def letters_v1(text: str, language: str) -> str:
    """Lower-case letters, their marks, apostrophes inside words, and single blanks.

    NFKC; digits spelled out in `language` (an ISO 639-1 code; empty: they stay). Everything else, all punctuation
    and hyphens too, becomes a blank.
    """
    text = unicodedata.normalize("NFKC", text.translate(APOSTROPHES))
    if language:
        text = spell_numbers(text, language)
    kept = "".join(character if _is_spoken(character) else " " for character in text.lower())
    inside_words = re.sub(r"(?<!\w)'+|'+(?!\w)", " ", kept)
    return plain_v1(inside_words, language)


def plain_v1(text: str, language: str) -> str:
    """NFKC and single blanks; case, punctuation and digits stay."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


NORMALISERS: Mapping[str, Callable[[str, str], str]] = {"letters-v1": letters_v1, "plain-v1": plain_v1}
"""The ways to normalise a transcript, by the name that `normaliser` has in a recipe."""


def spell_numbers(text: str, language: str) -> str:
    """Write numbers out as they are read aloud; raises DataError for a language that num2words does not know.

    A comma or a point before three digits divides thousands, before others it begins decimals. What begins with 0 and
    is no decimal is read digit by digit. Letters after a number stay: 2nd is `two nd`.
    """
    return re.sub(r"\d{1,3}(?:[.,]\d{3})+(?!\d)|\d+(?:[.,]\d+)?", lambda found: _aloud(found[0], language), text)


def _aloud(number: str, language: str) -> str:
    # Its rules for all languages are read when it is imported; most transcripts have no number.
    from num2words import num2words  # type: ignore[import-untyped]

    if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", number):
        number = re.sub(r"[.,]", "", number)
    parts = list(number) if re.fullmatch(r"0\d+", number) else [number.replace(",", ".")]
    try:
        words = " ".join(num2words(part, lang=language) for part in parts)
    except NotImplementedError:
        raise DataError(
            f"data.language={language}: numbers cannot be spelled out in it. An ISO 639-1 code that num2words knows "
            "was expected, such as en, de or fr. Correct it, or set data.normaliser=plain-v1."
        ) from None
    return f" {words} "


def _is_spoken(character: str) -> bool:
    return character == "'" or unicodedata.category(character)[0] in "LMN"
