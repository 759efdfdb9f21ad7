"""Members of a tar as bytes: written so that each is a header of one block and its content, and read by that."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping

from taskkit.errors import DataError

END = bytes(2 * tarfile.BLOCKSIZE)
"""How a tar ends."""


def members(files: Mapping[str, bytes]) -> bytes:
    """Files by name as members; raises DataError for a name that is too long."""
    return b"".join(map(_member, files, files.values()))


def files(content: bytes) -> dict[str, bytes]:
    """The files of members that `members` wrote; tarfile, which reads any tar, takes several times as long."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        name = content[at : at + tarfile.LENGTH_NAME].rstrip(b"\0").decode()
        size = int(content[at + 124 : at + 135], 8)
        at += tarfile.BLOCKSIZE
        found[name] = content[at : at + size]
        at += size + -size % tarfile.BLOCKSIZE
    return found


def _member(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    try:
        header = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except ValueError as error:
        raise DataError(
            f"its file {name[:40]}… cannot be a member of a tar ({error}). A short ending was expected. Rename it."
        ) from None
    return header + content + bytes(-len(content) % tarfile.BLOCKSIZE)
