"""Tables of texts as people save them: each is read rightly, said, or refused in words; none raises anything else."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskkit import Classes, DataError
from taskkit_text import sections
from taskkit_text.reading import ReadText, read_texts
from taskkit_text.table import Table

ROWS = [(f"number {n} of {('even', 'odd')[n % 2]} ones", "ab"[n % 2]) for n in range(40)]
LABELS = ("a", "b")
WESTERN = "Un café – très agréable, c’est ça"
CZECH = "příliš žluťoučký kůň"


def separated(delimiter=",", header=("text", "label"), rows=ROWS, quote="", end="\n", extra=()):
    """A table as text; `extra` are lines at its end."""
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in (header, *rows)]
    return end.join([*lines, *extra, ""])


def json_lines(*rows, ending="\n"):
    return "".join(
        json.dumps(row) + ending for row in ({"text": text, "label": label} for text, label in ROWS)
    ) + "".join(row if isinstance(row, str) else json.dumps(row) + ending for row in rows)


def with_column(name, cells, header=("text", "label")):
    """The rows with a third column, whose cells come round and round."""
    return separated(
        header=(*header, name), rows=[(*row, cells[number % len(cells)]) for number, row in enumerate(ROWS)]
    )


def parquet(columns=None, metadata=None, **more):
    """A Parquet file as bytes."""
    texts, labels = zip(*ROWS, strict=True)
    table = pa.table({"text": texts, "label": labels, **(columns or {}), **more})
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return sink.getvalue().to_pybytes()


def not_utf8(count):
    return pa.Array.from_buffers(pa.string(), count, pa.array([b"caf\xe9"] * count, pa.binary()).buffers())


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def prepared(path, **settings):
    return Table(sections.Table(file=str(path), **settings)).prepare(Classes)


def one_more(text, label="a", **how):
    """The rows and one more, which is quoted by nobody."""
    return separated(rows=[*ROWS, (text, label)], **how)


READ = {
    # The delimiter and the quotes.
    "commas": ("t.csv", separated(), ""),
    "semicolons": ("t.csv", separated(";"), "parted by semicolons, not by commas"),
    "semicolons_and_quotes": ("t.csv", separated(";", quote='"', end="\r\n"), "parted by semicolons"),
    "semicolons_and_commas_in_text": (
        "t.csv",
        one_more("well, yes, no").replace(",a\n", ";a\n").replace(",b\n", ";b\n").replace("text,label", "text;label"),
        "parted by semicolons",
    ),
    "semicolons_in_quoted_text": ("t.csv", one_more('"well; yes"', delimiter=";"), "parted by semicolons"),
    "tabs_in_csv": ("t.csv", separated("\t"), "parted by tabs, not by commas"),
    "bars": ("t.csv", separated("|"), "parted by bars"),
    "commas_in_tsv": ("t.tsv", separated(), "parted by commas, not by tabs"),
    "tabs": ("t.tsv", separated("\t"), ""),
    "sep_line": ("t.csv", "sep=;\r\n" + separated(";", end="\r\n"), ""),
    "all_quoted": ("t.csv", separated(quote='"'), ""),
    "doubled_quotes": ("t.csv", one_more('"he said ""no"""'), ""),
    "line_break_in_cell": ("t.csv", one_more('"two\nlines"'), ""),
    "comma_in_quoted_cell": ("t.csv", one_more('"well, yes"'), ""),
    "stray_quote_in_csv": ("t.csv", one_more('a 5" disk'), ""),
    "stray_quotes_in_tsv": ("t.tsv", one_more('"open', delimiter="\t"), ""),
    "apostrophes": ("t.csv", one_more("it's 'fine'"), ""),
    "backslashes": ("t.csv", one_more("C:\\\\new"), ""),
    # Lines.
    "crlf": ("t.csv", separated(end="\r\n"), ""),
    "old_mac": ("t.csv", separated(end="\r"), ""),
    "no_last_newline": ("t.csv", separated().rstrip("\n"), ""),
    "blank_lines": ("t.csv", separated(extra=("", "", "")), ""),
    "blank_line_first": ("t.csv", "\n" + separated(), ""),
    "upper_case_suffix": ("T.CSV", separated(), ""),
    # Encodings.
    "utf8_mark": ("t.csv", separated().encode("utf-8-sig"), ""),
    "utf8_mark_and_quotes": ("t.csv", separated(quote='"').encode("utf-8-sig"), ""),
    "utf16": ("t.csv", separated().encode("utf-16"), "it is UTF-16 by its mark"),
    "utf16_big_endian": ("t.csv", b"\xfe\xff" + separated().encode("utf-16-be"), "it is UTF-16 by its mark"),
    "utf16_tabs_as_excel_saves_unicode_text": ("t.tsv", separated("\t", end="\r\n").encode("utf-16"), "UTF-16"),
    "utf32": ("t.csv", separated().encode("utf-32"), "it is UTF-32 by its mark"),
    "windows_1252": ("t.csv", one_more(WESTERN, delimiter=";").encode("cp1252"), "not UTF-8 but Windows-1252"),
    "windows_1252_dash": ("t.csv", one_more("a – b").encode("cp1252"), "not UTF-8 but Windows-1252"),
    "windows_1252_german": ("t.tsv", one_more("Grüße aus Köln", delimiter="\t").encode("cp1252"), "Windows-1252"),
    "windows_1252_spanish": ("t.csv", one_more("mañana comeré aquí").encode("cp1252"), "Windows-1252"),
    "latin1": ("t.csv", one_more("señor, aquí", delimiter=";").encode("latin-1"), "Windows-1252"),
    "utf16_json": ("t.jsonl", json_lines().encode("utf-16"), "UTF-16"),
    "windows_1252_json": (
        "t.jsonl",
        json_lines('{"text": "ça va, déjà", "label": "a"}\n').encode("cp1252"),
        "Windows-1252",
    ),
    # Packed.
    "gzip": ("t.csv.gz", gzip.compress(separated().encode(), mtime=0), ""),
    "gzip_semicolons_utf16": ("t.csv.gz", gzip.compress(separated(";").encode("utf-16"), mtime=0), "UTF-16"),
    "gzip_tsv": ("t.tsv.gz", gzip.compress(separated("\t").encode(), mtime=0), ""),
    "gzip_json": ("t.jsonl.gz", gzip.compress(json_lines().encode(), mtime=0), ""),
    # JSON lines and Parquet.
    "json": ("t.jsonl", json_lines(), ""),
    "json_crlf": ("t.jsonl", json_lines(ending="\r\n"), ""),
    "json_mark": ("t.jsonl", json_lines().encode("utf-8-sig"), ""),
    "json_escapes": ("t.jsonl", json_lines({"text": "😀 é \u2028 x", "label": "a"}), ""),
    "json_more_keys": ("t.jsonl", json_lines({"text": "x", "label": "a", "more": [1, None]}), ""),
    "json_nested_column": ("t.jsonl", json_lines({"text": "x", "label": "a", "more": {"b": {"c": [1]}}}), ""),
    "parquet": ("t.parquet", parquet(), ""),
    "parquet_large_strings": ("t.parquet", parquet({"text": pa.array([t for t, _ in ROWS], pa.large_string())}), ""),
    "parquet_dictionary": (
        "t.parquet",
        parquet({"label": pa.array([label for _, label in ROWS]).dictionary_encode()}),
        "",
    ),
    "parquet_other_metadata": ("t.parquet", parquet(metadata={"huggingface": "{}", "pandas": "{{"}), ""),
    "parquet_features_of_nothing": ("t.parquet", parquet(metadata={"huggingface": '{"info": {"features": {}}}'}), ""),
    # Cells.
    "nul_byte": ("t.csv", one_more("a\0b"), ""),
    "control_characters": ("t.csv", one_more("a\x07b\x1bc"), ""),
    "zero_width": ("t.csv", one_more("\u200b"), ""),
    "emoji": ("t.csv", one_more("👩‍👩‍👧 😀"), ""),
    "right_to_left": ("t.csv", one_more("שלום مرحبا"), ""),
    "half_a_megabyte": ("t.csv", one_more("w" * 500_000), ""),
    "formula": ("t.csv", one_more("=1+2"), ""),
    "text_nan": ("t.csv", one_more("nan"), "1 cells of column 'text' are 'nan', as programs write what is missing"),
    "text_null": ("t.csv", one_more("NULL"), "'NULL', as programs write what is missing"),
    "spaces_around": ("t.csv", one_more("  x  ", "  a "), ""),
    # Columns.
    "another_column": ("t.csv", with_column("note", ["x", "", "y"]), ""),
    "unnamed_index_of_pandas": (
        "t.csv",
        separated(header=("", "text", "label"), rows=[(n, *r) for n, r in enumerate(ROWS)]),
        "",
    ),
    "split": ("t.csv", with_column("split", ["train", "train", "train", "val", "test"]), ""),
    "set": (
        "t.csv",
        with_column("set", ["train", "train", "train", "dev", "test"]),
        "its column 'set' says which split",
    ),
    "fold_in_capitals": (
        "t.csv",
        with_column("Fold", ["TRAIN", "train", "train", "val", "Test"]),
        "its column 'Fold' says",
    ),
    "fold_of_numbers": ("t.csv", with_column("fold", ["1", "2", "3"]), ""),
    "set_of_other_words": ("t.csv", with_column("set", ["train", "north", "south"]), ""),
}


