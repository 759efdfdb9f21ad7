"""Logs as people save them: each is read rightly, said, or refused in words; none raises anything else."""

import gzip
import json
import re
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from taskkit import DataError
from taskkit_recsys import sections
from taskkit_recsys.facts import NextItem, Rating
from taskkit_recsys.interactions import Interactions

START = 1_700_000_000
ROWS = [(f"u{n % 5}", f"i{n % 7}", START + 3600 * n, 1 + n % 5) for n in range(40)]
HEADER = ("user", "item", "timestamp", "rating")
USERS, ITEMS = tuple(f"u{n}" for n in range(5)), tuple(f"i{n}" for n in range(7))


def changed(column, change, rows=ROWS):
    """The rows with another cell in a column: `change` of the number of the row and of what was there."""
    at = HEADER.index(column)
    return [(*row[:at], change(number, row[at]), *row[at + 1 :]) for number, row in enumerate(rows)]


def one(column, cell, row=30):
    """The rows, of which one has another cell."""
    return changed(column, lambda number, old: cell if number == row else old)


def separated(rows=ROWS, delimiter=",", header=HEADER, quote="", end="\n", extra=()):
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in (header, *rows)]
    return end.join([*lines, *extra, ""])


def json_lines(rows=ROWS, *extra):
    return "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in rows) + "".join(extra)


def parquet_of(**columns):
    """The rows as a Parquet file, some columns otherwise."""
    whole = dict(zip(HEADER, map(list, zip(*ROWS, strict=True)), strict=True))
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({**whole, **columns}), sink)
    return sink.getvalue().to_pybytes()


