"""Labelled texts of whatever origin: which are the same, and which split each is in."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from taskkit import DataError, Split, and_more, by_share

log = logging.getLogger("taskkit")


@dataclass(frozen=True)
class Labelled:
    """One text, or a pair of them, and its class; no split: it is for us to choose one."""

    id: str
    text: str | tuple[str, str]
    label: str
    split: Split | None
    where: str
    """The file and the row, for messages."""
    author: str | None = None
    """Who wrote it; None: nobody knows."""


def same(text: str | tuple[str, str]) -> str:
    """What two texts have in common that are the same but for case, white space and width (Unicode's NFKC)."""
    parts = (text,) if isinstance(text, str) else text
    return "\t".join(" ".join(unicodedata.normalize("NFKC", part).casefold().split()) for part in parts)


By = Literal["text", "id", "author"]
"""What of a row decides which split it is in."""


def placed(rows: Sequence[Labelled], val: float, test: float, *, by: By = "text") -> list[Labelled]:
    """The rows, each in a split: those that are not there are taken from training, by a hash.

    By the text, the same one is never on both sides; by the author, nobody is. Raises DataError when all rows of a
    class were held out.
    """
    present = {row.split for row in rows}
    shares = 0.0 if "val" in present else val, 0.0 if "test" in present else test
    free = [row for row in rows if row.split in (None, "train")]
    chosen = [replace(row, split=by_share(_deciding(row, by), *shares)) for row in free]
    left = {row.label for row in chosen if row.split == "train"}
    if lost := [row for row in chosen if row.label not in left]:
        others = and_more(sorted({row.label for row in lost}))
        raise DataError(
            f"{lost[0].where}: a hash of each text chooses what is held out, and that took every text of the class "
            f"{lost[0].label!r}{others}. Each class needs texts to train on. Add some, join it with another class, or "
            "say yourself which texts are held out."
        )
    chances: dict[Split, float] = {"val": shares[0], "test": shares[1]}
    for split, share in chances.items():
        if share > 0 and all(row.split != split for row in chosen):
            log.warning(
                "data.%s_share: a share of %s was to be held out by a hash, and of %d rows that took none: there is "
                "no %s split. Raise data.%s_share, add rows, or say yourself which are held out.",
                *(split, share, len(free), split, split),
            )
    return [*chosen, *(row for row in rows if row.split in ("val", "test"))]


def _deciding(row: Labelled, by: By) -> str:
    """What decides the split of a row; one without an author is decided by its text."""
    if by == "author" and row.author is not None:
        return row.author
    return row.id if by == "id" else same(row.text)


def fingerprint(rows: Iterable[Labelled]) -> str:
    """A hash of the rows: their splits, ids, classes, texts and authors."""
    digest = hashlib.sha256()
    for row in rows:
        parts = (row.text,) if isinstance(row.text, str) else row.text
        author = () if row.author is None else (f"author {row.author}",)
        digest.update(
            "\x1f".join((str(row.split), row.id, row.label, *parts, *author, "\x1e")).encode(errors="surrogatepass")
        )
    return digest.hexdigest()
