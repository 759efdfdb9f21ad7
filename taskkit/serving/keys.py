"""Keys of clients: a file that keeps of each its name, a salt and a hash."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from taskkit.errors import DataError

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
LINE = re.compile(rf"({NAME.pattern}):([0-9a-f]{{32}}):([0-9a-f]{{64}})")


@dataclass(frozen=True)
class Keys:
    """The keys that a server takes, by whose they are."""

    kept: tuple[tuple[str, bytes, bytes], ...]
    """Name, salt and hash."""

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Those of a file; raises DataError where it cannot be read, has a line that is none, or has no key."""
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: the API keys cannot be read ({error}). {_make(path)}") from None
        kept = []
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            if (found := LINE.fullmatch(line.strip())) is None:
                raise DataError(f"{path}:{number}: this line is no NAME:SALT:HASH. Remove it. {_make(path)}")
            kept.append((found[1], bytes.fromhex(found[2]), bytes.fromhex(found[3])))
        if not kept:
            raise DataError(f"{path}: there is no key in it, so nobody could ask. {_make(path)}")
        return cls(tuple(kept))

    def owner(self, key: str) -> str | None:
        """Whose key it is; None: nobody's. It takes as long for either, and tells nothing of how much is right."""
        given = key.encode()
        found = None
        for name, salt, digest in self.kept:
            if hmac.compare_digest(_hash(salt, given), digest):
                found = name
        return found


def new_key(path: Path, name: str) -> str:
    """Add a key of this name to a file, which is made for its owner alone where it is not there, and return the key.

    It is kept nowhere else. Raises DataError for a name that is taken or not of letters, digits, `.`, `_` and `-`.
    """
    if NAME.fullmatch(name) is None:
        raise DataError(f"{name!r} cannot name a key. 1 to 64 letters, digits, `.`, `_` and `-` were expected.")
    if path.exists() and path.stat().st_size and name in {each for each, _, _ in Keys.read(path).kept}:
        raise DataError(f"{path}: there is a key {name!r} already. Choose another name, or remove its line first.")
    # 256 random bits: nobody guesses them, so that one round of SHA-256 is enough and costs a request nothing.
    key, salt = secrets.token_urlsafe(32), secrets.token_bytes(16)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as file:
            file.write(f"{name}:{salt.hex()}:{_hash(salt, key.encode()).hex()}\n")
    except OSError as error:
        raise DataError(f"{path}: the key cannot be written ({error.strerror}). Name another file.") from None
    return key


def _hash(salt: bytes, key: bytes) -> bytes:
    return hashlib.sha256(salt + key).digest()


def _make(path: Path) -> str:
    return f"Make a key: taskkit serve --api-key-file {path} --new-key NAME"
