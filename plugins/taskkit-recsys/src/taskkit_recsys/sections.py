"""The settings of this plugin's tasks, models and data in a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from taskkit import Problems, PseudonymSection, setting, table_problems

# Tasks.


@dataclass
class NextItem:
    """Predict the items that follow a history."""

    loss: Literal["softmax", "sampled", "gbce", "bce"] = setting(
        "softmax", "over all items; with negatives shared by a batch; or with negatives for each position"
    )
    negatives: int = setting(256, "items that stand for all others; unused by softmax", ge=1)
    popular_negatives: float = setting(
        0.5, "draw shared negatives by popularity to this power; 0: each item alike", ge=0, le=1
    )
    gbce_t: float = setting(0.75, "how far gBCE undoes the overconfidence of few negatives; 0: not at all", ge=0, le=1)
    logits_budget: int = setting(
        2**26, "the most scores that are held at once; more are computed in parts, and again for gradients", ge=1
    )
    cutoffs: list[int] = setting([5, 10, 20], "lengths of the recommended lists that are judged; 10 among them", ge=1)
    sampled: int | None = setting(
        None, "also rank each target among so many random items; such numbers compare with nothing else", ge=1
    )

    def problems(self) -> Problems:
        """A headline that would not be there."""
        if 10 not in self.cutoffs:
            yield "cutoffs", f"{self.cutoffs} leaves out 10, and runs are judged by ndcg@10. Add it."


@dataclass
class Rating:
    """Predict how much a user likes an item."""


# Models.


@dataclass
class Sasrec:
    """Self-attention over a history, each place seeing what came before it."""

    length: int = setting(50, "items of a history that the network sees", ge=1)
    width: int = setting(64, "size of an item's vector; must be a multiple of heads", ge=1)
    depth: int = setting(2, "transformer blocks", ge=1)
    heads: int = setting(2, "attention heads", ge=1)
    mlp_ratio: float = setting(4.0, "hidden size of a block's perceptron, in widths", gt=0)
    dropout: float = setting(0.2, "share of activations dropped in training", ge=0, lt=1)
    position: Literal["relative", "learned"] = setting(
        "relative", "how a place knows where it is: by distances in attention, or by a learned vector as in the paper"
    )

    def problems(self) -> Problems:
        """Heads that do not share out the width."""
        yield from _heads(self.width, self.heads)


@dataclass
class Bert4rec:
    """Self-attention over a history, which learns to fill in masked items."""

    length: int = setting(50, "items of a history that the network sees", ge=1)
    width: int = setting(64, "size of an item's vector; must be a multiple of heads", ge=1)
    depth: int = setting(2, "transformer blocks", ge=1)
    heads: int = setting(2, "attention heads", ge=1)
    mlp_ratio: float = setting(4.0, "hidden size of a block's perceptron, in widths", gt=0)
    dropout: float = setting(0.2, "share of activations dropped in training", ge=0, lt=1)
    position: Literal["relative", "learned"] = setting(
        "relative", "how a place knows where it is: by distances in attention, or by a learned vector as in the paper"
    )
    masked: float = setting(0.3, "share of the items that are masked in training", gt=0, lt=1)
    mask_last: float = setting(0.1, "share of the histories of which only the last item is masked", ge=0, le=1)

    def problems(self) -> Problems:
        """Heads that do not share out the width."""
        yield from _heads(self.width, self.heads)


@dataclass
class Gru4rec:
    """A recurrent network over a history."""

    length: int = setting(50, "items of a history that the network sees", ge=1)
    width: int = setting(64, "size of an item's vector", ge=1)
    hidden: int = setting(128, "size of the recurrent state", ge=1)
    depth: int = setting(1, "recurrent layers", ge=1)
    dropout: float = setting(0.2, "share of activations dropped in training", ge=0, lt=1)


@dataclass
class Lightgcn:
    """Vectors of users and items, spread over the graph of who took what."""

    width: int = setting(64, "size of a vector", ge=1)
    depth: int = setting(3, "steps along the graph", ge=1)
    length: int = setting(50, "items of one user in a training sample", ge=1)


@dataclass
class Mf:
    """A vector for each user and each item; their product is the score."""

    width: int = setting(64, "size of a vector", ge=1)
    dropout: float = setting(0.0, "share of a user's vector dropped in training", ge=0, lt=1)
    length: int = setting(50, "items of one user in a training sample", ge=1)


@dataclass
class Popular:
    """The items that most users took."""


@dataclass
class ItemKnn:
    """Items that the same users took as those of a history."""

    neighbours: int = setting(200, "similar items kept for each item", ge=1)
    shrink: float = setting(10.0, "how little is made of items that few users share", ge=0)
    length: int = setting(5, "newest items of a history that count", ge=1)


# Data.

SHARE = 0.1
"""Of the events or of the users, the share that validates, and the one that tests, unless a recipe says another."""


@dataclass(kw_only=True)
class Splitting:
    """Which events count, and which of them are held out."""

    split: Literal["leave_one_out", "time", "users"] = setting(
        "leave_one_out", "hold out each user's last two events, all events of the last days, or whole users"
    )
    val_share: float = setting(SHARE, "share of the events (time) or of the users (users) that validate", ge=0, lt=1)
    test_share: float = setting(SHARE, "share of the events (time) or of the users (users) that test", ge=0, lt=1)
    val_from: str | None = setting(None, "with split: time, the date from which events validate; null: val_share")
    test_from: str | None = setting(None, "with split: time, the date from which events test; null: test_share")
    k_core: int = setting(1, "leave out users and items of fewer events, until none is left that is", ge=1)
    min_rating: float | None = setting(None, "leave out events rated lower; null: each event counts, however rated")

    def problems(self) -> Problems:
        """Dates without a split by time or in the wrong order, shares that leave nothing to train on."""
        for name in ("val_from", "test_from"):
            if (date := getattr(self, name)) is None:
                continue
            if self.split != "time":
                yield name, f"{date!r} says when a split by time begins, but split is {self.split}. Set split: time."
            try:
                datetime.fromisoformat(date)
            except ValueError:
                yield name, f"{date!r} is no date. One such as 2024-06-30 was expected."
        for part in ("val", "test"):
            # The default is in the recipe of every run, where nobody asked for it.
            if (share := getattr(self, f"{part}_share")) != SHARE and (why := self._without_share(part)):
                yield f"{part}_share", f"{share:g} has no effect: {why}, or leave the share out."
        if _later(self.val_from, self.test_from):
            yield "val_from", f"{self.val_from} is not before test_from, {self.test_from}. Set an earlier date."
        if self.val_share + self.test_share >= 1:
            yield "val_share", f"{self.val_share} and test_share {self.test_share} leave nothing to train on."

    def _without_share(self, part: str) -> str:
        """Why the share of a split would be ignored, and what to do; empty: it counts."""
        if self.split == "leave_one_out":
            return "leave_one_out holds out the last two events of each user. Set data.split to time or users"
        if self.split == "time" and getattr(self, f"{part}_from") is not None:
            return f"data.{part}_from says where the {part} split begins. Set that to null"
        return ""


@dataclass(kw_only=True)
class Movielens100k(Splitting):
    """100 000 ratings of 1 682 films by 943 people, 1997 to 1998."""

    root: str | None = setting(None, "a folder that holds ml-100k.inter and ml-100k.item; null: fetch them")


@dataclass(kw_only=True)
class Movielens(Splitting):
    """GroupLens' larger sets of ratings of films, in their own formats."""

    release: Literal["ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "ml-latest-small"] = setting("ml-1m", "which set")
    root: str | None = setting(None, "a folder that holds its ratings and movies as .dat or .csv; null: download them")


@dataclass(kw_only=True)
class Interactions(Splitting, PseudonymSection):
    """Your own log: a table of who took what when, and how they rated it."""

    events: str = setting(doc="a CSV, TSV, JSON lines, Excel or Parquet file, one event in a row")
    items: str | None = setting(None, "such a file of items and their titles, for people to read; null: ids must do")
    user_column: str = setting("user", "the column of users' ids")
    item_column: str = setting("item", "the column of items' ids, in `events` and in `items`")
    time_column: str = setting("timestamp", "the column of times: numbers since 1970 or dates, in UTC")
    rating_column: str | None = setting("rating", "the column of ratings; read when something needs them")
    title_column: str = setting("title", "the column of titles in `items`")
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = setting(
        "auto", "what times that are numbers count; auto: that in which they lie between 1990 and now, else seconds"
    )
    date_order: Literal["auto", "day_first", "month_first"] = setting(
        "auto",
        "which number of a date such as 11/12/2023 is the day; auto: what the rows tell, the first in 11.12.2023",
    )
    delimiter: str | None = setting(None, "what stands between the cells of a CSV or TSV file; null: what is found")
    encoding: str | None = setting(
        None, "what a CSV, TSV or JSON lines file is in, as windows-1250; null: what is certain"
    )
    rating_scale: list[float] | None = setting(None, "the lowest and the highest rating; null: those in the data")

    def problems(self) -> Problems:
        """Two uses of a column, a scale that is none, a key without use, ratings that have no column."""
        yield from Splitting.problems(self)
        yield from PseudonymSection.problems(self)
        taken: dict[str, str] = {}
        for name in ("user_column", "item_column", "time_column", "rating_column"):
            column = getattr(self, name)
            if column in taken:
                yield name, f"{column!r} is {taken[column]} too. A column of its own was expected. Correct one of them."
            elif column is not None:
                taken[column] = name
        if self.rating_scale is not None and (
            len(self.rating_scale) != 2 or not self.rating_scale[0] < self.rating_scale[1]
        ):
            yield "rating_scale", f"{self.rating_scale} is no scale. The lowest and the highest were expected: [1, 5]."
        yield from table_problems(self.delimiter, self.encoding)
        if self.min_rating is not None and self.rating_column is None:
            yield "min_rating", f"{self.min_rating:g} needs ratings, but rating_column is null. Name their column."


def _later(val: str | None, test: str | None) -> bool:
    """Whether validation would begin when testing does or after it; what is no date is said elsewhere."""
    try:
        begins = [datetime.fromisoformat(date) for date in (val, test) if date]
    except ValueError:
        return False
    moments = [begin if begin.tzinfo else begin.replace(tzinfo=UTC) for begin in begins]
    return len(moments) == 2 and moments[0] >= moments[1]


def _heads(width: int, heads: int) -> Problems:
    if width % heads:
        yield "heads", f"{heads} does not divide the width of {width}. Change one of them."
