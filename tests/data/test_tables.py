"""The tables that people bring: what is read, and how each mistake is explained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskkit import DataError, TableFile, read_table

Write = Callable[[str, Any], Path]
LATIN = "text,label\nfine,a\ncaf\u00e9,b\n".encode("latin-1")
LONG = "w" * 50_000_000


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text, bytes or columns into a file of this name."""

    def written(name: str, content: Any) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8", newline="")
        else:
            pq.write_table(content if isinstance(content, pa.Table) else pa.table(content), path)
        return path

    return written


def columns(table: TableFile) -> list[list[Any]]:
    return [table.column(name, "data.column") for name in table.content.column_names]


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("a.csv", "text,label\nhello,1\n", [["hello"], ["1"]]),
        ("a.CSV", "text,label\nhello,1\n", [["hello"], ["1"]]),
        ("marked.csv", "\ufefftext,label\nhello,1\n", [["hello"], ["1"]]),
        ("windows.csv", "text,label\r\nhello,1\r\nyou,2\r\n", [["hello", "you"], ["1", "2"]]),
        ("old_mac.csv", "text,label\rhello,1\ryou,2\r", [["hello", "you"], ["1", "2"]]),
        ("unended.csv", "text,label\nhello,1", [["hello"], ["1"]]),
        ("quoted.csv", 'text,label\n"a ""b"", and\nso on",1\n', [['a "b", and\nso on'], ["1"]]),
        ("inside.csv", 'text,label\n5" disk,1\n', [['5" disk'], ["1"]]),
        ("blank_lines.csv", "text,label\nhello,1\n\nyou,2\n\n", [["hello", "you"], ["1", "2"]]),
        ("a.tsv", "text\tlabel\nhello, you\t1\n", [["hello, you"], ["1"]]),
        ("a.jsonl", '{"text": "hello", "label": 1}\n\n{"text": "you"}\n', [["hello", "you"], [1, None]]),
        ("marked.jsonl", '\ufeff{"text": "hello"}\n', [["hello"]]),
        ("a.parquet", {"text": ["hello", None], "label": [1.0, float("nan")]}, [["hello", None], [1.0, None]]),
    ],
)
def test_each_kind_of_file_is_read(write: Write, name: str, content: Any, read: list[list[Any]]) -> None:
    assert columns(read_table(write(name, content))) == read


def test_cells_of_a_csv_file_stay_the_text_that_they_are(write: Write) -> None:
    table = read_table(write("a.csv", "text,label\ntrue,007\n1e3,1.0\n"))
    assert columns(table) == [["true", "1e3"], ["007", "1.0"]]


