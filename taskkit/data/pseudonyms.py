"""Names for people that only the holder of a key can make: keyed hashes of what a table calls them."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from taskkit.contracts.settings import PseudonymSection
from taskkit.errors import DataError
from taskkit.keyfile import read_key, warn_of_readers

log = logging.getLogger("taskkit")

FILE = "pseudonyms.key"
FILE_OF_0_1 = "recsys.key"
"""Where taskkit 0.1 kept the same key; the pseudonyms of its runs stay what they are."""


@dataclass(frozen=True)
class PseudonymKey:
    """A secret that makes pseudonyms, and the file that it was read from; neither its repr nor its check tells it."""

    path: Path
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, section: PseudonymSection) -> PseudonymKey | None:
        """The key of a data section, None where it asks for no pseudonyms; raises DataError as `read` does."""
        if not section.pseudonymise:
            return None
        return cls.read(Path(section.key).expanduser()) if section.key else cls.of_user()

    @classmethod
    def read(cls, path: Path) -> PseudonymKey:
        """Read a key file; raises DataError when it cannot serve as one, as beside what it protects."""
        remedy = "Restore the file, or name another with data.key=FILE in training and --key FILE in prediction."
        content = read_key(path, "of pseudonyms", remedy, DataError)
        warn_of_readers(path)
        return cls(path.absolute(), hashlib.blake2b(content).digest())

    @classmethod
    def of_user(cls) -> PseudonymKey:
        """The key in the user's own configuration directory, made when there is none."""
        folder = platformdirs.user_config_path("taskkit")
        path = next((path for name in (FILE, FILE_OF_0_1) if (path := folder / name).exists()), folder / FILE)
        if not path.exists():
            _make(path)
            log.info("%s: made a key of pseudonyms. Keep it: without it nobody can be asked about.", path)
        return cls.read(path)

    @property
    def check(self) -> str:
        """Tells this key from others, without telling what it is."""
        return self._hash("", b"check", 4)

    def pseudonym(self, name: str) -> str:
        """Twenty hexadecimal digits instead of a name: BLAKE2b with the key (RFC 7693)."""
        return self._hash(name, b"user", 10)

    def _hash(self, text: str, purpose: bytes, size: int) -> str:
        content = text.encode(errors="surrogatepass")
        return hashlib.blake2b(content, key=self.secret, person=purpose, digest_size=size).hexdigest()


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