def iso(number, seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def written(form):
    """What makes of a time a date of this form."""
    return lambda _, seconds: datetime.fromtimestamp(seconds, UTC).strftime(form)


def one_date(row, cell):
    """The rows with German dates, but for one cell."""
    return changed("timestamp", lambda n, seconds: cell if n == row else written("%d.%m.%Y %H:%M")(n, seconds))


def scaled(factor):
    return changed("timestamp", lambda _, seconds: seconds * factor)


def not_utf8():
    return pa.Array.from_buffers(pa.string(), 40, pa.array([b"caf\xe9"] * 40, pa.binary()).buffers())


def prepared(tmp_path, name, content, target, **settings):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Interactions(sections.Interactions(events=str(path), **settings)).prepare(target)


DECIMALS = changed("rating", lambda number, _: ("1,5", "2", "3,25", "4", "5,0")[number % 5])
NESTED = [{"a": n} for n in range(40)]

READ = {
    # The delimiter and the quotes.
    "commas": ("l.csv", separated(), ""),
    "semicolons": ("l.csv", separated(delimiter=";"), "parted by semicolons, not by commas"),
    "semicolons_quoted": ("l.csv", separated(delimiter=";", quote='"', end="\r\n"), "parted by semicolons"),
    "tabs_in_csv": ("l.csv", separated(delimiter="\t"), "parted by tabs"),
    "bars": ("l.csv", separated(delimiter="|"), "parted by bars"),
    "tabs": ("l.tsv", separated(delimiter="\t"), ""),
    "commas_in_tsv": ("l.tsv", separated(), "parted by commas, not by tabs"),
    "sep_line": ("l.csv", "sep=;\n" + separated(delimiter=";"), ""),
    "crlf": ("l.csv", separated(end="\r\n"), ""),
    "old_mac": ("l.csv", separated(end="\r"), ""),
    "no_last_newline": ("l.csv", separated().rstrip(), ""),
    "blank_lines": ("l.csv", separated(extra=("", "")), ""),
    # Encodings and packing.
    "utf8_mark": ("l.csv", separated().encode("utf-8-sig"), ""),
    "utf16": ("l.csv", separated().encode("utf-16"), "it is UTF-16 by its mark"),
    "utf16_tabs": ("l.tsv", separated(delimiter="\t").encode("utf-16"), "it is UTF-16"),
    "utf32": ("l.csv", separated().encode("utf-32"), "it is UTF-32"),
    "gzip": ("l.csv.gz", gzip.compress(separated().encode(), mtime=0), ""),
    "gzip_json": ("l.jsonl.gz", gzip.compress(json_lines().encode(), mtime=0), ""),
    "json": ("l.jsonl", json_lines(), ""),
    "json_mark": ("l.jsonl", json_lines().encode("utf-8-sig"), ""),
    "json_blank_lines": ("l.jsonl", "\n" + json_lines() + "\n\n", ""),
    "parquet": ("l.parquet", parquet_of(), ""),
    "parquet_dictionary": ("l.parquet", parquet_of(user=pa.array([row[0] for row in ROWS]).dictionary_encode()), ""),
    "parquet_large_text": ("l.parquet", parquet_of(item=pa.array([row[1] for row in ROWS], pa.large_string())), ""),
    "parquet_floats": ("l.parquet", parquet_of(timestamp=[float(row[2]) for row in ROWS]), ""),
    "parquet_small_integers": ("l.parquet", parquet_of(rating=pa.array([row[3] for row in ROWS], pa.int8())), ""),
    "parquet_timestamps": ("l.parquet", parquet_of(timestamp=[datetime.fromtimestamp(r[2], UTC) for r in ROWS]), ""),
    # Times.
    "milliseconds": ("l.csv", separated(scaled(1000)), "counts ms since 1970, by its numbers"),
    "microseconds": ("l.csv", separated(scaled(10**6)), "counts us since 1970"),
    "nanoseconds": ("l.csv", separated(scaled(10**9)), "counts ns since 1970"),
    "milliseconds_json": ("l.jsonl", json_lines(scaled(1000)), "counts ms since 1970"),
    "milliseconds_parquet": (
        "l.parquet",
        parquet_of(timestamp=[row[2] * 1000 for row in ROWS]),
        "counts ms since 1970",
    ),
    "seconds_with_point": ("l.csv", separated(changed("timestamp", lambda _, s: f"{s}.0")), ""),
    "seconds_with_comma": (
        "l.csv",
        separated(changed("timestamp", lambda _, s: f"{s},0"), delimiter=";"),
        "semicolons",
    ),
    "exponents": ("l.csv", separated(changed("timestamp", lambda _, s: f"{s / 1e9!r}e9")), ""),
    "iso_dates": ("l.csv", separated(changed("timestamp", iso)), ""),
    "iso_with_z": ("l.csv", separated(changed("timestamp", lambda n, s: iso(n, s).replace("+00:00", "Z"))), ""),
    "iso_without_zone": ("l.csv", separated(changed("timestamp", lambda n, s: iso(n, s)[:19])), ""),
    "iso_with_blank": ("l.csv", separated(changed("timestamp", lambda n, s: iso(n, s)[:19].replace("T", " "))), ""),
    "german_dates": ("l.csv", separated(changed("timestamp", written("%d.%m.%Y"))), "read with the day first"),
    "german_times": (
        "l.csv",
        separated(changed("timestamp", written("%d.%m.%Y %H:%M")), delimiter=";"),
        "such as '14.11.2023 22:13' in row 1, read with the day first, as 2023-11-14T22:13:00",
    ),
    "german_times_of_a_browser": (
        "l.csv",
        separated(changed("timestamp", written("%d.%m.%Y, %H:%M:%S")), quote='"'),
        "read with the day first",
    ),
    "british_times": ("l.csv", separated(changed("timestamp", written("%d/%m/%Y %H:%M:%S"))), "with the day first"),
    "american_times": (
        "l.csv",
        separated(changed("timestamp", written("%m/%d/%Y %I:%M %p"))),
        "such as '11/14/2023 10:13 PM' in row 1, read with the month first, as 2023-11-14T22:13:00",
    ),
    "year_first_with_slashes": ("l.csv", separated(changed("timestamp", written("%Y/%m/%d %H:%M"))), ""),
    "zones_in_some_rows": (
        "l.csv",
        separated(changed("timestamp", lambda n, s: iso(n, s) if n == 30 else iso(n, s)[:19])),
        "39 of 40 times of column 'timestamp' name no zone, such as '2023-11-14T22:13:20' in row 1, and are read as "
        "UTC; others name theirs, such as '2023-11-16T04:13:20+00:00' in row 31",
    ),
    "blanks_around_times": ("l.csv", separated(changed("timestamp", lambda _, s: f" {s} ")), ""),
    # Ratings.
    "decimal_commas": ("l.csv", separated(DECIMALS, delimiter=";"), "parted by semicolons"),
    "decimal_commas_quoted": ("l.csv", separated(DECIMALS, quote='"'), ""),
    "decimal_points": ("l.csv", separated(changed("rating", lambda _, rating: f"{rating}.5")), ""),
    "blanks_around_ratings": ("l.csv", separated(changed("rating", lambda _, rating: f" {rating}")), ""),
    "signed_ratings": ("l.csv", separated(changed("rating", lambda _, rating: f"+{rating}")), ""),
    # Rows and columns.
    "another_column": ("l.csv", separated([(*row, "x") for row in ROWS], header=(*HEADER, "note")), ""),
    "index_of_pandas": ("l.csv", separated([(n, *row) for n, row in enumerate(ROWS)], header=("", *HEADER)), ""),
    "nested_column_that_nobody_reads": ("l.parquet", parquet_of(note=NESTED), ""),
    "doubled_rows": ("l.csv", separated([*ROWS, ROWS[-1]]), ""),
    "backwards": ("l.csv", separated(ROWS[::-1]), ""),
    "blanks_around_ids": ("l.csv", separated(changed("user", lambda _, user: f" {user} ")), ""),
}


@pytest.mark.parametrize("kind", READ)
def test_an_odd_log_that_can_be_right_is_read_rightly(tmp_path, caplog, kind):
    name, content, said = READ[kind]
    found = prepared(tmp_path, name, content, NextItem)
    assert (tuple(found.spec.input.users), tuple(found.spec.input.items)) == (USERS, ITEMS)
    last = max(max(example.input.times) for example in found.examples("test"))
    assert START - 86400 <= last <= START + 3600 * len(ROWS)
    assert said in caplog.text
    assert bool(said) == bool([record for record in caplog.records if record.levelname == "WARNING"])
    assert prepared(tmp_path, name, content, Rating).spec.target.low >= 1


IDS = {
    "numbers": (changed("user", lambda n, _: n % 5), ("0", "1", "2", "3", "4")),
    "with_zeros": (changed("user", lambda n, _: f"00{n % 5}"), ("000", "001", "002", "003", "004")),
    "of_5000_digits": (
        changed("user", lambda n, _: "9" * 4999 + str(n % 5)),
        tuple("9" * 4999 + str(n) for n in range(5)),
    ),
    "of_many_and_few_digits": (changed("user", lambda n, _: ("7", "10", "9" * 5000)[n % 3]), ("7", "10", "9" * 5000)),
    "negative": (changed("user", lambda n, _: -(n % 2) - 1), ("-1", "-2")),
    "with_commas_in_quotes": (changed("user", lambda n, _: f'"a,{n % 2}"'), ("a,0", "a,1")),
    "emoji": (changed("user", lambda n, _: "😀😎"[n % 2]), ("😀", "😎")),
    "other_digits": (changed("user", lambda n, _: "١٢"[n % 2]), ("١", "٢")),
    "addresses": (changed("user", lambda n, _: f"{n % 2}@example.org"), ("0@example.org", "1@example.org")),
    "words_for_missing": (changed("user", lambda n, _: ("NA", "None")[n % 2]), ("NA", "None")),
}


@pytest.mark.parametrize("kind", IDS)
def test_odd_ids_stay_what_they_are(tmp_path, kind):
    rows, users = IDS[kind]
    found = prepared(tmp_path, "l.csv", separated(rows), NextItem)
    assert tuple(found.spec.input.users) == users


REFUSED = {
    "empty": ("l.csv", "", "it is empty"),
    "header_only": ("l.csv", separated([]), "it holds no row"),
    "no_header": ("l.csv", separated(ROWS[1:], header=ROWS[0]), "no column 'user' and no column 'item' and no column"),
    "other_columns": ("l.csv", separated(header=("uid", "movie", "time", "stars")), "'user' and no column 'item'"),
    "doubled_column": ("l.csv", separated(header=("user", "item", "timestamp", "user")), "'user' as a column twice"),
    "short_row": ("l.csv", separated(extra=("u1,i1",)), r"l\.csv:42: the header has 4 cells, the row .* 2"),
    "long_row": ("l.csv", separated(extra=("u1,i1,1,1,1",)), r"l\.csv:42: the header has 4 cells, the row .* 5"),
    "open_quote": ("l.csv", separated(extra=('"u1,i1,1,1',)), "a cell in quotes never ends"),
    "cyrillic": ("l.csv", separated(one("item", "Привет")).encode("cp1251"), "windows-1251"),
    "shift_jis": ("l.csv", separated(one("item", "今日は")).encode("shift_jis"), "which is not UTF-8"),
    "utf16_unmarked": ("l.csv", separated().encode("utf-16-le"), "UTF-16 without the mark"),
    "gzip_cut": ("l.csv.gz", gzip.compress(separated().encode(), mtime=0)[:-9], "it cannot be unpacked"),
    "not_parquet": ("l.parquet", separated(), "A Parquet file was expected"),
    "not_excel": ("l.xlsx", separated(), "An Excel workbook was expected"),
    "unknown_suffix": ("l.dat", separated(), "not a table by its name"),
    "json_nested": ("l.jsonl", json_lines(ROWS, "[" * 100_000), "nested too deep"),
    "json_list": ("l.jsonl", json.dumps([{"user": "a"}]), "a JSON object such as"),
    "json_cut": ("l.jsonl", json_lines()[:-4], "not JSON"),
    "json_5000_digits": ("l.jsonl", json_lines(ROWS, '{"user": ' + "9" * 5000 + "}"), "not JSON: Exceeds the limit"),
    "json_ids_of_two_kinds": (
        "l.jsonl",
        json_lines(one("user", 5)),
        "row 31: 'user' is 5. As in the rows before, texts",
    ),
    "json_ids_are_lists": ("l.jsonl", json_lines(changed("user", lambda _, u: [u])), "'user' holds list.*, no ids"),
    "json_ids_are_objects": (
        "l.jsonl",
        json_lines(changed("item", lambda _, i: {"id": i})),
        "'item' holds struct.*, no ids",
    ),
    "json_rating_a_text": ("l.jsonl", json_lines(changed("rating", lambda *_: "good")), "'rating' is 'good'"),
    "json_rating_a_list": ("l.jsonl", json_lines(changed("rating", lambda _, r: [r])), "column 'rating'"),
    "json_time_a_list": ("l.jsonl", json_lines(changed("timestamp", lambda _, t: [t])), "column 'timestamp'"),
    "json_time_an_object": ("l.jsonl", json_lines(changed("timestamp", lambda _, t: {"t": t})), "column 'timestamp'"),
    "json_time_true": ("l.jsonl", json_lines(changed("timestamp", lambda *_: True)), "column 'timestamp'"),
    "json_null_user": ("l.jsonl", json_lines(one("user", None)), "row 31: column 'user' is empty"),
    "parquet_ids_are_lists": (
        "l.parquet",
        parquet_of(user=[[n % 5] for n in range(40)]),
        "'user' holds list.*, no ids",
    ),
    "parquet_ids_are_bytes": ("l.parquet", parquet_of(item=[b"x", b"y"] * 20), "'item' holds binary, no ids"),
    "parquet_ids_not_utf8": ("l.parquet", parquet_of(user=not_utf8()), "Invalid UTF8"),
    "parquet_fractional_ids": (
        "l.parquet",
        parquet_of(user=[n % 5 + 0.5 for n in range(40)]),
        "is 0.5, which is no id",
    ),
    "parquet_huge_floats_for_ids": ("l.parquet", parquet_of(user=[1e300] * 40), "'user' is 1e\\+300, which is no id"),
    "parquet_nan_ids": ("l.parquet", parquet_of(user=[float("nan")] * 40), "row 1: column 'user' is empty"),
    "parquet_infinite_time": (
        "l.parquet",
        parquet_of(timestamp=[float("inf")] * 40),
        "row 1: column 'timestamp' is inf",
    ),
    "parquet_infinite_rating": ("l.parquet", parquet_of(rating=[float("inf")] * 40), "row 1: column 'rating' is"),
    "parquet_rating_a_list": ("l.parquet", parquet_of(rating=NESTED), "column 'rating'"),
    "empty_user": ("l.csv", separated(one("user", "")), "row 31: column 'user' is empty"),
    "nan_user": ("l.csv", separated(one("user", "nan")), "row 31: column 'user' is empty"),
    "blank_item": ("l.csv", separated(one("item", "  ")), "row 31: column 'item' is empty"),
    "empty_time": ("l.csv", separated(one("timestamp", "")), "row 31: column 'timestamp' is empty"),
    "word_for_a_time": ("l.csv", separated(one("timestamp", "soon")), "row 31: column 'timestamp' is 'soon'"),
    "date_among_numbers": ("l.csv", separated(one("timestamp", "2024-06-30")), "row 31: .* like that of the first row"),
    "number_among_dates": (
        "l.csv",
        separated(changed("timestamp", lambda n, s: s if n == 30 else iso(n, s))),
        "row 31",
    ),
    "dates_of_either_order": (
        "l.csv",
        separated(changed("timestamp", lambda *_: "11/12/2023")),
        "row 1: column 'timestamp' is '11/12/2023', and no row tells .* Set data.date_order to day_first or month",
    ),
    "dates_of_both_orders": (
        "l.csv",
        separated(changed("timestamp", lambda n, _: "11/15/2023" if n == 30 else "15/11/2023")),
        "row 1: column 'timestamp' is '15/11/2023', with the day first, and '11/15/2023' in row 31, with the month",
    ),
    "no_such_german_date": (
        "l.csv",
        separated(one_date(30, "31.02.2024")),
        "row 31: column 'timestamp' is '31.02.2024'",
    ),
    "word_among_german_dates": ("l.csv", separated(one_date(30, "soon")), "row 31: column 'timestamp' is 'soon'"),
    "years_of_two_digits": ("l.csv", separated(changed("timestamp", lambda *_: "15.11.23")), "row 1: .* '15.11.23'"),
    "13_o_clock_in_the_afternoon": (
        "l.csv",
        separated(changed("timestamp", lambda *_: "15/11/2023 13:05 PM")),
        "row 1: column 'timestamp' is '15/11/2023 13:05 PM'",
    ),
    "no_such_date": ("l.csv", separated(changed("timestamp", lambda *_: "2024-02-30")), "'2024-02-30'"),
    "time_of_400_digits": ("l.csv", separated(one("timestamp", "9" * 400)), "row 31: column 'timestamp' is"),
    "seconds_and_milliseconds": (
        "l.csv",
        separated(changed("timestamp", lambda n, s: s * 1000 if n == 30 else s)),
        r"row 31: column 'timestamp' is 1700108000000, a recent time in ms, as are 1 in all; 39 others are such in s",
    ),
    "milliseconds_and_seconds": (
        "l.jsonl",
        json_lines(changed("timestamp", lambda n, s: s if n == 30 else s * 1000)),
        "row 31: column 'timestamp' is 1700108000, a recent time in s, as are 1 in all; 39 others are such in ms",
    ),
    "empty_rating": ("l.csv", separated(one("rating", "")), "row 31: column 'rating' is empty"),
    "word_for_a_rating": ("l.csv", separated(one("rating", "good")), "row 31: column 'rating' is 'good'"),
    "rating_of_1e39": (
        "l.csv",
        separated(one("rating", "1e39")),
        r"row 31: column 'rating' is 1e\+39, which is too large",
    ),
    "rating_of_1e400": ("l.csv", separated(one("rating", "1e400")), "row 31: column 'rating' is"),
    "thousands": ("l.csv", separated(changed("rating", lambda *_: "1,000"), delimiter=";"), "'1,000'. A rating"),
    "negative_rating": ("l.csv", separated(one("rating", "-1")), "row 31: the rating is -1"),
    "equal_ratings": ("l.csv", separated(changed("rating", lambda *_: "3")), "all ratings are 3"),
    "one_item": ("l.csv", separated(changed("item", lambda *_: "x")), "there is only one item, 'x'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_odd_log_that_cannot_be_right_is_refused_in_words(tmp_path, kind):
    name, content, message = REFUSED[kind]
    with pytest.raises(DataError, match=message) as raised:
        prepared(tmp_path, name, content, Rating)
    assert name in str(raised.value)
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize(
    "kind", ["seconds_and_milliseconds", "json_ids_are_lists", "rating_of_1e39", "cyrillic", "json_nested"]
)
def test_an_odd_log_is_an_error_of_the_data_on_the_command_line(tmp_path, kind):
    name, content, message = REFUSED[kind]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    recipe = {
        "task": {"name": "recsys.rating"},
        "model": {"name": "recsys.mf"},
        "data": {"name": "recsys.interactions", "events": name},
        "trainer": {"max_epochs": 1},
    }
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    command = [sys.executable, "-m", "taskkit", "check", "r.yaml", "--data"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert re.search(message, done.stdout + done.stderr)
    assert "Traceback" not in done.stderr


def test_there_are_enough_odd_logs():
    assert len(READ) + len(IDS) + len(REFUSED) >= 80


def test_times_that_are_still_to_come_are_counted(tmp_path, caplog):
    prepared(tmp_path, "l.csv", separated(one("timestamp", 5_000_000_000)), NextItem)
    assert (
        "1 of 40 times of column 'timestamp' are still to come, such as 2128-06-11T08:53:20Z in row 31" in caplog.text
    )


def test_a_unit_that_is_insisted_on_is_taken_and_what_it_makes_of_the_times_is_said(tmp_path, caplog):
    found = prepared(tmp_path, "l.csv", separated(scaled(1000)), NextItem, time_unit="s")
    assert min(found.examples("train")[0].input.times) == START * 1000
    assert "40 of 40 times of column 'timestamp' are still to come" in caplog.text


@pytest.mark.parametrize(("order", "month"), [("day_first", 12), ("month_first", 11)])
def test_an_order_of_dates_that_is_insisted_on_is_taken(tmp_path, caplog, order, month):
    rows = changed("timestamp", lambda *_: "11/12/2023 10:05")
    found = prepared(tmp_path, "l.csv", separated(rows), NextItem, date_order=order)
    seconds = datetime(2023, month, 23 - month, 10, 5, tzinfo=UTC).timestamp()
    assert {time for example in found.examples("train") for time in example.input.times} == {seconds}
    assert "date_order" not in caplog.text


def test_the_ratings_of_decimal_commas_are_what_was_meant(tmp_path):
    found = prepared(tmp_path, "l.csv", separated(DECIMALS, delimiter=";"), Rating)
    ratings = {example.target for split in ("train", "val", "test") for example in found.examples(split)}
    assert ratings == {1.5, 2.0, 3.25, 4.0, 5.0}


def test_rows_of_millions_of_times_are_read_in_seconds(tmp_path):
    times = np.arange(500_000) * 1000 + START * 1000
    path = tmp_path / "l.parquet"
    parquet.write_table(pa.table({"user": times % 97, "item": times % 101, "timestamp": times}), path)
    found = Interactions(sections.Interactions(events=str(path))).prepare(NextItem)
    assert len(found.examples("test")) == 97