@pytest.mark.parametrize("kind", READ)
def test_an_odd_file_that_can_be_right_is_read_rightly(tmp_path, caplog, kind):
    name, content, said = READ[kind]
    found = prepared(written(tmp_path, name, content), val_share=0, test_share=0.2)
    assert found.spec.target.names == LABELS
    texts = {
        example.input: LABELS[example.target] for split in ("train", "val", "test") for example in found.examples(split)
    }
    assert texts.items() >= dict(ROWS).items()
    assert len(texts) - len(ROWS) in (0, 1)
    assert said in caplog.text
    assert bool(said) == bool([record for record in caplog.records if record.levelname == "WARNING"])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("windows_1252", WESTERN),
        ("windows_1252_dash", "a – b"),
        ("semicolons_and_commas_in_text", "well, yes, no"),
        ("doubled_quotes", 'he said "no"'),
        ("line_break_in_cell", "two\nlines"),
        ("stray_quotes_in_tsv", '"open'),
        ("json_escapes", "😀 é \u2028 x"),
        ("spaces_around", "x"),
    ],
)
def test_the_cells_of_an_odd_file_are_what_was_written(tmp_path, kind, text):
    name, content, _ = READ[kind]
    found = prepared(written(tmp_path, name, content), val_share=0, test_share=0)
    assert text in {example.input for example in found.examples("train")}


