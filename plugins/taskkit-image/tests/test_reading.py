import os

import pytest

from taskkit import DataError
from taskkit_image.processor import ImageProcessor
from taskkit_image.reading import read_images
from taskkit_image.sections import ReadImages


def ids(examples):
    return [example.id for example in examples]


def test_an_image_file_is_one_example_named_as_it_was_given(photos):
    path = photos("a.png") / "a.png"
    (example,) = read_images(str(path), ReadImages())
    assert (example.id, example.input, example.target) == (str(path), path, None)


def test_a_folder_is_its_images_in_order_and_what_else_is_there_is_named(photos, caplog):
    root = photos("b.png", "a.jpg", "more/c.PNG")
    read_images(str(root), ReadImages())
    assert caplog.text == ""
    (root / "more" / "d.heic").write_text("no image that can be read")
    (root / "e.png").symlink_to("none.png")
    assert ids(read_images(str(root), ReadImages())) == ["a.jpg", "b.png", "more/c.PNG"]
    assert "2 left out: 1 whose link leads nowhere (e.png), 1 of another kind by name (more/d.heic)" in caplog.text
    assert ".webp were expected" in caplog.text


def test_a_table_is_one_example_a_row(photos):
    root = photos("x/a.png", "b.png")
    (root / "list.csv").write_text("picture,label\nx/a.png,cat\nb.png,dog\n")
    examples = ImageProcessor(3, 8, 8).read(str(root / "list.csv"), ReadImages(column="picture"))
    assert ids(examples) == ["x/a.png", "b.png"]
    assert [example.input for example in examples] == [root / "x/a.png", root / "b.png"]


def test_a_name_that_is_not_utf_8_has_an_id_that_can_be_written(photos):
    root = photos("a.png")
    (root / "a.png").rename(root / os.fsdecode(b"caf\xe9.png"))
    (example,) = read_images(str(root), ReadImages())
    assert example.id == r"caf\xe9.png"
    assert ImageProcessor(3, 8, 8).encode(example)


def test_a_table_from_a_spreadsheet_is_read_as_the_options_say(photos):
    root = photos("grün.png", "b.png")
    (root / "list.csv").write_bytes("path|size\ngrün.png|1,5\nb.png|2,5\n".encode("cp850"))
    examples = read_images(str(root / "list.csv"), ReadImages(delimiter="|", encoding="cp850"))
    assert ids(examples) == ["grün.png", "b.png"]
    with pytest.raises(DataError, match=r"b\.png: --delimiter and --encoding say how a table .* is written, and this"):
        read_images(str(root / "b.png"), ReadImages(encoding="cp850"))
    with pytest.raises(DataError, match="`encoding` is ascii, and byte 13, 0x81, is not"):
        read_images(str(root / "list.csv"), ReadImages(encoding="ascii"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.png", r"none\.png: there is no such file. An image file, a folder of them or a table"),
        ("a" * 300, "there is no such file"),
        ("empty", "empty: no file in it is of a kind that is read"),
        ("list.csv", r"list\.csv: it has no column 'path'.*Set --column"),
        ("none.csv", r"none\.csv: it cannot be read"),
    ],
)
def test_what_holds_no_images_is_explained(photos, source, message):
    root = photos("a.png")
    (root / "empty").mkdir()
    (root / "list.csv").write_text("file\na.png\n")
    with pytest.raises(DataError, match=message):
        read_images(str(root / source), ReadImages())


def test_a_row_without_an_image_is_told_of_by_itself(photos):
    root = photos("a.png")
    (root / "list.csv").write_text(f"path,shade\na.png,1\n,2\nb.png,3\n{'c' * 300}.png,4\n")
    whole, empty, gone, long = read_images(str(root / "list.csv"), ReadImages())
    assert (whole.input, whole.fault, whole.columns["shade"]) == (root / "a.png", "", "1")
    assert (empty.id, empty.columns["shade"]) == (f"{root / 'list.csv'}: row 2", "2")
    assert "row 2: it names no image" in empty.fault
    for example in (gone, long):
        with pytest.raises(DataError, match="there is no such file"):
            ImageProcessor(3, 8, 8).encode(example)


def test_an_empty_word_is_not_the_folder_that_one_is_in(photos, monkeypatch):
    monkeypatch.chdir(photos("a.png"))
    with pytest.raises(DataError, match=r"an input is empty\. An image file, a folder or a table was expected"):
        read_images("", ReadImages())
