"""Which files there are, what is remembered of them, lines of JSON, and files in another encoding."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskkit import DataError, FileMemory, file_sha256, find_files, not_utf8, read_json_lines


class Measured(NamedTuple):
    length: int
    shares: tuple[float, ...]


class Shelf:
    """A folder of files, a memory of them, and the names of those that were looked at."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.looked: list[str] = []
        for name in "abc":
            (folder / name).write_text(name)

    def look(self, path: Path) -> Measured:
        self.looked.append(path.name)
        return Measured(len(path.read_bytes()), (0.1, 1 / 3))

    def recall(self, names: str = "abc", memory_of: str = "shelf", **options: Any) -> list[str]:
        """The files that are looked at while these are recalled."""
        self.looked.clear()
        with FileMemory("tests", memory_of, _measured) as memory, ThreadPoolExecutor(3) as pool:
            facts = list(pool.map(lambda name: memory.recall(self.folder / name, self.look, **options), names))
        assert facts == [Measured(len((self.folder / name).read_bytes()), (0.1, 1 / 3)) for name in names]
        return sorted(self.looked)

    @property
    def kept(self) -> Path:
        (file,) = (self.cache / "tests").iterdir()
        return file


def _measured(facts: Any) -> Measured:
    length, shares = facts
    return Measured(length, tuple(shares))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "files").mkdir()
    return Shelf(tmp_path / "files", tmp_path / "cache")


def test_a_file_is_looked_at_once(shelf: Shelf) -> None:
    assert shelf.recall() == ["a", "b", "c"]
    before = shelf.kept.stat()
    assert shelf.recall() == []
    assert os.path.samestat(before, shelf.kept.stat()), "nothing changed, and it was written again"


def _longer(path: Path) -> None:
    path.write_text("longer")


def _of_the_same_length(path: Path) -> None:
    modified = path.stat().st_mtime_ns
    path.write_text("z")
    os.utime(path, ns=(modified + 1, modified + 1))


@pytest.mark.parametrize("change", [_longer, _of_the_same_length])
def test_a_file_that_changed_is_looked_at_again(shelf: Shelf, change: Callable[[Path], None]) -> None:
    shelf.recall()
    change(shelf.folder / "b")
    assert shelf.recall() == ["b"]
    assert shelf.recall() == []


def test_a_file_that_is_not_recalled_is_forgotten(shelf: Shelf) -> None:
    shelf.recall()
    assert shelf.recall("ab") == []
    assert shelf.recall() == ["c"]


def test_memories_are_apart_and_without_a_name_nothing_is_kept(shelf: Shelf) -> None:
    assert shelf.recall(memory_of="") == ["a", "b", "c"]
    assert not shelf.cache.exists()
    shelf.recall()
    assert shelf.recall(memory_of="another") == ["a", "b", "c"]
    assert shelf.recall() == []


def test_what_is_not_enough_is_looked_at_again(shelf: Shelf) -> None:
    shelf.recall()
    assert shelf.recall(enough=lambda facts: facts.length > 1) == ["a", "b", "c"]
    assert shelf.recall(enough=lambda facts: facts.length == 1) == []


def _cut(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:5000])


def _of_other_facts(kept: Path) -> None:
    with sqlite3.connect(kept) as database:
        database.execute("UPDATE files SET facts = '[1]'")
    database.close()


def _of_another_shape(kept: Path) -> None:
    kept.write_text('["a", 1]')


@pytest.mark.parametrize("damage", [_cut, _of_other_facts, _of_another_shape, Path.unlink])
def test_a_memory_that_cannot_be_read_is_taken_for_empty(shelf: Shelf, damage: Callable[[Path], None]) -> None:
    shelf.recall()
    damage(shelf.kept)
    assert shelf.recall() == ["a", "b", "c"]
    assert shelf.recall() == []


def test_a_memory_that_cannot_be_written_only_costs_time(shelf: Shelf) -> None:
    shelf.cache.write_text("no folder")
    assert shelf.recall() == shelf.recall() == ["a", "b", "c"]


def test_of_a_file_that_is_not_there_nothing_is_remembered(shelf: Shelf) -> None:
    with FileMemory("tests", "shelf", str) as memory:
        assert memory.recall(shelf.folder / "none", lambda path: f"no {path.name}") == "no none"
    assert not shelf.cache.exists()


