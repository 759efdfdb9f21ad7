"""The tables that people bring: what is read, and how each mistake is explained."""

import gzip
import json
import os
import re
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskkit import DataError, TableFile, decimal_points, read_table, table_problems

Write = Callable[[str, Any], Path]
CZECH = "p\u0159\u00edli\u0161 \u017elu\u0165ou\u010dk\u00fd k\u016f\u0148"
POLISH = "za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 ja\u017a\u0144"
RUSSIAN = "\u041f\u0440\u0438\u0432\u0435\u0442"
WESTERN = "\u201cCaf\u00e9\u201d \u2013 tr\u00e8s \u00e0 la mode, c\u2019est \u00e7a \u2026 20 \u20ac"
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
        ("excel.csv", 'text;label\r\n"a; b";1\r\n"c, ""d""";2\r\n', [["a; b", 'c, "d"'], ["1", "2"]]),
        ("commas.csv", "text;label\na, b, c;1\n", [["a, b, c"], ["1"]]),
        ("tabs.csv", 'text\tlabel\n5" disk\t1\n', [['5" disk'], ["1"]]),
        ("bars.csv", "text|label\na|1\n", [["a"], ["1"]]),
        ("commas.tsv", "text,label\na,1\n", [["a"], ["1"]]),
        ("semicolon_in_header.csv", "text,price;EUR\na,1\n", [["a"], ["1"]]),
        ("one_column.csv", "text\na; b\n", [["a; b"]]),
        ("sep.csv", "sep=;\r\ntext;label\r\na;1\r\n", [["a"], ["1"]]),
        ("marked_sep.csv", '\ufeffsep=;\ntext;label\n"a";1\n', [["a"], ["1"]]),
        ("utf16.csv", f"text;label\n{WESTERN};1\n".encode("utf-16"), [[WESTERN], ["1"]]),
        ("utf16.tsv", f"text\tlabel\n{CZECH}\t1\n".encode("utf-16"), [[CZECH], ["1"]]),
        ("utf16.jsonl", '{"text": "a"}\n'.encode("utf-16"), [["a"]]),
        ("utf32.csv", "text,label\na,1\n".encode("utf-32"), [["a"], ["1"]]),
        ("western.csv", f"text;label\n{WESTERN};1\n".encode("cp1252"), [[WESTERN], ["1"]]),
        ("dash.csv", "text,label\na \u2013 b,1\n".encode("cp1252"), [["a \u2013 b"], ["1"]]),
        ("cafe.tsv", "t\u00e9xt\tlabel\ncaf\u00e9\t1\n".encode("cp1252"), [["caf\u00e9"], ["1"]]),
        ("zipped.csv.gz", gzip.compress(b"text,label\na,1\n", mtime=0), [["a"], ["1"]]),
        ("zipped.TSV.GZ", gzip.compress("text\tlabel\na\t1\n".encode("utf-16"), mtime=0), [["a"], ["1"]]),
        ("zipped.jsonl.gz", gzip.compress(b'{"text": "a"}\n', mtime=0), [["a"]]),
        ("null.csv", "text,label\na\0b,1\n", [["a\0b"], ["1"]]),
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
        ("a.csv", "a;b|c\n1;2|3\n", "semicolons or bars may part its cells.*Say which by `data.delimiter`"),
        ("a.csv", "a;b\n1;2;3\n", r"a\.csv:2: the header has 2 cells, the row .* 3\..* a semicolon or a line break"),
        (
            "a.csv",
            f"text,label\n{CZECH},a\n".encode("cp1250"),
            r"a\.csv:2: byte .* not UTF-8.*windows-1250 if it is Czech",
        ),
        ("a.csv", f"text,label\n{RUSSIAN},a\n".encode("cp1251"), "--encoding to predict, as windows-1251"),
        ("a.csv", "text,label\nf\u00fcr \u0141ukasz,a\n".encode("cp1250"), "What it is in cannot be told"),
        ("a.csv", "text,label\n\u00e8,a\n".encode("cp1252"), "windows-1252 if it is .* or windows-1250 if it is Czech"),
        ("a.csv", "text,label\n\u4eca\u65e5\u306f,a\n".encode("shift_jis"), "What it is in cannot be told"),
        ("a.csv", "text,label\nca\u0301f\x81,a\n".encode("latin-1", "replace"), "What it is in cannot be told"),
        (
            "a.csv",
            b"PK\x03\x04\x14\x00\x08\x00",
            "this is a zip archive, as workbooks of Excel are.*Rename it to .xlsx",
        ),
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "UTF-16 without the mark.*as utf-16-le"),
        ("a.csv", "text,label\na,b\n".encode("utf-16-be"), "UTF-16 without the mark.*as utf-16-be"),
        # Beyond ASCII these bytes are no UTF-8 either.
        ("a.csv", "text,label\ncafé,b\n".encode("utf-16-le"), "UTF-16 without the mark.*as utf-16-le"),
        ("a.csv", "text,label\na,b\n".encode("utf-16") + b"x", "its mark says that it is UTF-16, and byte 33 is not"),
        ("a.csv.gz", b"text,label", "it cannot be unpacked: Not a gzipped file"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\na,b\n" * 99, mtime=0)[:-9],
            "it cannot be unpacked: Compressed file ended",
        ),
        ("a.parquet.gz", b"", "not a table by its name"),
        ("a.jsonl", "[" * 100_000 + "\n", r"a\.jsonl:1: its JSON is nested too deep"),
        ("a.jsonl", '{"n": ' + "9" * 5000 + "}\n", r"a\.jsonl:1: not JSON: Exceeds the limit"),
        ("a.jsonl", '{"n": 1}\n{"n": ' + "9" * 30 + "}\n", r"a\.jsonl: .*too large|it cannot be read"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n', r"a\.jsonl:2: byte 11 of the line is 0xe9"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"\n', r"a\.jsonl:2: not JSON: Expecting ',' delimiter"),
        ("a.jsonl", '[{"text": "a"}]\n', r"a\.jsonl:1: a JSON object such as"),
        ("a.jsonl", '{"n": 1}\n{"n": 2.5}\n{"n": "x"}\n', "row 3: 'n' is 'x'. As in the rows before, numbers were"),
        ("a.jsonl", '{"n": null}\n{"n": true}\n{"n": 1}\n', "row 3: 'n' is 1. As in the rows before, true or false"),
        ("a.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n', r"row 2: 'text' is '\\ud83d'. Whole characters were"),
        ("a.parquet", b"no parquet", r"a\.parquet: it cannot be read: .* A Parquet file was expected"),
        ("a.parquet", b"", r"a\.parquet: it cannot be read: .* A Parquet file was expected"),
        ("a.xlsx", "text", "File is not a zip file. An Excel workbook was expected"),
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
    with pytest.raises(
        DataError, match=rf"none\.csv: it cannot be read: there is no such file as {tmp_path}/none\.csv"
    ):
        read_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv: it cannot be read: Is a directory"):
        read_table(tmp_path / "folder.csv")


def test_what_has_no_end_is_no_table(tmp_path: Path) -> None:
    for name, make in {
        "device.csv": lambda path: path.symlink_to("/dev/zero"),
        "fifo.parquet": lambda path: os.mkfifo(path),
    }.items():
        make(tmp_path / name)
        with pytest.raises(DataError, match=rf"{name}: this is no regular file.*was expected"):
            read_table(tmp_path / name)


def test_a_column_that_is_not_there_is_told_with_those_that_are(write: Write) -> None:
    table = read_table(write("a.csv", "texts, label\na,b\n"))
    with pytest.raises(
        DataError, match=r"no column 'text'\. It has texts,  label\. Did you mean 'texts'\? Set data\.t"
    ):
        table.column("text", "data.text_column")
    wide = read_table(write("b.csv", ",".join(f"{n}{'x' * 100}" for n in range(1000)) + "\nx" + "," * 999))
    with pytest.raises(DataError, match="no column 'text'") as raised:
        wide.column("text", "data.text_column")
    assert len(str(raised.value)) < 2000


def test_all_columns_that_are_not_there_are_told_at_once(write: Write) -> None:
    table = read_table(write("a.csv", "texts,class\na,b\n"))
    table.check_columns({"data.text_column": "texts", "data.pair_column": None})
    message = (
        r"it has no column 'text' and no column 'label'\. It has texts, class\. Did .* Set data\.a and data\.b to thos"
    )
    with pytest.raises(DataError, match=message):
        table.check_columns({"data.a": "text", "data.b": "label", "data.c": "class"})
    measured = {name: name for name in ("texts", *(f"radius {n}" for n in range(30)))}
    lacking = (
        r"it lacks 30 columns: 'radius 0', 'radius 1' and 28 more\. It has texts, class\. Name them so in the table"
    )
    with pytest.raises(DataError, match=lacking):
        table.check_columns(measured)


@pytest.mark.parametrize(
    ("name", "usual"), [("a.csv", "semicolons, not by commas"), ("a.tsv", "semicolons, not by tabs")]
)
def test_a_delimiter_that_was_found_is_said_and_one_that_is_insisted_on_is_taken(
    write: Write, caplog: pytest.LogCaptureFixture, name: str, usual: str
) -> None:
    path = write(name, "text;label\na;b\n")
    assert columns(read_table(path)) == [["a"], ["b"]]
    assert f"{path}: its cells are parted by {usual}" in caplog.text
    assert read_table(path, ",").content.column_names == ["text;label"]
    assert columns(read_table(write(name, "text:label\n'a':b\n"), ":")) == [["'a'"], ["b"]]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_an_encoding_that_is_insisted_on_is_taken_in_every_file_of_text(
    write: Write, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    content = f'{{"text": "{POLISH}"}}\n' if "json" in name else f"text\n{POLISH}\n"
    written = content.encode("cp1250")
    path = write(name, gzip.compress(written, mtime=0) if "gz" in name else written)
    assert columns(read_table(path, encoding="windows-1250")) == [[POLISH]]
    assert caplog.text == ""
    with pytest.raises(DataError, match=r"`encoding` is utf-8, and byte .* A file in that encoding was expected"):
        read_table(path, encoding="utf-8")


@pytest.mark.parametrize(("name", "value"), [("delimiter", ";;"), ("encoding", "rot13"), ("encoding", "utf-9")])
def test_what_is_no_delimiter_or_encoding_is_refused_in_a_section_and_in_a_call(
    write: Write, name: str, value: str
) -> None:
    chosen = {"delimiter": None, "encoding": None, name: value}
    ((where, problem),) = table_problems(**chosen)
    assert where == name
    with pytest.raises(DataError, match=re.escape(f"`{name}`: {problem}")):
        read_table(write("a.csv", "text,label\na,b\n"), **chosen)


def test_another_encoding_is_said(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    read_table(write("a.csv", f"text;label\n{WESTERN};1\n".encode("cp1252")))
    read_table(write("b.csv", "text,label\na,1\n".encode("utf-16")))
    assert "a.csv: it is not UTF-8 but Windows-1252, and is read as that" in caplog.text
    assert "b.csv: it is UTF-16 by its mark" in caplog.text


def test_a_file_that_unpacks_to_more_than_the_bound_is_refused_before_it_is(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskkit.data.documents.LARGEST", 1000)
    path = write("a.csv.gz", gzip.compress(b"text,label\n" + b"a,b\n" * 1000, mtime=0))
    with pytest.raises(DataError, match="once it is unpacked, which is done in memory"):
        read_table(path)


def test_parquet_text_that_is_not_utf8_is_found_at_once(write: Write) -> None:
    cells = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"], pa.binary()).buffers())
    with pytest.raises(DataError, match=r"a\.parquet: it cannot be read: .*Invalid UTF8.*A Parquet file was expected"):
        read_table(write("a.parquet", pa.table({"text": cells})))


def test_words_that_programs_write_for_what_is_missing_stay_words_and_are_counted(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    table = read_table(write("a.csv", "label\nnan\nNA\nNone\nNA\nyes\n"))
    assert table.filled("label", "") == ["nan", "NA", "None", "NA", "yes"]
    assert "4 cells of column 'label' are 'nan', 'NA', 'None', as programs write what is missing" in caplog.text


def workbook(path: Path, *sheets: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("python_calamine")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_as_a_csv_file_would_be(tmp_path: Path) -> None:
    rows = [["text", "label", "when"], ["caf\u00e9", 1, datetime(2024, 6, 30, 12)], [None, 2.5, True]]
    table = read_table(workbook(tmp_path / "a.xlsx", rows, []))
    assert columns(table) == [["caf\u00e9", None], ["1", "2.5"], ["2024-06-30T12:00:00", "true"]]


def test_formulas_that_nobody_computed_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [["text", "label"], ["a", '=IF(1>0,"x","y")'], ["b", "y"], ["c", "=B3"]]
    table = read_table(workbook(tmp_path / "a.xlsx", rows))
    assert columns(table) == [["a", "b", "c"], [None, "y", None]]
    assert "2 cells hold formulas that were never computed, such as B2, B4, and are read as empty" in caplog.text
    caplog.clear()
    computed = computing(tmp_path / "a.xlsx", {b"<v></v>": b"<v>7</v>", b"<v />": b"<v>7</v>", b"<v/>": b"<v>7</v>"})
    assert columns(read_table(computed)) == [["a", "b", "c"], ["7", "y", "7"]]
    assert not caplog.records


def computing(path: Path, changes: dict[bytes, bytes]) -> Path:
    """A copy of a workbook with other bytes in its sheets, as a spreadsheet that computes would write them."""
    copy = path.with_name("computed.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            for before, after in changes.items() if "worksheets" in name else ():
                content = content.replace(before, after)
            new.writestr(name, content)
    return copy


@pytest.mark.parametrize(
    ("sheets", "message"),
    [
        ([[]], "its first row must name its columns, and it is empty"),
        ([[["text", None], ["a", "b"]]], "its first row must name its columns, and column 2 has none"),
        ([[["text"]]], "it holds no row"),
        ([[["a"], ["1"]], [["b"], ["2"]]], "it has several sheets with cells: Sheet.*, Sheet"),
    ],
)
def test_a_workbook_that_is_no_table_is_explained(tmp_path: Path, sheets: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(workbook(tmp_path / "a.xlsx", *sheets))


def test_a_workbook_that_unpacks_to_more_than_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskkit.data.workbook.LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/worksheets/sheet1.xml", "0" * 2000)
    with pytest.raises(DataError, match="GiB once it is unpacked, in memory"):
        read_table(tmp_path / "a.xlsx")


@pytest.mark.parametrize("empty", ["", "  ", "\t"])
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


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1,5", "2"], ["1.5", "2"]),
        (["1,500", "2,5"], ["1.500", "2.5"]),
        (["0,500"], ["0.500"]),
        (["1,500", "2"], ["1,500", "2"]),
        (["1,5", "good"], ["1,5", "good"]),
        (["1.5", "2,5"], ["1.5", "2,5"]),
        ([], []),
    ],
)
def test_commas_are_decimal_ones_where_no_thousands_can_be_meant(cells: list[str], read: list[str]) -> None:
    assert decimal_points(cells) == read


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["1,5", "2", "4,5"] * 9, "18 of 27 labels look like numbers with decimal commas, such as '1,5'"),
        (["1.5", "2.0"] * 9, "9 of 18 labels look like numbers with decimal points, such as '1.5'"),
        ([str(n) for n in range(30)] * 9, "its 270 labels are all numbers. Each of the 30 different ones"),
        ([str(n) for n in range(30)] * 10, ""),
        ([str(n) for n in range(20)], ""),
        (["1.0", "2.0"], ""),
        (["1,000", "2,000"], ""),
        (["1,5", "unknown"], ""),
        (["007", "7"], ""),
    ],
)
def test_labels_that_measure_are_remarked_upon(
    write: Write, caplog: pytest.LogCaptureFixture, labels: list[str], said: str
) -> None:
    table = read_table(write("a.csv", "label\nx\n"))
    table.remark_on_numbers("label", labels)
    assert said in caplog.text
    assert bool(said) == bool(caplog.records)


def test_what_spreadsheets_leave_at_the_edges_is_no_part_of_a_table(write: Write, tmp_path: Path) -> None:
    table = read_table(write("a.csv", "text;label;;\na;1;;\n;;;\nb;;;\n;;;\n;;;\n"))
    assert (table.content.column_names, columns(table)) == (["text", "label"], [["a", None, "b"], ["1", None, None]])
    index = read_table(write("b.csv", ",text\n0,a\n1,b\n"))
    assert index.content.column_names == ["", "text"]
    assert columns(read_table(write("c.csv", "text\na\n\n"))) == [["a", None]]
    with pytest.raises(DataError, match="it holds no row"):
        read_table(write("d.csv", "text;label\n;\n;\n"))
    rows = [["text", "label", None], ["a", 1, None], [None, None, None]]
    book = workbook(tmp_path / "e.xlsx", rows)
    assert columns(read_table(book)) == [["a"], ["1"]]


def test_paths_as_macos_writes_them_are_found_and_others_stay_as_they_are(write: Write, tmp_path: Path) -> None:
    composed, parted = "Gr\u00fc\u00dfe.jpg", "Gru\u0308\u00dfe.jpg"
    table = read_table(write("a.csv", f"path\npics\\{composed}\nno-{composed}\n"))
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / parted).write_bytes(b"")
    assert table.paths("path", "", tmp_path) == [f"pics/{parted}", f"no-{composed}"]


def test_paths_of_windows_have_slashes_where_no_file_is_called_so(write: Write, tmp_path: Path) -> None:
    table = read_table(write("a.csv", "path\npics\\a.jpg\nodd\\name.jpg\npics/b.jpg\n"))
    (tmp_path / "odd\\name.jpg").write_bytes(b"")
    assert table.paths("path", "", tmp_path) == ["pics/a.jpg", "odd\\name.jpg", "pics/b.jpg"]
