"""What data modules ask of files: which there are, and lines of JSON."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from taskkit.data.documents import read_document
from taskkit.errors import DataError
from taskkit.wording import path_text

log = logging.getLogger("taskkit")

WRITTEN_BY_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"})
"""What Windows and macOS put beside files without being asked, in lower case; the rest of it is hidden by its name."""
NAMED = 10
"""So many files that are left out are named for each reason."""


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files below a folder whose names end in one of `suffixes`, in lower case, sorted by path.

    Links are followed, and no folder is read twice. What else is there is counted and named in a warning: other kinds
    of files, broken links, FIFOs and devices, folders that cannot be opened, and hidden folders and files of these
    kinds; other hidden files and `WRITTEN_BY_SYSTEMS` are passed over.
    """
    return [folder / name for name in find_names(folder, suffixes)]


def find_names(folder: Path, suffixes: Collection[str]) -> list[str]:
    """The same files by their paths relative to the folder, with `/` between the parts: of millions, a tenth of it."""
    found: list[str] = []
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    folders, linked, seen = deque([""]), deque[str](), set[tuple[int, int]]()
    while folders or linked:
        # Folders before links to them, so that a file's path does not depend on which comes first by its name.
        here = folders.popleft() if folders else linked.popleft()
        try:
            status = (folder / here).stat()
            known = (status.st_dev, status.st_ino) in seen
            entries = [] if known else sorted(os.scandir(folder / here), key=lambda entry: entry.name)
        except OSError:
            left_out["that cannot be opened"].append(here)
            continue
        if known:
            left_out["linked that is read elsewhere"].append(here)
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            kind, name = _kind(entry, suffixes), f"{here}/{entry.name}" if here else entry.name
            if kind == FILE:
                found.append(name)
            elif kind == FOLDER:
                (linked if entry.is_symlink() else folders).append(name)
            elif kind:
                left_out[kind].append(name)
    if left_out:
        log.warning("%s: %s", path_text(folder), _left_out_in_words(left_out, suffixes))
    return sorted(found, key=_by_parts)


FILE, FOLDER = "file", "folder"


def _by_parts(name: str) -> str:
    """What sorts paths as paths are, part by part: the sign that no name can have comes before all others."""
    return name.replace("/", "\0")


def _kind(entry: os.DirEntry[str], suffixes: Collection[str]) -> str:
    """FILE, FOLDER, why it is left out, or nothing for what is passed over."""
    name = entry.name
    if name.lower() in WRITTEN_BY_SYSTEMS:
        return ""
    hidden, wanted = name.startswith("."), PurePath(name).suffix.lower() in suffixes
    try:
        is_folder, is_file = entry.is_dir(), entry.is_file()
        if not (is_folder or is_file):
            entry.stat()  # which fails where a link leads nowhere
    except OSError:
        return "whose link leads nowhere"
    if is_folder:
        return "hidden" if hidden else FOLDER
    if hidden:
        return "hidden" if wanted else ""
    if not is_file:
        return "no regular file"
    return FILE if wanted else "of another kind by name"


def _left_out_in_words(left_out: Mapping[str, Sequence[str]], suffixes: Collection[str]) -> str:
    parts = []
    for why, paths in left_out.items():
        names = [path_text(path or ".") for path in sorted(paths, key=_by_parts)[:NAMED]]
        parts.append(f"{len(paths):,} {why} ({', '.join(names)}{', …' * (len(paths) > NAMED)})")
    total = sum(map(len, left_out.values()))
    return f"{total:,} left out: {', '.join(parts)}. Files that end in {', '.join(sorted(suffixes))} were expected."


def read_json_lines(
    path: Path, example: str = '{"text": …}', encoding: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number, from 1, of each line of a file that is not blank, and its JSON object.

    Raises DataError, which names the line, for one that is not UTF-8, is no JSON object such as `example`, is nested
    too deep or has a name twice. Files that are certainly in another encoding are converted; `encoding` insists on one.
    """
    with read_document(path, encoding).open() as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_object)
            except ValueError as error:
                raise DataError(
                    f"{path}:{number}: not JSON: {error}. A line such as {example} was expected. Correct the line."
                ) from None
            except RecursionError:
                raise DataError(
                    f"{path}:{number}: its JSON is nested too deep to be read. A line such as {example} was expected. "
                    "Correct the line."
                ) from None
            if not isinstance(row, dict):
                raise DataError(
                    f"{path}:{number}: a JSON object such as {example} was expected on each line. Correct the line."
                )
            yield number, row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        doubled = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise ValueError(f"it has {doubled[0]!r} twice")
    return made
