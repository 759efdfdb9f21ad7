"""In which encoding a text is that is not UTF-8: certain where all languages that could have written it agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

WINDOWS_1252 = "windows-1252"
LATIN: Mapping[str, Mapping[str, str]] = {
    WINDOWS_1252: {
        "English": "àâäçèéêëïñôöü",
        "French": "àâæçèéêëîïôœùûüÿ",
        "German": "àäçèéêöüß",
        "Spanish": "áçéíñóúü",
        "Portuguese": "àáâãçéêíóôõúü",
        "Italian": "àèéìíîòóùú",
        "Catalan": "àçèéíïòóúü",
        "Dutch": "àäáçéèêëïíóöüú",
        "Danish or Norwegian": "åæøàäéèêóòôöü",
        "Swedish or Finnish": "åäöàéèüšž",
        "Icelandic": "áæéíðóöúýþ",
    },
    "windows-1250": {
        # Slovak ŕ and ĺ are so rare that a text without the others and with these is none.
        "Polish": "ąćęłńóśźż",
        "Czech": "áčďéěíňóřšťúůýž",
        "Slovak": "áäčďéíľňóôšťúýž",
        "Hungarian": "áéíóöőúüű",
        "Croatian or Slovene": "ćčđšž",
        "Romanian": "ăâîşţ",
    },
    "windows-1254": {"Turkish": "âçğîıöşûü"},
    "windows-1257": {"Lithuanian": "ąčėęįšūųž", "Latvian": "āčēģīķļņšūž", "Estonian": "äõöüšž"},
}
"""The letters beyond ASCII of languages in Latin letters, loan words of the first ones among them."""
OTHER: Mapping[str, Mapping[str, str]] = {
    "windows-1251": {
        "Russian or Bulgarian": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
        "Ukrainian": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    },
    "windows-1253": {"Greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ"},
    "windows-1255": {"Hebrew": "אבגדהוזחטיךכלםמןנסעףפץצקרשת"},
}
"""Those of languages in other letters."""
SYMBOLS = frozenset("€…–—‘’‚“”„•«»‹›°§©®™£¥¡¿·ºª½¼¾²³µ×±†‰\xa0\xad")
"""What people write beside letters. Not ¤, which stands where ISO 8859-15 has the euro."""

_SPOT = re.compile(rb"(?=([\x00-\x7f]?[\x80-\xff]+[\x00-\x7f]?))[\x00-\x7f]?[\x80-\xff]+")
"""What is beyond ASCII, with the characters beside it."""
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_MARK_IN_WORD = re.compile(
    r"[^\W\d_][^\x00-\x7f\w’–—·…\xa0\xad][^\W\d_]"  # between two letters
    r"|[”£¥ªº²³¹¼½¾][^\W\d_]"  # before one
    r"|[^\W\d_][‚„¿¡]|[^\W\d_m][²³¹]|[^\W\d_nNMD][ªº]"  # after one, but in m² and nº
)
_BESIDE_DIGIT = re.compile(r"[^\x00-\x7f\W\d_ºªµ]\d|\d[^\x00-\x7f\W\d_ºªµ]")
_RUN = re.compile(r"[^\x00-\x7f\W\d_]{4}")
_MIXED = re.compile(r"[a-zA-Z][^\x00-\x7f\W\d_]|[^\x00-\x7f\W\d_][a-zA-Z]")


@dataclass(frozen=True)
class Reading:
    """What a text may be: a language, its encoding, and what the bytes beyond ASCII are then."""

    encoding: str
    language: str
    characters: str


def readings(content: bytes) -> list[Reading]:
    """Every language, of those known here, that could have written bytes that are not UTF-8, and in which encoding.

    Its letters must be those of the language. None could have written what is UTF-8 in part: that
    was put together of two. A mark or a digit beside a letter, a run of letters beyond ASCII, and
    Latin letters within a word of others speak against it.
    """
    if _UTF8.search(content):
        return []
    # Of a long text few spots differ, and nothing else decides.
    spots = b"\n".join({found[1] for found in _SPOT.finditer(content)})
    return [*_explained(spots, LATIN, (_MARK_IN_WORD, _BESIDE_DIGIT, _RUN)), *_explained(spots, OTHER, (_MIXED,))]


def is_windows_1252(found: list[Reading]) -> bool:
    """Whether a text is certainly Windows-1252: it may be, and whatever else it may be reads the same."""
    return WINDOWS_1252 in {each.encoding for each in found} and len({each.characters for each in found}) == 1


def _explained(
    spots: bytes, known: Mapping[str, Mapping[str, str]], against: tuple[re.Pattern[str], ...]
) -> Iterator[Reading]:
    beyond = bytes(sorted(byte for byte in set(spots) if byte >= 0x80))
    for encoding, languages in known.items():
        try:
            characters = beyond.decode(encoding)
        except UnicodeDecodeError:
            continue
        letters = {character.lower() for character in characters if character not in SYMBOLS}
        possible = [language for language, own in languages.items() if letters <= set(own)]
        if possible and not any(pattern.search(spots.decode(encoding)) for pattern in against):
            yield from (Reading(encoding, language, characters) for language in possible)