def test_quotes_of_a_tsv_file_hold_cells_together_where_they_match_and_else_are_text(write: Write) -> None:
    matching = read_table(write("a.tsv", 'text\tlabel\n"two\nlines"\ta\n'))
    assert columns(matching) == [["two\nlines"], ["a"]]
    stray = read_table(write("b.tsv", 'text\tlabel\n"open\ta\nhe said "hi\tb\n"great" she said\tc\n'))
    assert columns(stray) == [['"open', 'he said "hi', '"great" she said'], ["a", "b", "c"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f"text,label\n{LONG},a\nshort,b\n"),
        ("quoted.csv", f'text,label\n"{LONG}",a\nshort,b\n'),
        ("a.tsv", f"text\tlabel\n{LONG}\ta\nshort\tb\n"),
        ("a.jsonl", json.dumps({"text": LONG, "label": "a"}) + '\n{"text": "short", "label": "b"}\n'),
    ],
    ids=lambda value: value[:10],
)
def test_a_line_of_fifty_megabytes_is_read(write: Write, name: str, content: str) -> None:
    table = read_table(write(name, content))
    assert table.column("text", "") == [LONG, "short"]
    assert table.column("label", "") == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv: it is empty"),
        ("a.csv", "text,label\n", "it holds no row"),
        ("a.csv", "text,label", "it holds no row"),
        ("a.csv", LONG, "it holds no row"),
        ("a.jsonl", "\n \n", "it holds no row"),
        ("a.parquet", {"text": pa.array([], pa.string())}, "it holds no row"),
        ("a.csv", "text,label,text\na,b,c\n", "it has 'text' as a column twice"),
        ("a.csv", "text,text\na,b\n", "it has 'text' as a column twice"),
        ("a.parquet", pa.Table.from_arrays([[1], [2]], ["a", "a"]), "it has 'a' as a column twice"),
        ("a.jsonl", '{"a": 1}\n{"text": 1, "text": 2}\n', r"a\.jsonl:2: not JSON: it has 'text' twice"),
        ("a.csv", "text,label\na,b\n\nc\n", r"a\.csv:4: the header has 2 cells, the row that begins here 1\."),
        ("a.csv", 'text,label\n"a\nb",c\nd,e,f\n', r"a\.csv:4: the header has 2 cells, the row that begins here 3\."),
        ("a.csv", f"text,label\n{'x' * 500},b,c\n", r"a\.csv:2: the header has 2 cells, the row that begins here 3\."),
        ("a.csv", "text;label\na;b\n", "its header is one cell, 'text;label', with ';' in it"),
        ("a.csv", "text\tlabel\na\tb\n", r"its header is one cell, 'text\\tlabel', with '\\t' in it"),
        ("a.tsv", "text,label\na,b\n", "its header is one cell, 'text,label', with ',' in it"),
        ("a.csv", LATIN, r"a\.csv:3: byte 4 of the line is 0xe9, which is not UTF-8.*iconv -f latin1"),
        ("a.csv", LATIN.replace(b"fine", b'"fine"'), r"a\.csv:3: byte 4 of the line is 0xe9"),
        ("a.tsv", LATIN.replace(b",", b"\t"), r"a\.tsv:3: byte 4 of the line is 0xe9"),
        ("a.csv", "t\u00e9xt,label\na,b\n".encode("latin-1"), r"a\.csv:1: byte 2 of the line is 0xe9"),
        ("a.csv", "text\na\n".encode("utf-16"), r"a\.csv:1: byte 1 of the line is 0xff.*iconv -f utf-16"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n', r"a\.jsonl:2: byte 11 of the line is 0xe9"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"\n', r"a\.jsonl:2: not JSON: Expecting ',' delimiter"),
        ("a.jsonl", '[{"text": "a"}]\n', r"a\.jsonl:1: a JSON object such as"),
        ("a.jsonl", '{"n": 1}\n{"n": 2.5}\n{"n": "x"}\n', "row 3: 'n' is 'x'. As in the rows before, numbers were"),
        ("a.jsonl", '{"n": null}\n{"n": true}\n{"n": 1}\n', "row 3: 'n' is 1. As in the rows before, true or false"),
        ("a.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n', r"row 2: 'text' is '\\ud83d'. Whole characters were"),
        ("a.parquet", b"no parquet", r"a\.parquet: it cannot be read: .* A Parquet file was expected"),
        ("a.parquet", b"", r"a\.parquet: it cannot be read: .* A Parquet file was expected"),
        ("a.xlsx", "text", r"a\.xlsx: not a table by its name\. A file that ends in \.csv, \.tsv, \.jsonl, \.parquet"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, str | bytes) else None,
)
def test_a_file_that_cannot_be_read_is_explained(write: Write, name: str, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read_table(write(name, content))
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('text,label\na,b\n"c,d\ne,f\n', "after line 2, a cell in quotes never ends"),
        ('text,label\na,b\n"c" d,e\n', "after line 2, a cell in quotes goes on after the quote that ends it"),
        ('text,label\n"a,b\nc,d\n"e,f\n', "after line 1, a cell in quotes goes on after the quote that ends it"),
    ],
)
def test_quotes_that_do_not_match_swallow_no_rows(write: Write, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(write("a.csv", content))


def test_a_file_that_is_not_there_or_is_a_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: it cannot be read: No such file or directory"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv: it cannot be read: Is a directory"):
        read_table(tmp_path / "folder.csv")


def test_a_column_that_is_not_there_is_told_with_those_that_are(write: Write) -> None:
    table = read_table(write("a.csv", "texts, label\na,b\n"))
    with pytest.raises(
        DataError, match=r"no column 'text'\. It has texts,  label\. Did you mean 'texts'\? Set data\.t"
    ):
        table.column("text", "data.text_column")
    wide = read_table(write("b.csv", ",".join(f"{n}{'x' * 100}" for n in range(1000)) + "\n" + "," * 999))
    with pytest.raises(DataError, match="no column 'text'") as raised:
        wide.column("text", "data.text_column")
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("empty", ["", "  ", "nan", "NaN"])
def test_an_empty_cell_is_none_and_an_error_where_every_row_needs_one(write: Write, empty: str) -> None:
    table = read_table(write("a.csv", f"text,label\n a ,1\n{empty},2\n{empty},3\n"))
    assert table.column("text", "") == [" a ", None, None]
    with pytest.raises(DataError, match=r"row 2: column 'text' is empty or NaN \(and 1 more\)"):
        table.filled("text", "")
    assert table.filled("label", "") == ["1", "2", "3"]


def test_an_empty_line_of_a_table_of_one_column_is_an_empty_cell(write: Write) -> None:
    table = read_table(write("a.csv", "text\na\n\nb\n"))
    assert table.column("text", "") == ["a", None, "b"]


def test_cells_that_must_be_there_are_stripped(write: Write) -> None:
    assert read_table(write("a.csv", "text\n a \n")).filled("text", "") == ["a"]


def test_what_people_call_splits_is_understood(write: Write) -> None:
    table = read_table(write("a.csv", "split\nTraining\nvalid\n dev \ntest\n"))
    assert table.splits("split", "") == ["train", "val", "val", "test"]
    with pytest.raises(DataError, match=r"row 2: 'tset' is not a split\. One of train"):
        read_table(write("b.csv", "split\ntrain\ntset\n")).splits("split", "")


def test_rows_are_named_from_one(write: Write) -> None:
    path = write("a.csv", "text\na\nb\n")
    table = read_table(path)
    assert len(table) == 2
    assert table.where(1) == f"{path}: row 2"
    assert "text" in table
    assert "label" not in table
