"""Files from sources, the first that can give them: each is verified, and kept in the cache for later."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from taskkit.cachedir import cache_directory, exclusive, filling
from taskkit.contracts.facts import Origin
from taskkit.data.sources import Entry, Local, Source, Unavailable, check_hash, files_below
from taskkit.errors import SourceError

log = logging.getLogger("taskkit")

Files = Mapping[str, str | None]
"""Wanted file names, relative to the root of a source, and their sha256; None where the archive is pinned.

A name may be a pattern such as `*.wav`: its `*` matches across folders, and it has no sha256.
"""


def fetch(
    name: str,
    files: Files,
    sources: Sequence[Source | Local],
    *,
    licence: str = "",
    citation: str = "",
    key: str = "data.root",
) -> tuple[Path, Origin]:
    """Return a folder that holds the wanted files, all verified, and where they came from.

    The folder is the user's own where a Local names one, which is then the only source; else the cache's,
    filled by the first source that can. `key` is the recipe's key by which a user names a folder.

    The sha256 of the origin depends on the files alone: it is that of a single file, or, of several, that of
    their list sorted by name, as `sha256sum` prints it. Raises SourceError, which says why each one failed.
    """
    if wrong := [pattern for pattern, sha256 in files.items() if sha256 and _is_pattern(pattern)]:
        raise ValueError(f"{name}: the pattern {wrong[0]!r} has a sha256. Only the name of one file can have one.")
    origin = partial(Origin, name, licence=licence, citation=citation)
    for local in sources:
        if isinstance(local, Local) and local.path is not None:
            folder, sha256 = _use_local(name, files, Path(local.path).expanduser(), key)
            return folder, origin(source=str(folder), sha256=sha256)
    remote = [source for source in sources if isinstance(source, Source)]
    folder = cache_directory() / "sources" / f"{name.replace('/', '-')}-{_digest(files, remote)}"
    try:
        source, sha256 = _cached(folder, files)
    except Unavailable:
        source, sha256 = _fill(name, folder, files, remote, key)
    return folder, origin(source=source, sha256=sha256)


_RECORD = ".origin.json"


def _digest(files: Files, sources: Sequence[Source]) -> str:
    """Name a cache entry by what decides its content: the files' hashes, else those of the archives."""
    pinned = all(files.values())
    facts = [
        sorted(files.items()),
        [] if pinned else [f"{source} {source.root} {source.pin}" for source in sources],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _use_local(name: str, files: Files, path: Path, key: str) -> tuple[Path, str]:
    folder = (path.parent if path.is_file() else path).absolute()
    try:
        return folder, _combined(_verified(folder, files))
    except (Unavailable, OSError) as reason:
        raise SourceError(
            f"{key}={path}: {name} cannot be read from there: {reason}. Expected {_listed(files)} in that "
            f"folder. Correct {key}, or leave it out to let taskkit fetch {name}."
        ) from None


def _cached(folder: Path, files: Files) -> tuple[str, str]:
    """What once filled the cache's folder, and the sha256; Unavailable when that is not to be trusted."""
    if not folder.exists():
        raise Unavailable("it holds nothing yet")
    try:
        record = json.loads((folder / _RECORD).read_text())
        hashes = _verified(folder, files)
        if hashes == record["files"]:
            return str(record["source"]), _combined(hashes)
        reason = "its files are not those that were put there"
    except (Unavailable, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error)
    raise Unavailable(f"it is damaged: {reason}")


def _fill(name: str, folder: Path, files: Files, sources: Sequence[Source], key: str) -> tuple[str, str]:
    with exclusive(folder):
        # Another process may have filled it while this one waited.
        try:
            return _cached(folder, files)
        except Unavailable as reason:
            failures = [f"cache {folder}: {reason}"]
        for source in sources:
            log.info("fetching %s from %s …", name, source)
            try:
                return str(source), _combined(_keep(source, files, folder))
            except (Unavailable, OSError, zipfile.BadZipFile, tarfile.TarError) as reason:
                failures.append(f"{source}: {reason}")
                log.info("%s could not give it: %s", source, reason)
    tried = "\n".join(f"  {failure}" for failure in failures)
    raise SourceError(
        f"{name}: none of its sources could give it.\n{tried}\n"
        f"Expected {_listed(files)}. Mend one of these sources, or get the files in another way and name "
        f"their folder with {key}=FOLDER, or name a cache that holds them with TASKKIT_CACHE=FOLDER."
    )


def _listed(files: Files) -> str:
    names = list(files)
    return ", ".join(names) if len(names) <= 5 else f"{', '.join(names[:4])} and {len(names) - 4} more files"


def _keep(source: Source, files: Files, folder: Path) -> Mapping[str, str]:
    """Fill the cache's folder with the wanted files of one source; return their hashes."""
    with filling(folder) as made:
        with tempfile.TemporaryDirectory(dir=made) as scratch, source.entries(Path(scratch)) as entries:
            for name, opened in _wanted(entries, source.root, files):
                target = made / name
                if not target.resolve().is_relative_to(made.resolve()):
                    raise Unavailable(f"it has a file {name!r}, which would be written outside its folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened() as content, target.open("wb") as copy:
                    shutil.copyfileobj(content, copy, 1 << 20)
        hashes = _verified(made, files)
        (made / _RECORD).write_text(json.dumps({"source": str(source), "files": hashes}, indent=1))
    return hashes


def _wanted(entries: Iterable[Entry], root: str, files: Files) -> Iterator[Entry]:
    prefix = f"{root.strip('/')}/" if root.strip("/") else ""
    for path, opened in entries:
        path = path.removeprefix("./")
        name = path.removeprefix(prefix)
        if path.startswith(prefix) and (name in files or any(_matches(name, file) for file in files)):
            yield name, opened


def _verified(folder: Path, files: Files) -> Mapping[str, str]:
    """The sha256 of each wanted file in a folder, by name; Unavailable when one is missing or is another."""
    present = files_below(folder) if any(map(_is_pattern, files)) else {}
    hashes: dict[str, str] = {}
    for wanted, sha256 in files.items():
        names = [name for name in present if _matches(name, wanted)] if _is_pattern(wanted) else [wanted]
        if not names or not all((folder / name).is_file() for name in names):
            raise Unavailable(f"it has no file {wanted}")
        for name in names:
            hashes[name] = check_hash(folder / name, sha256)
    return hashes


def _combined(hashes: Mapping[str, str]) -> str:
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _matches(name: str, wanted: str) -> bool:
    return _is_pattern(wanted) and name != _RECORD and fnmatchcase(name, wanted)
