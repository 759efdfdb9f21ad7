"""Tables of events, as people bring them."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from taskkit import DataError, read_table
from taskkit_recsys.events import Columns, core, read_events
from taskkit_recsys.times import iso, moment

COLUMNS = Columns("user", "item", "timestamp", None)
RATED = Columns("user", "item", "timestamp", "rating")
NOON = datetime(2024, 6, 30, 12, tzinfo=UTC).timestamp()


def events_of(path, columns=COLUMNS, unit="s"):
    return read_events(read_table(path), columns, unit)


def rows(*rows, header="user,item,timestamp"):
    return "\n".join([header, *rows]) + "\n"


def test_ids_are_numbered_in_the_order_of_numbers_or_of_letters(written):
    events = events_of(written(rows("10,b,1", "9,a,2", "10,c,3")))
    assert events.user_ids == ["9", "10"]
    assert events.users.tolist() == [1, 0, 1]
    assert events.item_ids == ["a", "b", "c"]
    assert events.items.tolist() == [1, 0, 2]
    assert events.times.tolist() == [1, 2, 3]


def test_numbers_of_ids_do_not_depend_on_the_order_of_the_file(written):
    lines = ["u2,b,1", "u1,a,2", "u10,c,3"]
    first, second = (events_of(written(rows(*order))) for order in (lines, lines[::-1]))
    assert first.user_ids == second.user_ids
    assert first.item_ids == second.item_ids


def test_ids_keep_their_zeros_and_lose_blanks_around_them(written):
    events = events_of(written(rows("007, a ,1", "7,a,2")))
    assert events.user_ids == ["007", "7"]
    assert events.item_ids == ["a"]
    assert events.items.tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_table_reads_the_same(written, tmp_path, kind):
    values = {"user": ["1", "2"], "item": ["a", "b"], "timestamp": [1719748800, 1719748801]}
    if kind == "parquet":
        path = tmp_path / "log.parquet"
        parquet.write_table(pa.table(values), path)
    elif kind == "jsonl":
        path = written(
            '{"user": "1", "item": "a", "timestamp": 1719748800}\n{"user": "2", "item": "b", '
            '"timestamp": 1719748801}\n',
            "log.jsonl",
        )
    else:
        mark = "," if kind == "csv" else "\t"
        lines = [mark.join(map(str, line)) for line in zip(*values.values(), strict=True)]
        path = written("\n".join([mark.join(values), *lines]), f"log.{kind}")
    events = events_of(path)
    assert (events.user_ids, events.item_ids) == (["1", "2"], ["a", "b"])
    assert events.times.tolist() == [NOON, NOON + 1]


@pytest.mark.parametrize(
    "cell",
    [
        "1719748800",
        "1719748800.0",
        "2024-06-30T12:00:00",
        "2024-06-30 12:00:00",
        "2024-06-30T12:00:00Z",
        "2024-06-30T14:00:00+02:00",
        "2024-06-30T07:00:00-0500",
        " 2024-06-30T12:00:00.000 ",
    ],
)
def test_a_time_is_seconds_or_an_iso_date_in_utc(written, cell):
    assert events_of(written(rows(f"1,a,{cell}"))).times.tolist() == [NOON]


def test_a_date_is_its_midnight_and_zones_may_be_mixed(written):
    events = events_of(written(rows("1,a,2024-06-30", "1,b,2024-06-30T01:00:00+01:00")))
    assert events.times.tolist() == [NOON - 43200, NOON - 43200]


@pytest.mark.parametrize(("unit", "scale"), [("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_numbers_may_count_parts_of_a_second(written, unit, scale):
    times = events_of(written(rows(f"1,a,{int(NOON) * scale + scale // 4}")), unit=unit).times
    assert times.tolist() == [NOON + 0.25]


@pytest.mark.parametrize(
    ("cells", "kind", "seconds"),
    [
        ([datetime(2024, 6, 30, 12)], pa.timestamp("ns"), NOON),
        ([datetime(2024, 6, 30, 12, tzinfo=UTC)], pa.timestamp("ms", tz="Europe/Berlin"), NOON),
        ([date(2024, 6, 30)], pa.date32(), NOON - 43200),
        ([NOON], pa.float64(), NOON),
    ],
)
def test_a_parquet_file_may_hold_times_of_its_own_kinds(tmp_path, cells, kind, seconds):
    table = pa.table({"user": [1.0], "item": ["a"], "timestamp": pa.array(cells, kind)})
    parquet.write_table(table, tmp_path / "log.parquet")
    events = events_of(tmp_path / "log.parquet")
    assert events.times.tolist() == [seconds]
    assert events.user_ids == ["1"]


def test_a_parquet_file_may_hold_long_text(tmp_path):
    table = pa.table({"user": ["1"], "item": ["a"], "timestamp": ["2024-06-30T12:00:00Z"], "rating": [" 4 "]})
    parquet.write_table(
        table.cast(pa.schema([(name, pa.large_string()) for name in table.column_names])), tmp_path / "log.parquet"
    )
    events = events_of(tmp_path / "log.parquet", RATED)
    assert (events.times.tolist(), events.ratings.tolist()) == ([NOON], [4])


def test_a_parquet_file_may_hold_categories_in_several_parts(tmp_path):
    table = pa.table({"user": ["b", "a", "c"], "item": ["x", "y", "x"], "timestamp": [1, 2, 3]})
    table = table.set_column(0, "user", table.column("user").dictionary_encode())
    parquet.write_table(table, tmp_path / "log.parquet", row_group_size=1)
    events = events_of(tmp_path / "log.parquet")
    assert [events.user_ids[user] for user in events.users] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",b,2", "row 2: column 'user' is empty"),
        ("NaN,b,2", "row 2: column 'user' is empty"),
        ("1, ,2", "row 2: column 'item' is empty"),
        ("1,b,", "row 2: column 'timestamp' is empty. A time was expected"),
        ("1,b,soon", "row 2: column 'timestamp' is 'soon'. A time was expected"),
        ("1,b,nan", "row 2: column 'timestamp' is 'nan'"),
        (
            "1,b,2024-06-30",
            "row 2: column 'timestamp' is '2024-06-30'. A time was expected, like that of the first row",
        ),
    ],
)
def test_a_bad_cell_is_explained_with_its_row(written, line, message):
    with pytest.raises(DataError, match=message):
        events_of(written(rows("1,a,1", line, "1,c,3", line)))


def test_a_date_that_is_none_is_explained_with_its_row(written):
    with pytest.raises(DataError, match="row 2: column 'timestamp' is '2024-02-30'"):
        events_of(written(rows("1,a,2024-06-30", "1,a,2024-02-30")))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "row 2: column 'rating' is empty"),
        ("good", "row 2: column 'rating' is 'good'"),
        ("inf", "row 2: column 'rat"),
    ],
)
def test_a_bad_rating_is_explained_with_its_row(written, cell, message):
    text = rows("1,a,1,5", f"1,b,2,{cell}", header="user,item,timestamp,rating")
    with pytest.raises(DataError, match=message):
        events_of(written(text), RATED)


def test_missing_numbers_in_parquet_are_explained_with_their_row(tmp_path):
    table = pa.table({"user": [1.0, float("nan")], "item": [1, 2], "timestamp": [1, 2]})
    parquet.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(DataError, match="row 2: column 'user' is empty"):
        events_of(tmp_path / "log.parquet")
    parquet.write_table(table.set_column(0, "user", pa.array([[1.5, 2.0]])[0].values), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"row 1: column 'user' is 1\.5, which is no id"):
        events_of(tmp_path / "log.parquet")


def test_a_missing_column_is_named_with_the_setting(written):
    with pytest.raises(DataError, match=r"no column 'item'.*Set data\.item_column"):
        events_of(written("user,movie,timestamp\n1,a,1\n"))


def test_a_bad_cell_is_found_among_very_many(tmp_path):
    times = ["1"] * 100_000
    times[76_543] = "x"
    table = pa.table({"user": ["1"] * len(times), "item": ["a"] * len(times), "timestamp": times})
    parquet.write_table(table, tmp_path / "log.parquet", row_group_size=1000)
    with pytest.raises(DataError, match="row 76544: column 'timestamp' is 'x'"):
        events_of(tmp_path / "log.parquet")


def test_the_core_is_what_is_left_when_nothing_more_goes(written):
    # c has one event; without it user 3 has one, and then d has one, and user 4 none but it.
    lines = ["1,a,1", "1,b,1", "2,a,1", "2,b,1", "3,c,1", "3,d,1", "4,d,1"]
    events = core(events_of(written(rows(*lines))), 2).renumbered()
    assert (events.user_ids, events.item_ids) == (["1", "2"], ["a", "b"])
    assert len(events) == 4


def test_the_core_of_random_events_is_that_of_its_definition(written):
    random = np.random.default_rng(0)
    pairs = [(int(user), int(item)) for user, item in random.integers(0, 40, (400, 2))]
    left = list(pairs)
    while True:
        kept = [
            (user, item)
            for user, item in left
            if sum(u == user for u, _ in left) >= 7 and sum(i == item for _, i in left) >= 7
        ]
        if kept == left:
            break
        left = kept
    assert 0 < len(left) < len(pairs)
    events = core(events_of(written(rows(*(f"{user},{item},1" for user, item in pairs)))), 7)
    found = [
        (int(events.user_ids[u]), int(events.item_ids[i])) for u, i in zip(events.users, events.items, strict=True)
    ]
    assert found == left


def test_events_of_one_moment_stay_in_the_order_of_the_file(written):
    events = events_of(written(rows("2,z,5", "1,c,7", "1,b,7", "1,a,7", "1,d,3"))).in_order()
    assert [events.item_ids[item] for item in events.items] == ["d", "c", "b", "a", "z"]


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_order_is_that_of_users_and_then_of_times(written, shift):
    random = np.random.default_rng(0)
    lines = [f"{user},{n},{time + shift * (n % 2)}" for n, (user, time) in enumerate(random.integers(0, 9, (200, 2)))]
    events = events_of(written(rows(*lines)))
    after = events.in_order()
    expected = sorted(range(200), key=lambda n: (events.users[n], events.times[n], n))
    assert after.rows.tolist() == expected
    assert after.times.tolist() == events.times[expected].tolist()


def test_moments_that_settings_give(written):
    assert moment("2024-06-30T14:00:00+02:00", "data.test_from") == NOON
    assert iso(moment("2024-06-30", "")) == "2024-06-30T00:00:00Z"
    with pytest.raises(DataError, match=r"data\.test_from: '30\.6\.2024' is no date"):
        moment("30.6.2024", "data.test_from")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["2021", "2022", "2023"], "looks like years"),
        (["15.11", "16.11", "1.12"], "looks like days and months without a year"),
        (["45000", "45001.5", "45002"], "looks like days as a spreadsheet counts them"),
        (["20231115", "20231116", "20231201"], "looks like dates written as 20231115"),
        (["1.05", "2.5", "30.99"], None),
        (["1", "2", "3"], None),
    ],
)
def test_numbers_that_look_like_dates_of_another_form_are_told(written, caplog, cells, said):
    events_of(written(rows(*(f"1,{n},{cell}" for n, cell in enumerate(cells)))))
    told = [record.getMessage() for record in caplog.records]
    assert (said is None) == (told == [])
    assert said is None or said in told[0]
