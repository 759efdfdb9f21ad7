"""A folder or a URL where shards are, read and written through fsspec."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

from taskkit.errors import SourceError
from taskkit.wording import without_stop


@dataclass(frozen=True)
class Place:
    """A folder, or any URL that fsspec knows, such as s3://bucket/name."""

    url: str

    def __str__(self) -> str:
        return self.url

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """The content of a file, or its bytes from `start` to `end`; raises FileNotFoundError or SourceError."""
        with self._told(name):
            fs, root = self._opened()
            if "file" not in _protocols(fs):
                content = cast(bytes, fs.cat_file(f"{root}/{name}", start=start, end=end))
                if start is not None and end is not None and len(content) > end - start:
                    raise SourceError(
                        f"{self.url.rstrip('/')}/{name}: the server gives all of a file where a part was asked for. "
                        "Set loader.shuffle_shards, with which whole shards are read."
                    )
                return content
            with open(f"{root}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - a path of fsspec
                file.seek(start or 0)
                return file.read() if end is None else file.read(end - (start or 0))

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where nobody says. Raises FileNotFoundError or SourceError."""
        with self._told(name):
            fs, root = self._opened()
            return cast("int | None", fs.info(f"{root}/{name}").get("size"))

    def sizes(self) -> Mapping[str, int | None] | None:
        """The bytes of each file; None: it is a web server, which has no list. Raises SourceError."""
        with self._told(""):
            fs, root = self._opened()
            if "http" in _protocols(fs):
                return None
            try:
                listed = fs.ls(root, detail=True, refresh=True)
            except FileNotFoundError:
                return {}
            return {each["name"].rpartition("/")[2]: each["size"] for each in listed if each["type"] == "file"}

    def folders(self) -> list[str]:
        """The folders in it; raises SourceError."""
        with self._told(""):
            fs, root = self._opened()
            if not fs.exists(root):
                return []
            return [each["name"].rpartition("/")[2] for each in fs.ls(root, detail=True) if each["type"] != "file"]

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write; it may be there in part when the process ends meanwhile. Raises SourceError."""
        with self._told(name):
            fs, root = self._opened()
            fs.makedirs(root, exist_ok=True)
            with fs.open(f"{root}/{name}", "wb") as file:
                yield file

    def write_at_once(self, name: str, content: bytes) -> None:
        """Write a file that is there whole or not at all; raises SourceError."""
        if not self.is_here:
            with self._told(name):  # What is put into an object store is there once it is all there.
                fs, root = self._opened()
                fs.pipe_file(f"{root}/{name}", content)
            return
        with self.writing(f"{name}.part") as file:
            file.write(content)
        with self._told(name):
            fs, root = self._opened()
            os.replace(f"{root}/{name}.part", f"{root}/{name}")  # noqa: PTH105 - a path of fsspec

    def remove(self, name: str) -> None:
        """Remove a file; raises SourceError."""
        with self._told(name):
            fs, root = self._opened()
            fs.rm_file(f"{root}/{name}")

    @property
    def protocols(self) -> tuple[str, ...]:
        """What fsspec calls the kind of place; raises SourceError."""
        with self._told(""):
            return _protocols(self._opened()[0])

    @property
    def is_here(self) -> bool:
        """Whether it is a folder of this machine; raises SourceError."""
        return "file" in self.protocols

    def _opened(self) -> tuple[Any, str]:
        return _opened(self.url, os.getpid(), str(Path.cwd()))

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Raise SourceError, which names the place, for whatever fsspec raises but FileNotFoundError."""
        where = f"{self.url.rstrip('/')}/{name}".rstrip("/")
        try:
            yield
        except (FileNotFoundError, SourceError):
            raise
        except ImportError as error:
            raise SourceError(
                f"{where}: fsspec needs another package for such a place: {without_stop(str(error))}. Install it."
            ) from error
        except Exception as error:  # The packages for each kind of place have errors of their own.
            raise SourceError(
                f"{where}: it cannot be reached: {type(error).__name__}: {without_stop(str(error))}. A folder or a "
                "URL that fsspec can use was expected. Look at the address, the rights and the network."
            ) from error


@lru_cache(maxsize=8)
def _opened(url: str, process: int, folder: str) -> tuple[Any, str]:
    """What fsspec makes of a URL, or of a path in the working folder, kept for a process.

    What reaches a remote place must not be used by a fork.
    """
    from fsspec.core import url_to_fs

    fs, root = url_to_fs(url)
    return fs, root.rstrip("/")


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
