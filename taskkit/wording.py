"""Words for messages: values as a recipe writes them, what was probably meant, and what no terminal acts upon."""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls but for tabs and line ends, changes of the direction of writing, and what cannot be written in UTF-8."""


TELL_AUTHORS = (
    "Mend it if it is yours, else tell its authors. Until it is mended, try another version of it, or another "
    "component of `taskkit list`."
)
"""What to do about a fault of a plugin."""


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """` Did you mean '…'?`, with a space before it, or nothing when no word comes near."""
    near = nearest(word, words)
    return f" Did you mean {near!r}?" if near else ""


def nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str:
    """The word that was probably meant, whatever its case; empty when none is as similar as `cutoff`, from 0 to 1."""
    known = {known.lower(): known for known in words}
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=cutoff)
    near = near or [known for known in known if known.startswith(f"{word.lower()}-")]
    return known[near[0]] if near else ""


def without_stop(text: str) -> str:
    """What somebody else said, on one line and without a full stop at its end, for the middle of a message."""
    return " ".join(text.split()).rstrip(". ")


def some(words: Sequence[str], most: int = 3) -> str:
    """The first of several words, each cut where it is long, with `…` for those that follow."""
    return ", ".join(_cut(word) for word in words[:most]) + (", …" if len(words) > most else "")


def shown(value: Any) -> str:
    """A value as a recipe writes it, in one short line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    text = f"[{', '.join(map(shown, value))}]" if isinstance(value, list | tuple) else repr(value)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def printable(text: str) -> str:
    r"""The text with what a terminal would act upon, or cannot show, written as an escape such as `\x1b`.

    Names of files may hold any of it. Tabs and line ends stay; a byte of a name that is not UTF-8 becomes `\xe9`.
    """
    return _ACTS.sub(lambda found: _escape(found[0]), text)


def on_one_line(text: str) -> str:
    """As `printable`, with tabs and line ends escaped too: for a cell or a line of what programs read."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")


def json_line(value: Any) -> str:
    """JSON on one line, with characters as they are but for those of `printable`, which are escaped as JSON does it."""
    return _ACTS.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(value, ensure_ascii=False))


def path_text(path: PurePath | str) -> str:
    r"""A path, with `/` between its parts, as text that UTF-8 can write: a byte that is not UTF-8 becomes `\xe9`."""
    return os.fsencode(PurePath(path).as_posix()).decode(errors="backslashreplace")


def shortened(text: str, most: int = 400) -> str:
    """The text, or its beginning and its end where it has more than so many characters, as with a long input in it."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[3 - most // 2 :]}"


def quoted(path: PurePath | str) -> str:
    """A path as a word of a command that is to be copied into a shell, on one line."""
    return on_one_line(shlex.quote(path_text(path)))


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # what Python makes of a byte of a file's name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def percent(share: float, digits: int = 1) -> str:
    """A share from 0 to 1, as `12.3%`; what is a little and what is nearly all are not rounded to nothing and to all.

    `digits` stand behind the point.
    """
    least = 10.0 ** -(digits + 2)
    if 0 < share < least / 2:
        return f"less than {least:.{digits}%}"
    if 1 - least / 2 < share < 1:
        return f"more than {1 - least:.{digits}%}"
    return f"{share:.{digits}%}"


def duration(seconds: float) -> str:
    """How long something takes, as a person says it: `0.4 s`, `38 s`, `12 min`, `3.2 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
