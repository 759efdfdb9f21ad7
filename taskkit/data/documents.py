"""Files of text as UTF-8: unpacked, and converted where it is certain what they are in."""

from __future__ import annotations

import codecs
import gzip
import logging
import zlib
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from taskkit.data.encodings import WINDOWS_1252, Reading, is_windows_1252, readings
from taskkit.errors import DataError

log = logging.getLogger("taskkit")

LARGEST = 2**32
"""Bytes of a file that is unpacked or converted, which is done in memory: 4 GiB."""
BLOCK = 2**20
_MARKS = {
    # The mark of UTF-32 begins with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Document:
    """A file whose bytes are UTF-8: as it lies on the disk, or as it was unpacked or converted in memory."""

    path: Path
    converted: bytes | None = None
    """None: the file itself is UTF-8."""
    encoding: str = "utf-8"
    """What it is in: `utf-8-sig` where it begins with the mark of UTF-8."""
    remark: str = ""
    """What is to be said of its encoding, where nobody named it."""

    def open(self) -> BinaryIO:
        """Its bytes from the beginning; a mark of UTF-8 is among them."""
        return self.path.open("rb") if self.converted is None else BytesIO(self.converted)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size if self.converted is None else len(self.converted)


def read_document(path: Path, encoding: str | None = None) -> Document:
    """A file as UTF-8: one of UTF-16 or UTF-32 by its mark, and one that is certainly Windows-1252, is converted.

    `encoding` insists on one of Python's. What ends in `.gz` is unpacked. Raises DataError, with the line and what the
    file seems to be in, for all others, and for what cannot be unpacked or is larger than `LARGEST`; and OSError.
    """
    document = find_document(path, encoding)
    if document.remark:
        log.warning("%s: %s", path, document.remark)
    return document


def find_document(path: Path, encoding: str | None = None) -> Document:
    """The same without a word; raises as `read_document` does."""
    unpacked = _unpacked(path) if path.suffix.lower() == ".gz" else None
    document = Document(path, unpacked)
    if encoding is not None:
        return _insisted(document, encoding)
    with document.open() as file:
        start = file.read(4096)
    if mark := next((mark for mark in _MARKS if start.startswith(mark)), None):
        return _of_mark(document, _MARKS[mark])
    _check_start(path, start)
    if _is_utf8(document):
        return replace(document, encoding="utf-8-sig") if start.startswith(codecs.BOM_UTF8) else document
    content = _whole(document)
    found = readings(content)
    if not is_windows_1252(found):
        raise _uncertain(path, content, found)
    remark = "it is not UTF-8 but Windows-1252, and is read as that"
    return Document(path, content.decode(WINDOWS_1252).encode(), WINDOWS_1252, remark)


def open_utf8(path: Path, encoding: str | None = None) -> BinaryIO:
    """Open a file of text, whose bytes are then UTF-8: a mark of it is among them, other encodings are converted.

    UTF-16 and UTF-32 are told by their marks and Windows-1252 where it is certain, with a warning; `encoding` insists
    on one of Python's. What ends in `.gz` is unpacked. Raises DataError for all others, and OSError.
    """
    return read_document(path, encoding).open()


def is_encoding(name: str) -> bool:
    """Whether Python knows an encoding of text by this name."""
    try:
        b"\0\0\0\0".decode(name)
    except UnicodeError:  # it is one, in which this is no text
        return True
    except (LookupError, ValueError):
        return False
    return True


def not_utf8(where: str, error: UnicodeDecodeError) -> DataError:
    """What to raise for a line that could not be decoded; `where` is its place, such as `texts.csv:3`."""
    marked = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    other = "utf-16" if marked else WINDOWS_1252
    return DataError(f"{_not_utf8(where, error)} Convert it, for instance with `iconv -f {other} -t utf-8`.")


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: it cannot be unpacked: {error}. A whole gzip file was expected. Copy it again."
        ) from None
    if len(content) > LARGEST:
        raise DataError(
            f"{path}: it holds more than {LARGEST // 2**30} GiB once it is unpacked, which is done in memory. Less was "
            "expected. Unpack it with `gunzip`, or write it as Parquet."
        )
    return content


def _whole(document: Document) -> bytes:
    if document.size > LARGEST:
        raise DataError(
            f"{document.path}: it is not UTF-8, and has more than the {LARGEST // 2**30} GiB that are converted in "
            "memory. UTF-8 was expected. Convert it before, for instance with `iconv`."
        )
    with document.open() as file:
        return file.read()


def _insisted(document: Document, encoding: str) -> Document:
    try:
        text = _whole(document).decode(encoding)
    except UnicodeDecodeError as error:
        found = error.object[error.start : error.start + 1].hex()
        raise DataError(
            f"{document.path}: `encoding` is {encoding}, and byte {error.start + 1}, 0x{found}, is not: {error.reason}"
            ". A file in that encoding was expected. Name the one that it is in, or leave `encoding` out."
        ) from None
    return Document(document.path, text.encode(), encoding)


def _of_mark(document: Document, encoding: str) -> Document:
    content = _whole(document)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{document.path}: its mark says that it is {encoding.upper()}, and byte {error.start + 1} is not: "
            f"{error.reason}. A whole file was expected. Write it again as UTF-8."
        ) from None
    remark = f"it is {encoding.upper()} by its mark, and is read as that"
    return Document(document.path, text.encode(), encoding, remark)


def _is_utf8(document: Document) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with document.open() as file:
        try:
            for block in iter(lambda: file.read(BLOCK), b""):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _check_start(path: Path, start: bytes) -> None:
    """Raise DataError for a zip archive, and for UTF-16 without a mark, in which every other byte of ASCII is null."""
    if start.startswith(b"PK\x03\x04"):
        raise DataError(
            f"{path}: this is a zip archive, as workbooks of Excel are, and no table of text. Rename it to .xlsx if it "
            "is one, or unpack it."
        )
    for encoding, others in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(others) > 1 and others.count(0) > 0.5 * len(others):
            raise DataError(
                f"{path}: it seems to be UTF-16 without the mark that says so. UTF-8 was expected. Say it by "
                f"`data.encoding`, or --encoding to predict, as {encoding}, or save the file as UTF-8."
            )


def _uncertain(path: Path, content: bytes, found: list[Reading]) -> DataError:
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            said = _not_utf8(f"{path}:{number}", error)
            break
    else:
        said = f"{path}: it is not UTF-8. The whole file was expected in UTF-8."
    if not found:
        return DataError(
            f"{said} What it is in cannot be told, or parts of it are in several. Say it by `data.encoding`, or "
            "--encoding to predict, if you know, or write it again as UTF-8 with the program that made it."
        )
    languages: dict[str, list[str]] = {}
    for each in found:
        languages.setdefault(each.encoding, []).append(each.language)
    seems = ", or ".join(
        f"{encoding} if it is {', '.join(names[:3])}{' …' * (len(names) > 3)}" for encoding, names in languages.items()
    )
    return DataError(
        f"{said} It may be {seems}. Say which by `data.encoding`, or --encoding to predict, as {found[0].encoding}, or "
        "save it as UTF-8."
    )


def _not_utf8(where: str, error: UnicodeDecodeError) -> str:
    return (
        f"{where}: byte {error.start + 1} of the line is {error.object[error.start]:#04x}, which is not UTF-8. The "
        "whole file was expected in UTF-8."
    )
