"""Files of a run that are encrypted at rest, and read back as if they were not.

A file is cut into chunks, each encrypted and authenticated by AES-256-GCM, with their order and their end (STREAM:
Hoang, Reyhanitabar, Rogaway and Vizár, 2015). Each file has a key of its own, made of the key file and a random salt by
HKDF. So files of any size are written and read with the memory of a chunk, and at any place.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from taskkit.contracts.recipe import PrivacySection
from taskkit.errors import CheckpointError, TaskkitError
from taskkit.keyfile import KEY_FILE, read_key, warn_of_readers

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

GIVE = f"Name the file by --key-file FILE, or in the environment variable {KEY_FILE}."
MAGIC = b"taskkit encrypted 1\n"
"""What an encrypted file begins with; a salt and a check of the key follow."""
SALT, CHECK = 32, 16
HEADER = len(MAGIC) + SALT + CHECK
CHUNK = 2**20
"""Bytes that are encrypted together."""
TAG = 16
"""Bytes that authenticate a chunk, behind it."""


@dataclass(frozen=True)
class EncryptionKey:
    """A secret that encrypts the files of runs, and the file that it was read from."""

    path: Path
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, section: PrivacySection) -> EncryptionKey | None:
        """The key of a run that is to be encrypted, None for others; raises TaskkitError where none is given."""
        if not section.encrypt:
            return None
        key = cls.given("privacy.encrypt is true")
        warn_of_readers(key.path)
        key.of_file(b"")  # What it takes is told before any work.
        return key

    @classmethod
    def given(cls, why: str) -> EncryptionKey:
        """The key that the environment names; raises CheckpointError, which says why one is needed, without it."""
        named = os.environ.get(KEY_FILE)
        if not named:
            raise CheckpointError(f"{why}, and no key was given. {GIVE}")
        path = Path(named).expanduser()
        return cls(path, read_key(path, "of encryption", GIVE, CheckpointError))

    def of_file(self, salt: bytes) -> tuple[AESGCM, bytes]:
        """The cipher of one file, and what tells this key from others; raises TaskkitError without the library."""
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError as error:
            raise TaskkitError(
                "Encryption needs the library cryptography, which is not installed. Install it: "
                "pip install 'taskkit-ml[encryption]'"
            ) from error
        made = HKDF(SHA256(), 32 + CHECK, salt, MAGIC).derive(self.secret)
        return AESGCM(made[:32]), made[32:]


@contextmanager
def writing(path: Path, key: EncryptionKey | None) -> Iterator[IO[bytes]]:
    """A new file to write into, encrypted with a key where there is one; it is whole at the end of the `with`."""
    with path.open("wb") as file:
        if key is None:
            yield file
            return
        writer = _Writer(file, key)
        # What was cut off by an error is never ended: it lacks its last chunk, and nobody takes it for whole.
        yield cast(IO[bytes], writer)
        writer.end()


def reading(path: Path) -> BinaryIO:
    """A file of a run to read from, at any place, decrypted with the given key where it is encrypted.

    Raises CheckpointError, there or while it is read, where no key or another was given and for what was damaged or
    changed; OSError for a file that cannot be opened.
    """
    file = path.open("rb")
    try:
        if file.read(len(MAGIC)) != MAGIC:
            file.seek(0)
            return file
        return io.BufferedReader(_Reader(file, path, EncryptionKey.given(f"{path}: it is encrypted")), CHUNK)
    except BaseException:
        file.close()
        raise


def check_whole(path: Path) -> None:
    """Raise CheckpointError for an encrypted file that was damaged or changed."""
    with reading(path) as file:
        while file.read(CHUNK):
            pass


def is_encrypted(path: Path) -> bool:
    """Whether a file is one that `writing` encrypted; False where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class _Writer(io.RawIOBase):
    """Encrypts what is written into a file, a chunk at a time; without `end` the file is not whole."""

    def __init__(self, file: IO[bytes], key: EncryptionKey) -> None:
        salt = os.urandom(SALT)
        self._cipher, check = key.of_file(salt)
        self._header = MAGIC + salt + check
        self._file = file
        self._chunk = memoryview(bytearray(CHUNK))
        self._filled = 0
        self._chunks = 0
        self._size = 0
        file.write(self._header)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        content = memoryview(data).cast("B")
        taken = 0
        while taken < len(content):
            # A full chunk waits for what follows, since the last one is encrypted as such.
            if self._filled == CHUNK:
                self._put(last=False)
            part = content[taken : taken + CHUNK - self._filled]
            self._chunk[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            taken += len(part)
        self._size += taken
        return taken

    def end(self) -> None:
        self._put(last=True)

    def _put(self, last: bool) -> None:
        chunk = self._chunk[: self._filled]
        self._file.write(self._cipher.encrypt(_nonce(self._chunks, last), chunk, self._header))
        self._chunks, self._filled = self._chunks + 1, 0


class _Reader(io.RawIOBase):
    """Decrypts a file wherever it is read."""

    def __init__(self, file: BinaryIO, path: Path, key: EncryptionKey) -> None:
        self._file, self._path = file, path
        file.seek(0)
        self._header = file.read(HEADER)
        body = os.fstat(file.fileno()).st_size - HEADER
        self._chunks = max(1, -(-body // (CHUNK + TAG)))
        self._size = body - self._chunks * TAG
        self._at = 0
        self._held: tuple[int, bytes] = (-1, b"")
        self._cipher, check = key.of_file(self._header[len(MAGIC) : len(MAGIC) + SALT])
        if len(self._header) == HEADER and check != self._header[-CHECK:]:
            raise CheckpointError(f"{path}: it was encrypted with another key than {key.path}. {GIVE}")
        # A file that was cut off after a chunk is seen at once: only its last one was encrypted as such.
        self._chunk(self._chunks - 1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        number, start = divmod(self._at, CHUNK)
        part = self._chunk(number)[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _chunk(self, number: int) -> bytes:
        from cryptography.exceptions import InvalidTag

        if self._held[0] != number:
            self._file.seek(HEADER + number * (CHUNK + TAG))
            found = self._file.read(CHUNK + TAG)
            try:
                plain = self._cipher.decrypt(_nonce(number, number == self._chunks - 1), found, self._header)
            except (InvalidTag, ValueError):
                raise CheckpointError(
                    f"{self._path}: damaged, or changed since it was encrypted. The file that taskkit wrote was "
                    "expected."
                ) from None
            self._held = (number, plain)
        return self._held[1]
