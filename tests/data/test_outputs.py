"""Predictions as one file: its forms, that it is whole or not there, and what is refused at once."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, overload

import pytest
from pyarrow import parquet

from taskkit import TaskkitError
from taskkit.data.outputs import Form, Row, beside, check_output, form_of, write_rows

ROWS: list[Row] = [
    {"text": 'a, "b"\nc', "n": 1, "prediction": "x", "probability": 0.1, "top": {"x": 0.1}, "when": date(2024, 6, 30)},
    {"text": "é", "n": None, "prediction": "y", "probability": 1 / 3, "top": {"y": 1 / 3}, "flags": ["truncated"]},
]


def test_a_csv_file_holds_every_digit_and_json_for_what_is_no_cell(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.csv", ROWS)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["text"], first["n"], first["when"], first["flags"]) == ('a, "b"\nc', "1", "2024-06-30", "")
    assert (second["n"], float(second["probability"]), json.loads(second["top"])) == ("", 1 / 3, {"y": 1 / 3})
    assert json.loads(second["flags"]) == ["truncated"]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", b"a,b\n1,2\n", Form(",", mark=False)),
        ("a.csv", b"a;b\n1;2\n", Form(";", mark=False)),
        ("a.csv", b"\xef\xbb\xbfa;b\r\n1;2\r\n", Form(";", mark=True)),
        ("a.csv", "a;b\nüben;Größe\n".encode("cp1252"), Form(";", mark=True)),
        ("a.csv", "a\tb\n1\t2\n".encode("utf-16"), Form("\t", mark=True)),
        ("a.csv", b"sep=;\na;b\n1;2\n", Form(";", mark=False)),
        ("a.tsv", b"a\tb\n1\t2\n", Form(",", mark=False)),
        ("a.jsonl", b'{"a": 1}\n', Form(",", mark=False)),
        ("a.xlsx", b"", Form(",", mark=True)),
        ("a.csv.gz", gzip.compress(b"a;b\n1;2\n", mtime=0), Form(";", mark=False)),
    ],
    ids=["usual", "semicolons", "mark", "windows-1252", "utf-16", "sep", "tsv", "jsonl", "xlsx", "gzip"],
)
def test_predictions_take_after_the_table_that_was_read(tmp_path: Path, name: str, content: bytes, form: Form) -> None:
    (tmp_path / name).write_bytes(content)
    found = form_of([tmp_path / name])
    assert (found.delimiter, found.mark) == (form.delimiter, form.mark)
    assert bool(found.said) == (found != Form())


def test_tables_of_several_kinds_give_the_usual_one_and_what_was_insisted_on_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a;b\n1;2\n")
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    assert form_of([]) == form_of([tmp_path / "a.csv", tmp_path / "b.csv"]) == Form()
    assert form_of([tmp_path / "b.csv"], delimiter="|").delimiter == "|"


def test_a_german_table_gets_semicolons_a_mark_and_decimal_commas(tmp_path: Path) -> None:
    rows = [{"preis": "1,5", "text": "süß", "probability": 0.25, "n": 3}, {"preis": "", "text": "a;b", "n": 4}]
    write_rows(tmp_path / "p.csv", rows, Form(";", mark=True))
    written = (tmp_path / "p.csv").read_bytes()
    assert written == '\ufeffpreis;text;probability;n\n1,5;süß;0,25;3\n;"a;b";;4\n'.encode()
    write_rows(tmp_path / "q.csv", [{"a": "1.5", "probability": 0.25}], Form(";", mark=False))
    assert (tmp_path / "q.csv").read_text() == "a;probability\n1.5;0.25\n"
    write_rows(tmp_path / "r.csv", rows)
    assert (tmp_path / "r.csv").read_bytes().startswith('preis,text,probability,n\n"1,5",süß,0.25,3\n'.encode())


def test_json_lines_and_parquet_keep_types(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.jsonl", ROWS)
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == [{**ROWS[0], "when": "2024-06-30"}, ROWS[1]]
    write_rows(tmp_path / "p.parquet", [*ROWS, {"n": "a word", "prediction": [1]}])
    table = parquet.read_table(tmp_path / "p.parquet")
    assert table.column("probability").to_pylist() == [0.1, 1 / 3, None]
    assert table.column("n").to_pylist() == ["1", None, "a word"]
    assert table.column("prediction").to_pylist() == ["x", "y", "[1]"]
    assert table.column("flags").to_pylist() == [None, ["truncated"], None]


def test_a_column_of_the_table_stays_and_ours_gets_another_name() -> None:
    row = beside({"id": 7, "prediction": "mine"}, {"input": "a", "prediction": "x"})
    assert row == {"id": 7, "prediction": "mine", "input": "a", "taskkit_prediction": "x"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p.txt", r"p\.txt: predictions cannot be written there. A file that ends in \.csv, \.jsonl, \.parquet"),
        ("p", "predictions cannot be written there"),
        ("there.csv", r"there\.csv: it is there already, and nothing is overwritten"),
        ("none/p.csv", r"there is no folder .*none\. Make it"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(TaskkitError, match=message):
        check_output(tmp_path / name)
    assert (tmp_path / "there.csv").read_text() == "mine"


class Breaking(Sequence[Row]):
    """Rows of which the last cannot be had."""

    def __len__(self) -> int:
        return 3

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Any:
        return ROWS[0]

    def __iter__(self) -> Iterator[Row]:
        yield from ROWS
        raise ZeroDivisionError


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ZeroDivisionError):
        write_rows(tmp_path / f"p.{suffix}", Breaking())
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, taskkit.data.outputs as o\n"
        "rows = [{'text': 'x' * 1000}] * 3_000_000\n"
        "print('writing', flush=True)\n"
        "o.write_rows(pathlib.Path(sys.argv[1]), rows)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "p.csv")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until = time.monotonic() + 60
        while not any(part.stat().st_size for part in tmp_path.iterdir()) and time.monotonic() < until:
            pass
        process.kill()
    assert process.returncode == -9
    assert not (tmp_path / "p.csv").exists()