@pytest.mark.parametrize("kind", ["set", "fold_in_capitals", "split"])
def test_a_column_of_splits_is_used_by_any_usual_name(tmp_path, kind):
    name, content, _ = READ[kind]
    found = prepared(written(tmp_path, name, content))
    assert [len(found.examples(split)) for split in ("train", "val", "test")] == [24, 8, 8]


REFUSED = {
    "empty": ("t.csv", "", "it is empty"),
    "only_a_mark": ("t.csv", "\ufeff", "it holds no row"),
    "only_blank_lines": ("t.csv", "\n\n\n", "it holds no row"),
    "header_only": ("t.csv", "text,label\n", "it holds no row"),
    "missing_columns": ("t.csv", separated(header=("body", "class")), "no column 'text' and no column 'label'"),
    "no_header": ("t.csv", separated(header=ROWS[0], rows=ROWS[1:]), "no column 'text' and no column 'label'"),
    "column_with_blank": ("t.csv", separated(header=("text ", " label")), "no column 'text' and no column 'label'"),
    "doubled_column": ("t.csv", with_column("text", ["x"]), "it has 'text' as a column twice"),
    "short_row": ("t.csv", separated(extra=("x",)), r"t\.csv:42: the header has 2 cells, the row that begins here 1"),
    "long_row": (
        "t.csv",
        separated(extra=("x,a,b",)),
        r"t\.csv:42: the header has 2 cells, the row that begins here 3",
    ),
    "long_row_of_semicolons": ("t.csv", separated(";", extra=("x;a;b",)), r"t\.csv:42: .* a cell with a semicolon"),
    "open_quote": ("t.csv", separated(extra=('"x,a',)), "after line 41, a cell in quotes never ends"),
    "quote_goes_on": ("t.csv", separated(extra=('"x" y,a',)), "goes on after the quote that ends it"),
    "two_delimiters": ("t.csv", "text;label|x\n" + "a;b|c\n" * 3, "semicolons or bars may part its cells"),
    "czech": ("t.csv", one_more(CZECH).encode("cp1250"), r"t\.csv:42: byte .* windows-1250 if it is Czech"),
    "polish": ("t.csv", one_more("mąż śpi, a żona nie", delimiter=";").encode("cp1250"), "which is not UTF-8"),
    "russian": ("t.csv", one_more("Привет, мир", delimiter=";").encode("cp1251"), "windows-1251 if it is Russian"),
    "greek": ("t.csv", one_more("Καλημέρα σας").encode("cp1253"), "windows-1253 if it is Greek"),
    "turkish": ("t.csv", one_more("çok güzel bir ışık").encode("cp1254"), "windows-1254 if it is Turkish"),
    "japanese": ("t.csv", one_more("今日はいい天気です").encode("shift_jis"), "which is not UTF-8"),
    "chinese": ("t.csv", one_more("今天天气很好").encode("gbk"), "which is not UTF-8"),
    "mac": ("t.csv", one_more("très agréable").encode("mac_roman"), "which is not UTF-8"),
    "half_utf8": ("t.csv", separated(extra=("é",)).encode()[:-2], "which is not UTF-8"),
    "both_encodings": ("t.csv", one_more("café").encode() + "thé;x\n".encode("cp1252"), "which is not UTF-8"),
    "utf16_unmarked": ("t.csv", separated().encode("utf-16-le"), "UTF-16 without the mark"),
    "utf16_cut": ("t.csv", separated().encode("utf-16")[:-1], "its mark says that it is UTF-16, and byte"),
    "picture": ("t.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "which is not UTF-8"),
    "zip_called_csv": ("t.csv", b"PK\x03\x04\x14\x00\xff\xfe", "this is a zip archive, as workbooks of Excel are"),
    "gzip_cut": ("t.csv.gz", gzip.compress(separated().encode(), mtime=0)[:-9], "it cannot be unpacked"),
    "not_gzip": ("t.csv.gz", separated(), "it cannot be unpacked: Not a gzipped file"),
    "not_excel": ("t.xlsx", separated(), "An Excel workbook was expected"),
    "not_parquet": ("t.parquet", separated(), "A Parquet file was expected"),
    "parquet_cut": ("t.parquet", parquet()[:-20], "A Parquet file was expected"),
    "parquet_damaged": ("t.parquet", b"PAR1" + bytes(60) + parquet()[-300:], "it cannot be read|is empty"),
    "parquet_text_not_utf8": ("t.parquet", parquet(text=not_utf8(40)), "Invalid UTF8"),
    "parquet_class_not_utf8": ("t.parquet", parquet(label=not_utf8(40)), "Invalid UTF8"),
    "parquet_binary_text": ("t.parquet", parquet(text=[t.encode() for t, _ in ROWS]), "'text' holds binary, not text"),
    "parquet_names_no_json": ("t.parquet", parquet(metadata={"huggingface": "{"}), "`huggingface` cannot be read"),
    "parquet_names_a_list": ("t.parquet", parquet(metadata={"huggingface": "[1]"}), "`huggingface` cannot be read"),
    "parquet_names_not_utf8": ("t.parquet", parquet(metadata={"huggingface": b"\xff"}), "`huggingface` cannot be read"),
    "parquet_names_nested": (
        "t.parquet",
        parquet(metadata={"huggingface": "[" * 100_000}),
        "`huggingface` cannot be read",
    ),
    "parquet_names_numbers": (
        "t.parquet",
        parquet(metadata={"huggingface": '{"info": {"features": {"label": {"names": [1, 2]}}}}'}),
        "`huggingface` cannot be read: the classes of 'label' are",
    ),
    "parquet_names_of_words": (
        "t.parquet",
        parquet(metadata={"huggingface": '{"info": {"features": {"label": {"names": ["x", "y"]}}}}'}),
        "column 'label' is a, which is the number of none of its 2 classes",
    ),
    "json_cut": ("t.jsonl", json_lines('{"text": "x"'), r"t\.jsonl:41: not JSON"),
    "json_nested": ("t.jsonl", json_lines("[" * 100_000), r"t\.jsonl:41: its JSON is nested too deep"),
    "json_nested_object": ("t.jsonl", json_lines('{"text":' * 100_000), r"t\.jsonl:41: its JSON is nested too deep"),
    "json_list": (
        "t.jsonl",
        json.dumps([{"text": "x", "label": "a"}]),
        "a JSON object such as .* was expected on each",
    ),
    "json_huge_number": (
        "t.jsonl",
        json_lines('{"text": "x", "label": ' + "9" * 5000 + "}\n"),
        "not JSON: Exceeds the limit",
    ),
    "json_half_character": (
        "t.jsonl",
        json_lines('{"text": "\\ud83d", "label": "a"}\n'),
        "Whole characters were expected",
    ),
    "json_half_character_in_class": ("t.jsonl", json_lines('{"text": "x", "label": "\\ud83d"}\n'), "Whole characters"),
    "json_doubled_key": ("t.jsonl", json_lines('{"text": "x", "text": "y", "label": "a"}\n'), "it has 'text' twice"),
    "json_text_a_number": ("t.jsonl", json_lines({"text": 1, "label": "a"}), "row 41: 'text' is 1"),
    "json_label_a_list": ("t.jsonl", json_lines({"text": "x", "label": ["a"]}), "row 41: 'label' is"),
    "json_mixed_list": (
        "t.jsonl",
        json_lines({"text": "x", "label": "a", "more": [1, {}]}),
        "column 'more': cannot mix",
    ),
    "json_no_label": ("t.jsonl", json_lines({"text": "x"}), "row 41: column 'label' is empty or NaN"),
    "json_null_text": ("t.jsonl", json_lines({"text": None, "label": "a"}), "row 41: column 'text' is empty"),
    "empty_text": ("t.csv", one_more(""), "row 41: column 'text' is empty"),
    "blank_text": ("t.csv", one_more(" \u3000 "), "row 41: column 'text' is empty"),
    "empty_label": ("t.csv", one_more("x", ""), "row 41: column 'label' is empty"),
    "numbers_for_labels": (
        "t.csv",
        separated(rows=[(t, f"{n / 7:.3f}") for n, (t, _) in enumerate(ROWS)]),
        "is not whole",
    ),
    "a_label_each": (
        "t.csv",
        separated(rows=[(t, f"c{n}") for n, (t, _) in enumerate(ROWS)]),
        "40 different classes in 40",
    ),
    "one_class": ("t.csv", separated(rows=[(t, "a") for t, _ in ROWS]), "all texts to train on have the class 'a'"),
    "splits_that_differ": (
        "t.csv",
        separated(
            header=("text", "label", "set", "fold"),
            rows=[(*row, ("train", "val")[n % 2], ("val", "train")[n % 2]) for n, row in enumerate(ROWS)],
        ),
        "its columns set, fold say different splits",
    ),
    "mistyped_split": ("t.csv", with_column("split", ["train", "tset"]), "'tset' is not a split"),
    "no_training_split": ("t.csv", with_column("split", ["val", "test"]), "no text. Texts of two classes"),
    "unknown_suffix": ("t.xls", separated(), "not a table by its name"),
    "packed_parquet": ("t.parquet.gz", parquet(), "not a table by its name"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_odd_file_that_cannot_be_right_is_refused_in_words(tmp_path, kind):
    name, content, message = REFUSED[kind]
    with pytest.raises(DataError, match=message) as raised:
        prepared(written(tmp_path, name, content), val_share=0, test_share=0)
    assert name in str(raised.value)
    assert len(str(raised.value)) < 700


def test_there_are_enough_odd_files():
    assert len(READ) + len(REFUSED) >= 80


@pytest.mark.parametrize("class_name", ["nan", "NA", "None", "null", "N/A"])
def test_what_programs_write_for_missing_is_a_class_like_any_other_and_counted(tmp_path, caplog, class_name):
    path = written(
        tmp_path, "t.csv", separated(rows=[(t, class_name if n % 2 else "b") for n, (t, _) in enumerate(ROWS)])
    )
    assert set(prepared(path, test_share=0).spec.target.names) == {"b", class_name}
    assert f"20 cells of column 'label' are {class_name!r}, as programs write what is missing" in caplog.text


def test_classes_may_be_numbers_of_any_length(tmp_path):
    classes = ("9" * 5000, "8" * 5000, "7")
    rows = [(text, classes[n % 3]) for n, (text, _) in enumerate(ROWS)]
    found = prepared(written(tmp_path, "t.csv", separated(rows=rows)), test_share=0)
    assert set(found.spec.target.names) == set(classes)


def test_a_delimiter_may_be_insisted_on(tmp_path):
    path = written(tmp_path, "t.csv", separated(":"))
    assert len(prepared(path, delimiter=":", test_share=0).examples("train")) > 30
    assert read_texts(str(path), ReadText(delimiter=":"), pairs=False)[0].input == ROWS[0][0]
    assert dict(sections.Table(file=str(path), delimiter=";;").problems())["delimiter"].startswith(
        "';;' parts no cells"
    )
    with pytest.raises(DataError, match="--delimiter=;: 'a text' has no columns"):
        read_texts("a text", ReadText(delimiter=";"), pairs=False)


@pytest.mark.parametrize("kind", [kind for kind, (name, _, _) in READ.items() if "split" not in kind])
def test_what_is_read_to_train_on_is_read_to_predict_too(tmp_path, kind):
    name, content, _ = READ[kind]
    found = read_texts(str(written(tmp_path, name, content)), ReadText(column="text"), pairs=False)
    assert [example.input for example in found][: len(ROWS)] == [text for text, _ in ROWS]
