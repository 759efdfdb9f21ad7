"""Names for users that only the holder of a key can make: keyed hashes of their ids."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from taskkit import DataError

log = logging.getLogger("taskkit")

SHORTEST = 16
"""Bytes that a key file must hold; what taskkit makes holds 64."""


@dataclass(frozen=True)
class Key:
    """A secret, and the file that it was read from; neither its repr nor its check gives it away."""

    path: Path
    secret: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Key:
        """Read a key file; raises DataError when it cannot serve as one."""
        try:
            content = path.read_bytes().strip()
            mode = path.stat().st_mode
        except OSError as error:
            raise DataError(
                f"{path}: the key that users' ids are hashed with cannot be read: {error.strerror}. The key of the "
                "training run was expected. Restore the file, or name another with data.key=FILE in training and "
                "--key FILE in prediction."
            ) from None
        if len(content) < SHORTEST:
            raise DataError(
                f"{path}: it holds {len(content)} bytes, which can be guessed. A key of at least {SHORTEST} was "
                "expected. Make one with `openssl rand -hex 32`, or leave data.key out to have one made."
            )
        _refuse_run_directory(path)
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            log.warning("%s: others may read this key. Keep it to yourself with `chmod 600 %s`.", path, path)
        return cls(path.absolute(), hashlib.blake2b(content).digest())

    @classmethod
    def of_user(cls) -> Key:
        """The key in the user's own configuration directory, made when there is none."""
        path = platformdirs.user_config_path("taskkit") / "recsys.key"
        if not path.exists():
            _make(path)
            log.info("%s: made a key for users' pseudonyms. Keep it: without it they cannot be asked about.", path)
        return cls.read(path)

    @property
    def check(self) -> str:
        """Tells this key from others, without telling what it is."""
        return self._hash("", b"check", 4)

    def pseudonym(self, user: str) -> str:
        """Twenty hexadecimal digits instead of a user's id: BLAKE2b with the key (RFC 7693)."""
        return self._hash(user, b"user", 10)

    def _hash(self, text: str, purpose: bytes, size: int) -> str:
        return hashlib.blake2b(text.encode(), key=self.secret, person=purpose, digest_size=size).hexdigest()


def _refuse_run_directory(path: Path) -> None:
    """A key beside what it protects protects nothing."""
    for folder in path.absolute().parents:
        if (folder / "run.json").exists():
            raise DataError(
                f"{path}: this key lies in the run directory {folder}, so whoever has the run has the key. A file "
                "outside of any run was expected. Move it."
            )


def _make(path: Path) -> None:
    """Write a new key that only its owner can read; another process that is first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Files of mkstemp have mode 0600 from the start; the link makes the key appear whole, or not at all.
    handle, made = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        Path(made).unlink()
