"""What a person's tables are, if they are a log of who took what when. Without torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from taskkit import Guess, UserData

USERS = frozenset({"user", "customer", "client", "reader", "visitor", "account", "member", "listener"})
ITEMS = frozenset({"item", "product", "movie", "film", "book", "article", "track", "song", "game", "sku", "asin"})
TIMES = frozenset({"timestamp", "time", "date", "datetime", "when", "unixtime", "createdat", "unixreviewtime"})
RATINGS = frozenset({"rating", "stars", "score", "overall"})
TITLES = frozenset({"title", "name", "label"})
"""What people call columns, in small letters alone and without `id` at the end."""


def guesses(data: UserData) -> Iterator[Guess]:
    """Tables with a column of users, one of items and one of times, told by their names."""
    for path, columns in data.tables.items():
        user, item, time = (_called(columns, names) for names in (USERS, ITEMS, TIMES))
        if user is None or item is None or time is None:
            continue
        rating = _called(columns, RATINGS)
        place = {"name": "recsys.interactions", "events": str(path)}
        place |= {"user_column": user, "item_column": item, "time_column": time}
        why = [
            f"{user!r}, {item!r} and {time!r} are what users, items and times are called",
            f"{len(set(columns[user]))} users and {len(set(columns[item]))} items are in the rows that were looked at",
        ]
        titles = next(_titles(data, path, item), None)
        if titles is not None:
            place |= {"items": str(titles[0]), "title_column": titles[1]}
            why.append(f"{titles[0].name} says what people call the items")
        yield Guess(
            "a log of who took what when: what comes next?",
            why,
            0.95,
            _recipe(
                "recsys.next_item",
                {"name": "recsys.sasrec", "length": 25, "width": 32, "depth": 1, "heads": 2},
                {**place, "rating_column": rating},
                len(set(columns[user])),
            ),
        )
        if rating is not None:
            yield Guess(
                "a log of who rated what when: how much will somebody like an item?",
                [*why, f"{rating!r} is what ratings are called"],
                0.8,
                _recipe(
                    "recsys.rating",
                    {"name": "recsys.mf"},
                    {**place, "rating_column": rating},
                    len(columns[user]),
                ),
            )


def _titles(data: UserData, events: Path, item: str) -> Iterator[tuple[Path, str]]:
    """Other tables with the column of items and one of titles, and the name of that."""
    for path, columns in data.tables.items():
        title = _called(columns, TITLES)
        if path != events and item in columns and title is not None:
            yield path, title


def _called(columns: Iterable[str], names: Collection[str]) -> str | None:
    """The first column that is called so."""
    return next((name for name in columns if re.sub(r"[^a-z]|id$", "", name.lower()) in names), None)


def _recipe(task: str, model: Mapping[str, Any], data: Mapping[str, Any], examples: int) -> Mapping[str, Any]:
    """A small network; a batch is a part of the examples, also where these are few."""
    return {
        "title": "My log",
        "seed": 7,
        "task": {"name": task},
        "model": model,
        "data": data,
        "loader": {"batch_size": max(2, min(64, examples // 4))},
        "optim": {"lr": 3e-3, "warmup": 0.1},
        "trainer": {"max_epochs": 30, "check_val_every_n_epoch": 10},
    }
