"""Words for messages: values as a recipe writes them, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


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


def shown(value: Any) -> str:
    """A value as a recipe writes it, in one short line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    text = f"[{', '.join(map(shown, value))}]" if isinstance(value, list | tuple) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
