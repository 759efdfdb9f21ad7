"""What `taskkit predict` is handed."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskkit import DataError, TextLine
from taskkit_text.reading import ReadText, read_texts


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def written(name, content):
        if isinstance(content, dict):
            pq.write_table(pa.table(content), name)
        else:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return written


def read(source, pairs=False, **options):
    return [(example.id, example.input) for example in read_texts(source, ReadText(**options), pairs)]


@pytest.mark.parametrize(
    "text", ["Gold rose.", "one-word", "~ 5 stars", "a/b", "see notes.txt for more", "w" * 100_000, "two\nlines", "\0"]
)
def test_what_is_no_file_is_a_text(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read(text) == [(text, text)]


def test_a_file_of_lines_is_a_text_a_line(write, caplog):
    assert read(write("a.txt", "\ufefffirst\r\n\n  second one \n\n")) == [
        ("a.txt: line 1", "first"),
        ("a.txt: line 3", "second one"),
    ]
    assert "a.txt: 2 of 4 lines are blank and left out, the first is line 2" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,text\n1,first\n2,"second, in\ntwo lines"\n'),
        ("a.jsonl", '{"text": "first"}\n{"text": "second, in\\ntwo lines"}\n'),
        ("a.parquet", {"text": ["first", "second, in\ntwo lines"], "n": [1, 2]}),
    ],
)
def test_a_table_is_a_text_a_row(write, name, content):
    assert read(write(name, content)) == [(f"{name}: row 1", "first"), (f"{name}: row 2", "second, in\ntwo lines")]


def test_the_column_is_the_one_that_is_named_or_the_only_one_of_text(write):
    assert read(write("a.csv", "title,text\nx,y\n"))[0][1] == "y"
    assert read("a.csv", column="title")[0][1] == "x"
    assert read(write("b.parquet", {"n": [1], "body": ["y"]}))[0][1] == "y"
    with pytest.raises(DataError, match=r"b\.csv: it has the columns title, body\. .* Say it with --column NAME"):
        read(write("b.csv", "title,body\nx,y\n"))
    with pytest.raises(DataError, match=r"no column 'titel'\. .* Did you mean 'title'\? Set --column"):
        read("b.csv", column="titel")


def test_pairs_are_two_columns_or_have_a_tab_between(write):
    assert read("one\ttwo", pairs=True) == [("one\ttwo", ("one", "two"))]
    assert read(write("a.txt", "one\ttwo\n"), pairs=True) == [("a.txt: line 1", ("one", "two"))]
    assert read(write("a.csv", "question,answer\na,b\n"), pairs=True) == [("a.csv: row 1", ("a", "b"))]
    assert read(write("b.csv", "pair,x,text\nb,c,a\n"), pairs=True) == [("b.csv: row 1", ("a", "b"))]
    assert read("b.csv", pairs=True, column="x", pair_column="pair") == [("b.csv: row 1", ("c", "b"))]
    with pytest.raises(DataError, match=r"no column 'pair'\. It has text, label\. Set --pair-column"):
        read(write("c.csv", "text,label\na,b\n"), pairs=True)
    for text in ("one", "one\t", "one\ttwo\tthree"):
        with pytest.raises(DataError, match="this model reads pairs of texts"):
            read(text, pairs=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_a_file_of_lines_may_be_in_any_encoding_that_is_certain(write, encoding):
    path = write("a.txt", "fine\r\nça va, déjà – “oui”\n".encode(encoding))
    assert [example.input for example in read_texts(str(path), ReadText(), False)] == ["fine", "ça va, déjà – “oui”"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "\n \n", r"a\.txt: it holds no text"),
        ("a.txt", "fine\nm\u016fj\n".encode("cp1250"), r"a\.txt:2: byte 2 of the line is 0xf9, which is not UTF-8"),
        ("a.txt", "fine".encode("utf-16-le"), r"a\.txt: it seems to be UTF-16 without the mark.*as utf-16-le"),
        ("a.csv", "", r"a\.csv: it is empty"),
        ("a.md", "x", r"a\.md: its name does not say what is in it\. A file of one text a line \(\.txt\) or a table"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained(write, name, content, message):
    with pytest.raises(DataError, match=message):
        read(write(name, content))


def test_a_row_without_a_text_is_told_of_by_itself(write):
    whole, empty = read_texts(str(write("a.csv", "text\nx\n\n")), ReadText(), False)
    assert (whole.input, whole.fault) == ("x", "")
    assert "a.csv: row 2: column 'text' is empty" in empty.fault
    (half,) = read_texts(str(write("b.csv", "text,pair\nx,\n")), ReadText(), True)
    assert "b.csv: row 1: column 'pair' is empty" in half.fault


def test_a_file_that_is_not_there_is_not_taken_for_a_text():
    for name in ("revews.csv", "notes.txt"):
        with pytest.raises(DataError, match=f"{name}: there is no such file"):
            read(name)


def test_an_empty_text_is_an_error():
    with pytest.raises(DataError, match="the text is empty"):
        read("  ")


@pytest.mark.parametrize("option", ["column", "pair_column"])
def test_a_column_is_refused_where_there_is_no_table(write, option):
    key = f"--{option.replace('_', '-')}=x"
    for source in ("a line of text", write("a.txt", "a line\n")):
        with pytest.raises(DataError, match=rf"{key}: .*{source}.* has no columns\. A table .* Leave --\S+ out"):
            read(source, **{option: "x"})


def test_a_second_column_is_refused_where_single_texts_are_read(write):
    with pytest.raises(DataError, match="--pair-column=b: this model reads single texts"):
        read(write("a.csv", "text,b\nx,y\n"), pair_column="b")


def test_a_line_of_standard_input_is_a_text_also_where_it_looks_like_a_file(write):
    write("a.txt", "what is in the file")
    assert read("a.txt") == [("a.txt: line 1", "what is in the file")]
    for name in ("a.txt", "none.csv"):
        assert read(TextLine(name)) == [(name, name)]
    with pytest.raises(DataError, match="--column=body: 'a text' has no columns"):
        read(TextLine("a text"), column="body")
    with pytest.raises(DataError, match=r"none\.csv: there is no such file"):
        read("none.csv", column="body")
