"""What people hand to `taskkit predict`: a user's id, item ids, or a file of histories."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from taskkit import DataError, Example, PseudonymKey, TextLine, did_you_mean, read_json_lines, read_row, setting
from taskkit_recsys.facts import Histories
from taskkit_recsys.history import Pair, Query

log = logging.getLogger("taskkit")

LINE = '{"history": ["50", "Star Wars (1977)"], "id": "a name"}'
"""What a line of a file of histories looks like."""
FILES = (".csv", ".json", ".jsonl", ".parquet", ".tsv", ".txt")
"""How words end that are meant as files."""
GUESSED = 50_000
"""Among more names than these, none is suggested: comparing all of them takes long."""
PAIR = '{"user": "42", "item": "50", "id": "a name"}'
"""What a line of a file of pairs looks like."""
OR_HISTORY = (
    "For someone new, give a history instead: item ids with commas between them, or a .jsonl file of lines such as "
    f"{LINE}."
)
OR_TRAIN = (
    "A rating can be predicted for users of the run alone: for someone new, train again on a log that has ratings of "
    "theirs."
)


@dataclass
class ReadHistory:
    """Whose history is continued."""

    user: str | None = setting(None, "the id of a user of the run, whose own history is continued")
    key: str | None = setting(None, "the key file that users' ids were hashed with; null: the one used in training")


@dataclass
class ReadPair:
    """Whose rating of what is predicted."""

    user: str | None = setting(None, "the id of a user of the run")
    item: str | None = setting(None, "the id or the title of an item of the run")
    key: str | None = setting(None, "the key file that users' ids were hashed with; null: the one used in training")


def read_histories(source: str, options: ReadHistory, directory: Directory) -> list[Example]:
    """Histories, each a Query, of a file of JSON lines, or of item ids with commas between them.

    A line is an object with `history`, a list of item ids or titles, oldest first, and, if wanted, `id`. Items that the
    run does not know are named in a warning and left out, so a history may be empty. Raises DataError for what is
    neither.
    """
    _refuse_user_and_source(source, options.user)
    if (path := _file(source, LINE)) is None:
        words = [source] if directory.item(source) is not None else source.split(",")
        return [Example(source, Query(None, directory.history([word.strip() for word in words], source)))]

    def query(where: str, line: Mapping[str, Any]) -> Query:
        return Query(None, directory.history(_words(line, where), where))

    return [read_row(name, line, partial(query, where, line)) for where, name, line in _lines(path, ("history",), LINE)]


def requested_history(
    options: ReadHistory, directory: Directory, history_of: Callable[[int], Sequence[int]]
) -> list[Example]:
    """The history of the user that the options name, which `history_of` gives by the user's number; none: no example.

    Raises DataError for a user that the run does not know.
    """
    if options.user is None:
        return []
    user = directory.user(options.user, options.key, otherwise=OR_HISTORY)
    return [Example(options.user, Query(user, history_of(user)))]


def read_pairs(source: str, options: ReadPair, directory: Directory) -> list[Example]:
    """Users and items, each a Pair, of a file of JSON lines; raises DataError for what the run does not know.

    A line is an object with `user` and `item`, and, if wanted, `id`.
    """
    _refuse_user_and_source(source, options.user)
    if (path := _file(source, PAIR)) is None:
        raise DataError(
            f"{source!r}: not a file. JSON lines such as {PAIR} were expected in a .jsonl file. "
            "Write one, or give --user and --item."
        )

    def pair(where: str, line: Mapping[str, Any]) -> Pair:
        user = directory.user(str(line["user"]), options.key, where, otherwise=OR_TRAIN)
        return Pair(user, directory.known_item(str(line["item"]), where))

    lines = _lines(path, ("user", "item"), PAIR)
    return [read_row(name, line, partial(pair, where, line)) for where, name, line in lines]


def requested_pair(options: ReadPair, directory: Directory) -> list[Example]:
    """The user and the item that the options name; neither: no example. Raises DataError for one without the other."""
    if options.user is None and options.item is None:
        return []
    if options.user is None or options.item is None:
        raise DataError("A rating is that of an item by a user. Give --user and --item.")
    user = directory.user(options.user, options.key, otherwise=OR_TRAIN)
    item = directory.known_item(options.item, "--item")
    return [Example(f"{options.user}, {directory.histories.title(item)}", Pair(user, item))]


class Directory:
    """The users and items of a run, found by what people call them."""

    def __init__(self, histories: Histories) -> None:
        self.histories = histories

    def user(self, name: str, key: str | None, where: str = "--user", *, otherwise: str) -> int:
        """The number of a user; `key` names the key file where the run has pseudonyms.

        `otherwise` says what can be done for someone whom the run does not know. Raises DataError when there is no such
        user, or no such key, and for a key where there are no pseudonyms.
        """
        if key is not None and not self.histories.key:
            raise DataError(
                f"--key {key}: the users of this run were not hashed, so that no key is needed. Leave it out."
            )
        users = self.histories.users
        stored = self._pseudonym(name.strip(), key) if self.histories.key else name.strip()
        if stored not in self._users:
            hint = (
                "The run has pseudonyms: ids were hashed as they stood in the data."
                if self.histories.key
                else (f"Users of the run are {_some(users)}.{_near(name, users)}")
            )
            raise DataError(f"{where}: the run saw no user {name!r}. {hint} {otherwise}")
        return self._users[stored]

    def item(self, name: str) -> int | None:
        """The number of an item by its id, or its title in any case; None when there is none."""
        if (number := self._items.get(name)) is not None:
            return number
        numbers = self._titles.get(name.casefold().strip(), ())
        if len(numbers) > 1:
            ids = ", ".join(self.histories.items[number] for number in numbers)
            log.warning(
                "%r is the title of %d items (%s): the first is taken. Ids tell them apart.", name, len(numbers), ids
            )
        return numbers[0] if numbers else None

    def known_item(self, name: str, where: str) -> int:
        """The number of an item; raises DataError when there is none."""
        if (number := self.item(name)) is None:
            raise DataError(
                f"{where}: the run saw no item {name!r}. Items of the run are {_some(self.histories.items)}."
                f"{self._near_item(name)} Give the id or the title of one."
            )
        return number

    def history(self, names: Iterable[str], where: str) -> list[int]:
        """The numbers of the items that are known; one warning names those that are not."""
        numbers = {name: self.item(name) for name in names if name}
        if unknown := [name for name, number in numbers.items() if number is None]:
            log.warning(
                "%s: left out %d of %d items, which the run did not see: %s.%s",
                where,
                len(unknown),
                len(numbers),
                ", ".join(map(repr, unknown[:10])) + (", …" if len(unknown) > 10 else ""),
                next(filter(None, map(self._near_item, unknown[:3])), ""),
            )
        return [number for name in names if (number := numbers.get(name)) is not None]

    def _pseudonym(self, name: str, key: str | None) -> str:
        file = PseudonymKey.read(Path(key or self.histories.key).expanduser())
        if file.check != self.histories.key_check:
            raise DataError(
                f"{file.path}: this is not the key that the run's users were hashed with. That one was at "
                f"{self.histories.key}. Restore it, or name a copy of it with --key FILE."
            )
        return file.pseudonym(name)

    def _near_item(self, name: str) -> str:
        return _near(name, [*self.histories.titles, *self.histories.items])

    @cached_property
    def _users(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.histories.users)}

    @cached_property
    def _items(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.histories.items)}

    @cached_property
    def _titles(self) -> Mapping[str, list[int]]:
        numbers: dict[str, list[int]] = {}
        for number, title in enumerate(self.histories.titles):
            if title:
                numbers.setdefault(title.casefold().strip(), []).append(number)
        return numbers


def _refuse_user_and_source(source: str, user: str | None) -> None:
    if user is not None:
        raise DataError(
            f"--user {user} with the input {source!r}: either asks for a history of its own. "
            "Give one of them at a time."
        )


def _file(source: str, example: str) -> Path | None:
    """The file of JSON lines such as `example` that a person means; None: it is no file."""
    if isinstance(source, TextLine):
        return None
    path = Path(source).expanduser()
    suffix = path.suffix.lower()
    # A title or a list of ids may be longer than any file name.
    is_file = len(path.name.encode()) < 256 and path.is_file()
    if suffix in FILES and not is_file:
        raise DataError(
            f"{source}: there is no such file. JSON lines such as {example} were expected. Correct the path."
        )
    if is_file and suffix != ".jsonl":
        raise DataError(f"{source}: not a .jsonl file. JSON lines such as {example} were expected. Write it like this.")
    return path if is_file else None


def _lines(path: Path, needed: Sequence[str], example: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """For each object of a file of JSON lines where it stands, what it is called, and the object."""
    for number, line in read_json_lines(path, example):
        where = f"{path}:{number}"
        if not set(needed) <= set(line) <= {*needed, "id"}:
            raise DataError(
                f"{where}: {_short(json.dumps(line, ensure_ascii=False))} is not such a line as {example}. Correct it."
            )
        yield where, str(line.get("id", f"line {number}")), line


def _words(line: Mapping[str, Any], where: str) -> list[str]:
    history = line["history"]
    if not isinstance(history, list) or any(isinstance(name, list | dict | bool | None) for name in history):
        raise DataError(
            f"{where}: `history` is {_short(json.dumps(history))}. A list of item ids or titles, oldest first, was "
            f"expected, such as {LINE}. Correct it."
        )
    return [str(name).strip() for name in history]


def _near(name: str, names: Sequence[str]) -> str:
    if name.isdecimal():
        # As spreadsheets leave ids whose zeros they took.
        same = [known for known in names if known.isdecimal() and known.lstrip("0") == name.lstrip("0")]
        if same:
            return f" Did you mean {same[0]!r}?"
    return did_you_mean(name, names) if len(names) <= GUESSED else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 60 else f"{text[:60]}…"
