"""Encrypted files: what is in them comes back, at any place; another key and any change are told."""

import io
import os
import random
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from taskkit.errors import CheckpointError, TaskkitError
from taskkit.keyfile import KEY_FILE
from taskkit.runs import checkpoint
from taskkit.runs.encryption import CHUNK, HEADER, TAG, EncryptionKey, is_encrypted, reading, writing


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncryptionKey:
    path = tmp_path / "own.key"
    path.write_text("0123456789abcdef" * 4)
    path.chmod(0o600)
    monkeypatch.setenv(KEY_FILE, str(path))
    return EncryptionKey.given("A test needs one")


def written(path: Path, content: bytes, key: EncryptionKey | None) -> Path:
    with writing(path, key) as file:
        for start in range(0, len(content), 700_001):
            file.write(content[start : start + 700_001])
    return path


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])
def test_what_was_written_is_read_back_at_any_place(key: EncryptionKey, tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    path = written(tmp_path / "file", content, key)
    assert path.stat().st_size == HEADER + size + max(1, -(-size // CHUNK)) * TAG
    with reading(path) as file:
        assert file.read() == content
        assert file.read() == b""
        for start in (0, size // 2, max(0, size - 3), size):
            file.seek(start)
            assert file.read(5) == content[start : start + 5]
        file.seek(-min(size, 9), io.SEEK_END)
        assert file.read() == content[size - min(size, 9) :]


def test_a_file_without_a_key_is_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path / "file", b"plain", None)
    assert path.read_bytes() == b"plain"
    assert not is_encrypted(path)
    with reading(path) as file:
        assert file.read() == b"plain"


def test_two_files_of_one_content_have_nothing_in_common(key: EncryptionKey, tmp_path: Path) -> None:
    one, other = (written(tmp_path / name, b"a name" * 100, key).read_bytes() for name in ("one", "other"))
    assert b"a name" not in one
    assert one[HEADER:] != other[HEADER:]


def damages(content: bytes) -> dict[str, bytes]:
    middle, chunk = HEADER + CHUNK + 40, CHUNK + TAG
    first, second = content[HEADER : HEADER + chunk], content[HEADER + chunk : HEADER + 2 * chunk]
    return {
        "a bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "cut within a chunk": content[:-1],
        "cut after a chunk": content[: HEADER + chunk],
        "cut in the header": content[: HEADER - 5],
        "longer": content + b"x",
        "chunks in another order": content[:HEADER] + second + first + content[HEADER + 2 * chunk :],
    }


@pytest.mark.parametrize("damage", damages(b"x" * (HEADER + 3 * (CHUNK + TAG))))
def test_every_change_of_a_file_is_told(key: EncryptionKey, tmp_path: Path, damage: str) -> None:
    path = written(tmp_path / "file", os.urandom(2 * CHUNK + 100), key)
    path.write_bytes(damages(path.read_bytes())[damage])
    with pytest.raises(CheckpointError, match=r"damaged, or changed|another key"):
        reading(path).read()


def test_what_was_cut_off_by_an_error_is_not_taken_for_whole(key: EncryptionKey, tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), writing(tmp_path / "file", key) as file:
        file.write(b"x" * 3 * CHUNK)
        raise ZeroDivisionError
    with pytest.raises(CheckpointError, match="damaged"):
        reading(tmp_path / "file")


def test_a_missing_and_another_key_are_told_with_what_to_do(
    key: EncryptionKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "file", b"content", key)
    monkeypatch.delenv(KEY_FILE)
    with pytest.raises(CheckpointError, match=r"file: it is encrypted, and no key was given\. Name the file"):
        reading(path)
    (tmp_path / "other.key").write_text("k" * 40)
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "other.key"))
    with pytest.raises(CheckpointError, match=r"file: it was encrypted with another key than .*other\.key"):
        reading(path)
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "none.key"))
    with pytest.raises(CheckpointError, match=r"none\.key: the key of encryption cannot be read: No such file"):
        reading(path)
    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "own.key"))
    with pytest.raises(CheckpointError, match="this key lies in"):
        reading(path)


def test_without_the_library_it_is_said_what_to_install(key: EncryptionKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.kdf.hkdf", None)
    with pytest.raises(TaskkitError, match=r"pip install 'taskkit-ml\[encryption\]'"):
        key.of_file(b"")


def test_checkpoints_and_tables_are_written_and_read_as_streams(key: EncryptionKey, tmp_path: Path) -> None:
    weights = {"state": torch.randn(3 * CHUNK // 4 + 7), "names": ["a", "b"]}
    with writing(tmp_path / "weights", key) as file:
        torch.save(weights, file)
    found = checkpoint.load_safely(tmp_path / "weights")
    assert torch.equal(found["state"], weights["state"])
    assert found["names"] == ["a", "b"]
    table = pa.table({"id": [str(n) for n in range(1000)]})
    with writing(tmp_path / "rows", key) as file:
        parquet.write_table(table, file)
    with reading(tmp_path / "rows") as file:
        assert parquet.read_table(file).equals(table)
    changed = bytearray((tmp_path / "weights").read_bytes())
    changed[HEADER + CHUNK + 40] ^= 1
    (tmp_path / "weights").write_bytes(changed)
    with pytest.raises(CheckpointError, match="weights: damaged, or changed since it was encrypted"):
        checkpoint.load_safely(tmp_path / "weights")
    # Without what tells that it is encrypted, torch takes it for an old pickle.
    changed[3] ^= 1
    (tmp_path / "weights").write_bytes(changed)
    with pytest.raises(CheckpointError, match="weights: damaged or no checkpoint"):
        checkpoint.load_safely(tmp_path / "weights")
