"""What a request asks about, read in a folder of its own: it names no file of the server."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer
from taskkit.contracts.facts import Example, TextLine
from taskkit.errors import DataError, TaskkitError
from taskkit.recipe import options as options_
from taskkit.serving.refused import Refused
from taskkit.wording import printable

SUFFIX = re.compile(r"(\.[a-z0-9]{1,8}){1,2}")
"""What of the name that a client gives to a file is believed: what the file is."""


@dataclass(frozen=True)
class Upload:
    """A file as a client sent it, with the name that the client has for it."""

    name: str
    content: bytes


Input = str | Mapping[str, Any] | Upload
"""A text, a row of a table, or a file."""


@dataclass(frozen=True)
class Asked:
    """What one request asks."""

    inputs: Sequence[Input]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """The examples of a request, what the client calls them, and how they are to be answered."""

    examples: Sequence[Example]
    names: Sequence[str]
    answering: Any


def read(asked: Asked, answerer: Answerer, folder: Path, texts: bool, most: int) -> Read:
    """The examples of a request; files and rows are written into `folder`, which must be there until all are encoded.

    `texts` says whether the model takes a line of text for what it is. Raises Refused, with the words of the model, for
    what cannot be read, for more than `most` examples, and for what would let a client see files of the server.
    """
    for name, value in asked.options.items():
        if isinstance(value, str) and _names_a_file(value):
            raise Refused(422, f"options.{name}: {value!r} names a file. A request may name no file of the server.")
    try:
        reading, answering = options_.fill(asked.options, answerer.predict_options)
        answerer.check_options(answering)
        examples = list(answerer.requested(reading))
    except DataError as error:
        raise Refused(422, str(error)) from None
    except TaskkitError as error:
        if error.failure != "input":
            raise
        raise Refused(422, str(error)) from None
    names = [example.id for example in examples]
    for number, given in enumerate(asked.inputs, 1):
        called = _called(given, number)
        source = _source(given, number, folder, texts)
        try:
            found = answerer.read(source, reading)
        except DataError as error:
            words = without_folder(str(error), source, folder, called)
            raise Refused(422, words if words.startswith(called) else f"input {number}: {words}") from None
        for example in found:
            if not _inside(example.input, folder, texts):
                raise Refused(
                    422, f"input {number}: it names other files. Send each file itself, as multipart/form-data."
                )
        examples += found
        alone = isinstance(given, Mapping) or len(found) == 1
        names += [called] if alone else [without_folder(example.id, source, folder, called) for example in found]
        if len(examples) > most:
            raise Refused(413, f"There are more than {most} inputs. Ask about them in several requests.")
    if not examples:
        raise Refused(422, "There is nothing to answer. Give inputs, or options that name something.")
    return Read(examples, names, answering)


def without_folder(text: str, source: str, folder: Path, called: str) -> str:
    """A text for a client, with its own name for a file instead of ours."""
    if isinstance(source, TextLine):
        return text
    return text.replace(source, called).replace(f"{folder}{os.sep}", "")


def _called(given: Input, number: int) -> str:
    if isinstance(given, Upload):
        return printable(given.name)
    return given if isinstance(given, str) else str(given.get("id", f"input {number}"))


def _source(given: Input, number: int, folder: Path, texts: bool) -> str:
    """What the model is to read: a line of text, or a file in `folder`."""
    if isinstance(given, str):
        if not texts:
            raise Refused(
                422,
                f"input {number}: this model reads files, and a request may name none of the server. Send the file "
                "itself, as multipart/form-data, or rows as JSON objects.",
            )
        return TextLine(given)
    if isinstance(given, Upload):
        suffix = "".join(Path(given.name.lower()).suffixes[-2:])
        if SUFFIX.fullmatch(suffix) is None:
            suffix = Path(given.name.lower()).suffix
        if SUFFIX.fullmatch(suffix) is None:
            raise Refused(422, f"input {number}: the name of a file must end as its kind does, such as .png or .wav.")
        path, content = folder / f"{number}{suffix}", given.content
    else:
        path, content = folder / f"{number}.jsonl", json.dumps(given).encode()
    path.write_bytes(content)
    return str(path)


def _names_a_file(value: str) -> bool:
    """One character alone separates columns."""
    return len(value) > 1 and (os.sep in value or _exists(value))


def _exists(value: str) -> bool:
    try:
        return os.path.lexists(os.path.expanduser(value))  # noqa: PTH111 - as inputs are read
    except (OSError, ValueError):
        return False


def _inside(value: Any, folder: Path, texts: bool) -> bool:
    """Whether all files that an input names are in the folder; of a model that reads texts a text names none."""
    if isinstance(value, Path):
        return value.resolve().is_relative_to(folder.resolve())
    if isinstance(value, str):
        return texts or not _exists(value) or Path(value).resolve().is_relative_to(folder.resolve())
    if isinstance(value, Mapping):
        return all(_inside(each, folder, texts) for each in value.values())
    if isinstance(value, list | tuple):
        return all(_inside(each, folder, texts) for each in value)
    if dataclasses.is_dataclass(value):
        return all(_inside(getattr(value, each.name), folder, texts) for each in dataclasses.fields(value))
    return True
