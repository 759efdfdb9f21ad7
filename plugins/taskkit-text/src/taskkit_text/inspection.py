"""What is wrong with labelled texts: empty, damaged, doubled, leaking, of an odd script or length, skewed."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from taskkit import Classes, DataProblem, Example, ExampleLook, Split, find_duplicates, find_imbalance, first_ids
from taskkit_text.examples import same

FAR = 5
"""The longest text may have this many times the length that 95 of 100 stay within before it is worth a warning."""
RARE = 0.05
"""A script that fewer of the texts are in than this share is worth a warning."""
UNSPACED = {"CJK", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}
"""Scripts without spaces between words."""
BAR = 40
"""Characters of the longest bar of a histogram."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
HIGH = re.compile(r"[^\x00-\x7f]{2,}")
CP1252 = {
    ord(bytes([byte]).decode("cp1252")): byte for byte in range(0x80, 0xA0) if byte not in b"\x81\x8d\x8f\x90\x9d"
}
"""What Windows shows for the bytes that are control characters in Latin-1."""


@dataclass(frozen=True)
class TextLook(ExampleLook):
    """What one look at a text found; the digest is that of what is the same."""

    text: str = ""
    script: str = ""
    """That of most of its letters; empty when it has none."""


def problems(splits: Mapping[Split, Sequence[Example]], classes: Classes) -> Iterator[DataProblem]:
    """Look at every text once and say what a person should know."""
    looks = [_look(split, example) for split, examples in splits.items() for example in examples]
    yield from _empty(looks)
    yield from _damaged(looks)
    yield from find_duplicates(looks, "text")
    yield from _scripts(looks)
    yield from _lengths(looks)
    yield from _alike(classes)
    yield from find_imbalance(
        {s: [example.target for example in examples] for s, examples in splits.items()}, classes, "text"
    )


def _look(split: Split, example: Example) -> TextLook:
    text = example.input if isinstance(example.input, str) else "\n".join(example.input)
    digest = hashlib.blake2b(same(example.input).encode(errors="surrogatepass"), digest_size=16).digest()
    return TextLook(split, example.id, digest, example.target, text, script(text))


def script(text: str) -> str:
    """The script that most letters of a text are in, by Unicode's names of characters; empty: it has no letters."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if name := _script(character):
            counts[name] += count
    return counts.most_common(1)[0][0] if counts else ""


@cache
def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    first = re.split("[ -]", name, maxsplit=1)[0]
    # One Japanese text mixes all three.
    return "CJK" if first in ("HIRAGANA", "KATAKANA") else first


def mojibake(text: str) -> bool:
    """Whether a text holds UTF-8 that was read as Latin-1 or Windows-1252, such as `Ã©` for `é`.

    Characters are such when, turned back into bytes, they are good UTF-8 of what is not a rare letter.
    """
    for run in HIGH.findall(text):
        try:
            meant = run.translate(CP1252).encode("latin-1").decode()
        except UnicodeError:
            continue
        # `É»` at the end of a French quotation would be one of the phonetic letters.
        if not any("\u0180" <= character <= "\u036f" for character in meant):
            return True
    return False


def _empty(looks: Sequence[TextLook]) -> Iterator[DataProblem]:
    found = [look for look in looks if not any(unicodedata.category(c)[0] in "LNPS" for c in look.text)]
    if found:
        message = f"{_texts(found)} nothing to read. Take them out, or find out where their words went."
        yield DataProblem("error", "empty", message, first_ids(found))


def _damaged(looks: Sequence[TextLook]) -> Iterator[DataProblem]:
    kinds: dict[str, Callable[[str], object]] = {
        "UTF-8 that was read as another encoding, such as 'Ã©' for 'é'. Read the file that they came from as UTF-8.": (
            lambda text: not text.isascii() and mojibake(text)
        ),
        "U+FFFD, which stands where a character was lost. Read the file that they came from in its own encoding.": (
            lambda text: "\ufffd" in text
        ),
        "control characters, which are no text. Look where they come from.": CONTROL.search,
    }
    for what, is_damaged in kinds.items():
        if found := [look for look in looks if is_damaged(look.text)]:
            yield DataProblem("warning", "encoding", f"{_texts(found)} {what}", first_ids(found))


def _scripts(looks: Sequence[TextLook]) -> Iterator[DataProblem]:
    counts = Counter(look.script for look in looks if look.script)
    for name, count in sorted(counts.items()):
        if count < RARE * counts.total():
            usual = counts.most_common(1)[0][0]
            found = [look for look in looks if look.script == name]
            yield DataProblem(
                "warning",
                "script",
                f"{count} of {len(looks)} texts are in {_title(name)} letters, unlike most, which are in "
                f"{_title(usual)} ones. A model learns little about so few; look whether they belong here.",
                first_ids(found),
            )


def _lengths(looks: Sequence[TextLook]) -> Iterator[DataProblem]:
    usual = Counter(look.script for look in looks).most_common(1)[0][0]
    unit = "characters" if usual in UNSPACED else "words"
    lengths = [len(look.text) if unit == "characters" else len(look.text.split()) for look in looks]
    ranked = sorted(lengths)
    longest, most = ranked[-1], ranked[int(0.95 * (len(ranked) - 1))]
    shape = f"{histogram(ranked, unit)}\nThe longest has {longest} {unit}, 95 of 100 have {most} at most."
    if longest <= FAR * most:
        yield DataProblem("info", "lengths", f"The lengths of the texts:\n{shape}")
        return
    yield DataProblem(
        "warning",
        "lengths",
        f"The lengths of the texts are very uneven:\n{shape} A model that reads so few cuts long ones off, or they "
        "fill its memory.",
        first_ids([look for length, look in zip(lengths, looks, strict=True) if length == longest]),
    )


def histogram(lengths: Sequence[int], unit: str) -> str:
    """A line for each doubling of the length, with the number of texts that are so long and a bar."""
    counts = Counter(length.bit_length() for length in lengths)
    rows = [(2**bits // 2, 2**bits - 1, counts[bits]) for bits in range(min(counts), max(counts) + 1)]
    width, digits = len(str(rows[-1][1])), len(str(max(counts.values())))
    return "\n".join(
        f"  {first:>{width}} to {last:>{width}} {unit}: {count:>{digits}} "
        f"{'#' * -(-count * BAR // max(counts.values()))}".rstrip()
        for first, last, count in rows
    )


def _alike(classes: Classes) -> Iterator[DataProblem]:
    """Classes that seem to be one, written in several ways."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in classes.names:
        groups[same(name)].append(name)
    for names in groups.values():
        if len(names) > 1:
            written = " and ".join(map(repr, names))
            yield DataProblem(
                "warning",
                "label",
                f"The classes {written} differ in nothing but case, white space or width. If they are one, write them "
                "alike.",
            )


def _texts(looks: Sequence[TextLook]) -> str:
    return "1 text has" if len(looks) == 1 else f"{len(looks)} texts have"


def _title(script: str) -> str:
    return {"CJK": "Chinese or Japanese"}.get(script, script.capitalize())
