"""What data modules ask of files: which there are, facts that hold until one changes, and lines of JSON."""

from __future__ import annotations

import hashlib
import json
import logging
import stat
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from taskkit.cachedir import cache_directory
from taskkit.data.documents import read_document
from taskkit.errors import DataError
from taskkit.wording import path_text

log = logging.getLogger("taskkit")

Facts = TypeVar("Facts")
WRITTEN_BY_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"})
"""What Windows and macOS put beside files without being asked, in lower case; the rest of it is hidden by its name."""
NAMED = 10
"""So many files that are left out are named for each reason."""


class FileMemory(Generic[Facts]):
    """Remembers facts about files, as JSON in the cache, until a file's size or time of modification changes.

    `kind` is a folder of the cache and `name` says whose files they are, such as their root; an empty name: nothing is
    kept. Facts are plain data or tuples of these; `read` makes them of what JSON gives back, lists for tuples. Files
    that are not recalled within the `with` are forgotten at its end. A memory that cannot be read is taken for empty,
    and one that cannot be written is not kept: both only cost time. Threads may share one:

        with FileMemory("image.folder", str(root), Scanned._make) as memory:
            scanned = [memory.recall(path, scan) for path in paths]
    """

    def __init__(self, kind: str, name: str, read: Callable[[Any], Facts]) -> None:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
        self._path = cache_directory() / kind / f"{digest}.json" if name else None
        self._known = self._load(read)
        self._recalled: dict[str, tuple[int, int, Facts]] = {}

    def recall(self, path: Path, look: Callable[[Path], Facts], enough: Callable[[Facts], bool] | None = None) -> Facts:
        """What is remembered of a file as it is now, else what `look` finds, which is remembered from now on.

        `look` is asked also where that is not `enough`, and for a file that is not there, of which nothing is
        remembered. Raises what `look` raises.
        """
        try:
            status = path.stat()
        except (OSError, ValueError):  # ValueError: a NUL in it, as a damaged table may hold
            return look(path)
        stamp = status.st_size, status.st_mtime_ns
        known = self._known.get(str(path))
        facts = known[2] if known and known[:2] == stamp and (enough is None or enough(known[2])) else look(path)
        self._recalled[str(path)] = (*stamp, facts)
        return facts

    def __enter__(self) -> FileMemory[Facts]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._path and self._recalled != self._known:
            content = json.dumps(self._recalled)
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as file:
                    file.write(content)
                Path(file.name).replace(self._path)

    def _load(self, read: Callable[[Any], Facts]) -> dict[str, tuple[int, int, Facts]]:
        if not self._path:
            return {}
        try:
            files = json.loads(self._path.read_text())
            return {path: (size, modified, read(facts)) for path, (size, modified, facts) in files.items()}
        except (OSError, ValueError, TypeError, AttributeError, LookupError):
            return {}


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files below a folder whose names end in one of `suffixes`, in lower case, sorted by path.

    Links are followed, and no folder is read twice. What else is there is counted and named in a warning: other kinds
    of files, broken links, FIFOs and devices, folders that cannot be opened, and hidden folders and files of these
    kinds; other hidden files and `WRITTEN_BY_SYSTEMS` are passed over.
    """
    found: list[Path] = []
    left_out: defaultdict[str, list[Path]] = defaultdict(list)
    folders, linked, seen = deque([folder]), deque[Path](), set[tuple[int, int]]()
    while folders or linked:
        # Folders before links to them, so that a file's path does not depend on which comes first by its name.
        here = folders.popleft() if folders else linked.popleft()
        try:
            status = here.stat()
            entries = [] if (status.st_dev, status.st_ino) in seen else sorted(here.iterdir())
        except OSError:
            left_out["that cannot be opened"].append(here)
            continue
        if (status.st_dev, status.st_ino) in seen:
            left_out["linked that is read elsewhere"].append(here)
        seen.add((status.st_dev, status.st_ino))
        for path in entries:
            kind = _kind(path, suffixes)
            if kind == FILE:
                found.append(path)
            elif kind == FOLDER:
                (linked if path.is_symlink() else folders).append(path)
            elif kind:
                left_out[kind].append(path)
    if left_out:
        log.warning("%s: %s", path_text(folder), _left_out_in_words(folder, left_out, suffixes))
    return sorted(found)


FILE, FOLDER = "file", "folder"


def _kind(path: Path, suffixes: Collection[str]) -> str:
    """FILE, FOLDER, why it is left out, or nothing for what is passed over."""
    if path.name.lower() in WRITTEN_BY_SYSTEMS:
        return ""
    hidden, wanted = path.name.startswith("."), path.suffix.lower() in suffixes
    try:
        mode = path.stat().st_mode
    except OSError:
        return "whose link leads nowhere"
    if stat.S_ISDIR(mode):
        return "hidden" if hidden else FOLDER
    if hidden:
        return "hidden" if wanted else ""
    if not stat.S_ISREG(mode):
        return "no regular file"
    return FILE if wanted else "of another kind by name"


def _left_out_in_words(folder: Path, left_out: Mapping[str, Sequence[Path]], suffixes: Collection[str]) -> str:
    parts = []
    for why, paths in left_out.items():
        names = [path_text(path.relative_to(folder)) for path in sorted(paths)[:NAMED]]
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
