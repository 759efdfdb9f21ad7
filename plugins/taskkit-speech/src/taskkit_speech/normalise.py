"""Transcripts made alike: what is written in several ways is written in one. A name is never given to other rules.

The name is in the protocol of every result, since error rates compare only between transcripts made by the same rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache

from taskkit import DataError

POINT = frozenset({"am", "bn", "cy", "en", "he", "hi", "ja", "kn", "ko", "te", "th", "zh"})
"""Languages that begin decimals with a point."""
LONGEST = 12
"""Digits from more than which on nobody reads a number as one: it is an account, a card, a serial number."""
ENDLESS = {"am": 1_000_000}
"""From where on num2words counts in a language without coming to an end."""
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
    """Write numbers out as they are read aloud; raises DataError for those that num2words cannot say in a language.

    English and some others begin decimals with a point and divide thousands with commas, 1,234.5; the rest do it the
    other way round. Either sign begins decimals where it cannot divide thousands, and divides them where it comes
    several times. What begins with 0 and is no decimal is read digit by digit, and so is what is too long to be read
    as one number. Letters after a number stay: 2nd is `two nd`.
    """
    return _numbers(language).sub(lambda found: f" {_aloud(found, language)} ", text)


@cache
def _numbers(language: str) -> re.Pattern[str]:
    point = re.split("[-_]", language)[0].lower() in POINT
    thousands, decimals = (",", r"\.") if point else (r"\.", ",")
    grouped = rf"(?P<grouped>[1-9]\d{{0,2}}(?:{thousands}\d{{3}})+)(?!\d)(?:{decimals}(?P<rest>\d+))?"
    otherwise = rf"(?P<otherwise>[1-9]\d{{0,2}}(?:{decimals}\d{{3}}){{2,}})(?!\d)"
    return re.compile(rf"{grouped}|{otherwise}|(?P<whole>\d+)(?:[.,](?P<part>\d+))?")


def _aloud(found: re.Match[str], language: str) -> str:
    whole = re.sub("[.,]", "", found["grouped"] or found["otherwise"] or found["whole"])
    part = found["rest"] or found["part"] or ""
    if (whole[0] == "0" and whole[1:] and not part) or max(len(whole), len(part)) > LONGEST:
        return " ".join(_words(digit, language) for digit in whole + part)
    return _words(f"{whole}.{part}" if part else whole, language)


def _words(number: str, language: str) -> str:
    # Its rules for all languages are read when it is imported; most transcripts have no number.
    from num2words import num2words  # type: ignore[import-untyped]

    try:
        if language in ENDLESS and float(number) >= ENDLESS[language]:
            raise OverflowError("it is too large")
        # Some languages take no text; decimals stay text, since a fraction that is rounded is another number.
        words: str = num2words(int(number) if number.isdecimal() else number, lang=language)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = f" ({error})" if str(error) else ""
        raise DataError(
            f"data.language={language}: numbers cannot be spelled out in it, at least not {number}{reason}. An ISO "
            "639-1 code that num2words knows was expected, such as en, de or fr, and a number that it can say. Correct "
            "the code, write the number out in the transcript, or set data.normaliser=plain-v1."
        ) from None
    return words


def _is_spoken(character: str) -> bool:
    return character == "'" or unicodedata.category(character)[0] in "LMN"