def test_a_look_that_fails_leaves_the_memory_as_it_was(shelf: Shelf) -> None:
    shelf.recall()
    with pytest.raises(ZeroDivisionError), FileMemory("tests", "shelf", _measured) as memory:
        memory.recall(shelf.folder / "a", lambda path: Measured(1 // 0, ()), enough=lambda facts: False)
    assert shelf.recall() == []


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1024
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == sha256(content).hexdigest()


def test_lines_of_json_come_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\ufeff{"a": 1}\n\n  \n{"a": "é"}', encoding="utf-8")
    assert list(read_json_lines(path)) == [(1, {"a": 1}), (4, {"a": "é"})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', r"a\.jsonl:2: not JSON: Expecting ',' delimiter.* A line such as \{\"a\": 9\} was expected"),
        (b'{"a": 1, "a": 2}', r"a\.jsonl:2: not JSON: it has 'a' twice"),
        (b"[1]", r"a\.jsonl:2: a JSON object such as \{\"a\": 9\} was expected"),
        (b'{"a": ' * 100_000, r"a\.jsonl:2: its JSON is nested too deep to be read"),
    ],
)
def test_a_line_that_is_no_json_object_is_named_once_it_is_read(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line)
    lines: Iterator[Any] = read_json_lines(path, example='{"a": 9}')
    assert next(lines) == (1, {"a": 1})
    with pytest.raises(DataError, match=message):
        next(lines)


def test_lines_in_another_encoding_are_refused_before_any_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "\xe9\x81"}')
    with pytest.raises(DataError, match=r"a\.jsonl:2: byte 8 of the line is 0xe9, which is not UTF-8"):
        next(read_json_lines(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "café".encode("latin1"),
            "here: byte 4 of the line is 0xe9, which is not UTF-8.*`iconv -f windows-1252 -t utf-8`",
        ),
        ("café".encode("utf-16"), "here: byte 1 of the line is 0xff, which is not UTF-8.*`iconv -f utf-16 -t utf-8`"),
    ],
)
def test_another_encoding_is_named_with_its_cure(line: bytes, message: str) -> None:
    with pytest.raises(UnicodeDecodeError) as raised:
        line.decode()
    with pytest.raises(DataError, match=message):
        raise not_utf8("here", raised.value)


def _tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def _found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_files(root, {".png", ".jpg"})]


def test_files_are_found_by_their_endings_and_what_systems_write_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _tree(tmp_path, "b.png", "a/b/C.JPG", "a/.DS_Store", ".directory", "Thumbs.db", "a/desktop.ini", "__MACOSX/._b.png")
    assert _found(tmp_path) == ["a/b/C.JPG", "b.png"]
    assert caplog.text == ""


def test_links_are_followed_and_lead_nobody_in_circles(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "root"
    _tree(root, "a/1.png")
    _tree(tmp_path, "elsewhere/2.png", "elsewhere/more/3.png")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "4.png").symlink_to("a/1.png")
    assert _found(root) == ["4.png", "a/1.png", "linked/2.png", "linked/more/3.png"]
    assert caplog.text == ""
    (tmp_path / "elsewhere/back").symlink_to(root)
    (root / "a/around").symlink_to("../a")
    assert _found(root) == ["4.png", "a/1.png", "linked/2.png", "linked/more/3.png"]
    assert "2 left out: 2 linked that is read elsewhere (a/around, linked/back)" in caplog.text


def test_what_is_left_out_is_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _tree(tmp_path, "1.png", "a/notes.txt", "a/._1.png", ".checkpoints/1.png", *(f"b/{n:02d}.raw" for n in range(12)))
    (tmp_path / "gone.png").symlink_to("none")
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("")
    assert _found(tmp_path) == ["1.png"]
    assert caplog.messages == [
        f"{tmp_path}: 20 left out: 2 hidden (.checkpoints, a/._1.png), 2 whose link leads nowhere (gone.png, "
        "loop.png), 2 no regular file (pipe.png, zero.png), 14 of another kind by name (a/notes.txt, "
        + "".join(f"b/{n:02d}.raw, " for n in range(9))
        + "…). Files that end in .jpg, .png were expected."
    ]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _found(tmp_path / "none") == []
    assert "1 that cannot be opened (.)" in caplog.text
