"""Your own texts, in tables of every kind and with every mistake."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskkit import Classes, DataError
from taskkit_text import sections
from taskkit_text.facts import Text
from taskkit_text.table import Table

ROWS = [{"text": f"number {n} of {('even', 'odd')[n % 2]} ones", "label": "ab"[n % 2]} for n in range(60)]
SPLITS = ("train", "val", "test")


@pytest.fixture
def write(tmp_path):
    """Write rows, a text or columns into a table of this name."""

    def written(name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif path.suffix == ".parquet":
            pq.write_table(pa.table(content) if isinstance(content, dict) else pa.Table.from_pylist(content), path)
        elif path.suffix == ".jsonl":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in content))
        else:
            between = "\t" if path.suffix == ".tsv" else ","
            lines = [between.join(map(str, row.values())) for row in content]
            path.write_text("\n".join([between.join(content[0]), *lines, ""]))
        return path

    return written


def prepared(path, **settings):
    return Table(sections.Table(file=str(path), **settings)).prepare(Classes)


def ids(found, split):
    return [example.id for example in found.examples(split)]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_of_every_kind_gives_the_same_examples(write, suffix):
    found, reference = prepared(write(f"table.{suffix}", ROWS)), prepared(write("reference.csv", ROWS))
    spec = found.spec
    assert spec.input == Text()
    assert spec.target == Classes(("a", "b"), spec.target.counts)
    assert sum(spec.target.counts) == len(found.examples("train"))
    for split in SPLITS:
        assert len(found.examples(split)) > 0
        assert found.examples(split) == reference.examples(split)
    assert spec.fingerprint == reference.spec.fingerprint
    assert ids(found, "train")[0] == "row 1"
    assert (
        spec.protocol["splits"]
        == "val 0.1 of the rest by a hash of the text, test 0.2 of the rest by a hash of the text"
    )


def test_a_row_never_moves_to_another_split_when_others_come(write):
    before = prepared(write("a.csv", ROWS))
    more = [{"text": f"new {n}", "label": "b"} for n in range(40)]
    after = prepared(write("b.csv", [*more, *ROWS]))
    for split in SPLITS:
        assert {each.input for each in before.examples(split)} <= {each.input for each in after.examples(split)}


def test_the_same_text_never_is_in_two_splits(write):
    found = prepared(write("a.csv", [*ROWS, *({**row, "text": row["text"].upper()} for row in ROWS)]))
    assert all(problem.kind != "leak" for problem in found.inspect())


def test_a_column_of_splits_is_used_as_it_is(write):
    rows = [{**row, "split": ["training", "dev", "Test"][number % 3]} for number, row in enumerate(ROWS)]
    found = prepared(write("a.csv", rows))
    assert [len(found.examples(split)) for split in SPLITS] == [20, 20, 20]
    assert ids(found, "val")[:2] == ["row 2", "row 5"]
    assert found.spec.protocol["splits"] == "val as the data say, test as the data say"
    renamed = [{"fold" if name == "split" else name: cell for name, cell in row.items()} for row in rows]
    found = prepared(write("b.csv", renamed), split_column="fold")
    assert ids(found, "val")[:2] == ["row 2", "row 5"]


def test_files_of_their_own_are_their_splits(write):
    test, val = write("test.jsonl", ROWS[:10]), write("val.tsv", ROWS[10:15])
    found = prepared(write("train.csv", ROWS[15:]), test_file=str(test), val_file=str(val))
    assert [len(found.examples(split)) for split in SPLITS] == [45, 5, 10]
    assert [origin.source for origin in found.spec.origins][1:] == [str(val), str(test)]
    assert all(origin.sha256 for origin in found.spec.origins)
    found = prepared(write("train.csv", ROWS[15:]), test_file=str(test))
    assert len(found.examples("test")) == 10
    assert len(found.examples("val")) > 0


def test_rows_may_be_split_by_an_id(write):
    rows = [{"name": f"n{number}", **row} for number, row in enumerate(ROWS)]
    found = prepared(write("a.csv", rows), id_column="name")
    changed = prepared(write("b.csv", [{**row, "text": "another"} for row in rows]), id_column="name")
    for split in SPLITS:
        assert ids(found, split) == ids(changed, split)
        assert all(name.startswith("n") for name in ids(found, split))
    assert "a hash of the column 'name'" in found.spec.protocol["splits"]
    with pytest.raises(DataError, match="row 3: its id 'n0' is that of row 1 too"):
        prepared(write("c.csv", [*rows[:2], rows[0]]), id_column="name")


def test_two_columns_are_pairs(write):
    rows = [{"first": f"a {n}", "second": f"b {n}", "label": n % 2} for n in range(60)]
    found = prepared(write("a.csv", rows), text_column="first", pair_column="second")
    assert found.spec.input == Text(pairs=True)
    assert all(isinstance(example.input, tuple) for example in found.examples("train"))
    assert ("a 0", "b 0") in {example.input for split in SPLITS for example in found.examples(split)}
    assert found.spec.target.names == ("0", "1")
    assert [problem.kind for problem in found.inspect()] == ["copies", "lengths", "classes"]


def test_the_fingerprint_is_that_of_texts_classes_and_splits(write):
    first = prepared(write("a.csv", ROWS)).spec.fingerprint
    assert prepared(write("b.csv", [{**row, "note": 1} for row in ROWS])).spec.fingerprint == first
    assert prepared(write("a.csv", ROWS), test_share=0.5).spec.fingerprint != first
    assert prepared(write("a.csv", [*ROWS[1:], {**ROWS[0], "text": "x"}])).spec.fingerprint != first


@pytest.mark.parametrize("labels", [[1.0, 2.0], [1, 2], pa.array(["1", "2"]).dictionary_encode(), ["1", "2"]])
def test_whole_numbers_are_classes_by_any_type(write, labels):
    content = {"text": ["x", "y"], "label": labels}
    found = prepared(write("a.parquet", content), val_share=0, test_share=0)
    assert found.spec.target == Classes(("1", "2"), (1, 1))
    assert [example.target for example in found.examples("train")] == [0, 1]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_whole_numbers_are_the_same_classes_however_they_are_written(write, suffix):
    rows = [{"text": f"text {n}", "label": ["1", "1.0", "2", "2.", "1e1"][n % 5]} for n in range(10)]
    spec = prepared(write(f"a.{suffix}", rows), val_share=0, test_share=0).spec
    assert spec.target == Classes(("1", "2", "10"), (4, 4, 2))


def test_whole_numbers_with_decimal_commas_are_the_same_classes_and_very_many_are_remarked_upon(write, caplog):
    path = write("a.csv", "text;label\nx;1,0\ny;1\nz;2,0\n")
    assert prepared(path, val_share=0, test_share=0).spec.target.names == ("1", "2")
    rows = [{"text": f"text {n}", "label": n % 30} for n in range(90)]
    prepared(write("b.csv", rows), val_share=0, test_share=0)
    assert "its 90 labels are all numbers. Each of the 30 different ones is a class of its own" in caplog.text


def test_numbers_beside_words_are_classes_as_they_are_written(write):
    path = write("a.csv", "text,label\nx,1\ny,1.0\nz,none\n")
    assert set(prepared(path, val_share=0, test_share=0).spec.target.names) == {"1", "1.0", "none"}


def test_classes_keep_their_text_and_are_in_the_order_of_numbers_or_letters(write):
    path = write("a.csv", "text,label\nx,007\ny,7\nz,10\n")
    assert prepared(path, val_share=0, test_share=0).spec.target.names == ("007", "7", "10")


def test_class_names_that_a_parquet_file_brings_are_used(write, tmp_path):
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"text": ["x", "y", "z"], "label": [1, 0, 1]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    found = prepared(tmp_path / "a.parquet", val_share=0, test_share=0)
    assert found.spec.target == Classes(("no", "yes"), (1, 2))
    assert [example.target for example in found.examples("train")] == [1, 0, 1]
    hidden = pa.table({"text": ["x", "y"], "label": [1, -1]}).replace_schema_metadata(metadata)
    pq.write_table(hidden, tmp_path / "b.parquet")
    with pytest.raises(DataError, match="row 2: column 'label' is -1, which is the number of none of its 2 classes"):
        prepared(tmp_path / "b.parquet")


HEADER = "text,label\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,class\nx,a\ny,b\n", r"no column 'label'\. It has text, class\. Set data\.label_column to one of them"),
        ("texts,label\nx,a\ny,b\n", r"no column 'text'\. .* Did you mean 'texts'\? Set data\.text_column"),
        ("", "it is empty"),
        (HEADER, "it holds no row"),
        ("text,label,label\nx,a,a\n", "it has 'label' as a column twice"),
        (f"{HEADER}x,a\n,b\n", "row 2: column 'text' is empty"),
        (f"{HEADER}x,a\ny,\nz, \n", r"row 2: column 'label' is empty or NaN \(and 1 more\)"),
        (f"{HEADER}x,1.0\ny,0.37\n", r"row 2: column 'label' is 0\.37, a number that is not whole\. Labels must be cl"),
        (f"{HEADER}x,1.5\ny,0.37\nz,none\n", r"row 1: column 'label' is 1\.5, a number that is not whole"),
        ("text;label\nx;1,0\ny;0,37\n", r"row 2: column 'label' is 0,37, a number that is not whole"),
        (f"{HEADER}x,a\ny,a\n", "all texts to train on have the class 'a'. Texts of two classes or more"),
        ("text,label,split\nx,a,test\ny,b,test\n", "no text. Texts of two classes or more"),
        (
            "text,label,split\nx,a,train\ny,b,train\nz,c,test\n",
            "row 3: no training example has its class 'c'. One of a",
        ),
        ("text,label,split\nx,a,train\ny,b,tset\n", "row 2: 'tset' is not a split"),
        (HEADER + "".join(f"text {n},{n}\n" for n in range(100)), "'label' has 100 different classes in 100 rows"),
        (f'{HEADER}"x,a\ny,b\n', "after line 1, a cell in quotes never ends"),
    ],
)
def test_a_mistake_is_explained_with_its_row(write, text, message):
    with pytest.raises(DataError, match=message):
        prepared(write("table.csv", text), val_share=0, test_share=0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["x", "y"], "label": [1.0, 0.37]}, r"row 2: column 'label' is 0\.37, a number that is not whole"),
        ({"text": ["x", "y"], "label": [1.0, float("nan")]}, "row 2: column 'label' is empty or NaN"),
        ({"text": ["x", None], "label": ["a", "b"]}, "row 2: column 'text' is empty or NaN"),
        ({"text": [1, 2], "label": ["a", "b"]}, r"column 'text' holds int64, not text\. Set data\.text_column"),
        ({"text": [["x"], ["y"]], "label": ["a", "b"]}, "column 'text' holds list<.*>, not text"),
        ({"text": ["x", "y"], "label": [["a"], ["b"]]}, r"column 'label' holds list<.*>\. One class a row"),
    ],
)
def test_a_column_of_something_else_is_explained(write, columns, message):
    with pytest.raises(DataError, match=message):
        prepared(write("table.parquet", columns), val_share=0, test_share=0)


def test_a_line_that_is_not_utf8_is_named(write):
    content = b"text,label\nfine,a\n" + "můj,b\n".encode("cp1250")
    with pytest.raises(DataError, match=r"table\.csv:3: byte 2 of the line is 0xf9, which is not UTF-8"):
        prepared(write("table.csv", content))


def test_a_huge_text_is_a_text(write):
    text = "word " * 1_000_000
    found = prepared(write("a.csv", f"text,label\n{text},a\ny,b\n"), val_share=0, test_share=0)
    assert found.examples("train")[0].input == text.strip()


def test_settings_that_cannot_be_right_are_problems(tmp_path):
    (tmp_path / "a.txt").write_text("x")

    def problems(**settings):
        return dict(sections.Table(**settings).problems())

    assert "data.file=FILE" in problems()["file"]
    assert "is not a file" in problems(file="none.csv")["file"]
    assert "does not end in .csv" in problems(file=str(tmp_path / "a.txt"))["file"]
    assert "leave nothing to train on" in problems(file="none.csv", val_share=0.5, test_share=0.5)["val_share"]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "2"], ("2", "9", "10")),
        (["01", "1"], ("01", "1")),
        (["1", "0"], ("0", "1")),
        (["True", "False"], ("False", "True")),
        (["None", "NA", "nan"], ("NA", "None", "nan")),
        ([" spam", "spam ", "ham"], ("ham", "spam")),
    ],
)
def test_classes_are_called_as_the_file_calls_them(tmp_path, labels, names):
    rows = "".join(f"text number {n},{labels[n % len(labels)]}\n" for n in range(12))
    (tmp_path / "t.csv").write_text(f"text,label\n{rows}")
    config = sections.Table(file=str(tmp_path / "t.csv"), val_share=0, test_share=0)
    assert Table(config).prepare(Classes).spec.target.names == names
