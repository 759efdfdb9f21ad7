import os
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from taskkit import Classes, DataError
from taskkit_image import sections
from taskkit_image.decode import pixels
from taskkit_image.facts import Images
from taskkit_image.folder import Folder
from taskkit_image.processor import ImageProcessor

MANY = [f"{kind}/{number:02d}.png" for kind in ("cat", "dog") for number in range(40)]


def folder(**settings):
    return Folder(sections.Folder(**{name: str(v) if isinstance(v, Path) else v for name, v in settings.items()}))


def prepared(**settings):
    return folder(**settings).prepare(Classes)


def ids(data, split):
    return [example.id for example in data.examples(split)]


def written(root, text, name="table.csv"):
    (root / name).write_text(text)
    return root / name


def test_class_folders_are_split_by_a_hash_that_never_moves(photos):
    root = photos(*MANY)
    data = prepared(root=root)
    before = {split: ids(data, split) for split in ("train", "val", "test")}
    assert sorted(chain(*before.values())) == sorted(MANY)
    assert all(before.values())
    assert data.spec.target.names == ("cat", "dog")
    assert sum(data.spec.target.counts) == len(before["train"])

    photos("ant/00.png", "cat/zz.png")
    data = prepared(root=root)
    assert data.spec.target.names == ("ant", "cat", "dog")
    for split, names in before.items():
        assert set(names) <= set(ids(data, split))


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid", "Testing"), ("train", "dev", "test")]
)
def test_split_folders_are_used_as_they_are(photos, names):
    root = photos(*(f"{name}/{kind}/{n}.jpg" for name in names for kind in "ab" for n in range(3)))
    data = prepared(root=root)
    for split, name in zip(("train", "val", "test"), names, strict=True):
        assert ids(data, split) == [f"{name}/{kind}/{n}.jpg" for kind in "ab" for n in range(3)]
    assert data.spec.target == Classes(("a", "b"), (3, 3))


def test_a_split_that_is_missing_is_taken_from_training(photos):
    root = photos(*(f"train/{name}" for name in MANY), "test/cat/0.png", "test/dog/0.png")
    data = prepared(root=root)
    assert ids(data, "test") == ["test/cat/0.png", "test/dog/0.png"]
    assert ids(data, "val")
    assert len(ids(data, "train")) + len(ids(data, "val")) == len(MANY)


def test_class_folders_may_have_folders_of_their_own(photos):
    root = photos("train/a/x/1.png", "train/a/y/1.png", "train/b/1.png", "test/a/1.png")
    data = prepared(root=root, val_share=0)
    assert ids(data, "train") == ["train/a/x/1.png", "train/a/y/1.png", "train/b/1.png"]
    assert ids(data, "val") == []


def test_classes_that_are_numbers_are_in_the_order_of_numbers(photos):
    spec = prepared(root=photos("2/0.png", "10/0.png", "1/0.png"), val_share=0, test_share=0).spec
    assert spec.target.names == ("1", "2", "10")


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_table_of_paths_and_labels_with_splits(photos, kind):
    root = photos("1.png", "2.png", "3.png", "4.png")
    columns = {
        "file": ["1.png", "2.png", "3.png", "4.png"],
        "kind": ["07", "7", "07", "7"],
        "split": ["train", "train", "Validation", "test"],
    }
    table = root / f"table.{kind}"
    if kind == "parquet":
        pa.parquet.write_table(pa.table(columns), table)
    else:
        separator = "," if kind == "csv" else "\t"
        rows = [columns.keys(), *zip(*columns.values(), strict=True)]
        table.write_text("\n".join(separator.join(row) for row in rows))
    data = prepared(table=table, path_column="file", label_column="kind")
    assert data.spec.target.names == ("07", "7")
    assert ids(data, "train") == ["1.png", "2.png"]
    assert ids(data, "val") == ["3.png"]
    assert [data.spec.target.names[example.target] for example in data.examples("test")] == ["7"]


def test_a_table_without_splits_is_split_by_a_hash(photos):
    root = photos(*MANY)
    table = written(root, "path,label\n" + "".join(f"{name},{name[:3]}\n" for name in MANY))
    data = prepared(table=table)
    by_folder = prepared(root=root)
    assert ids(data, "test") == ids(by_folder, "test")


def test_paths_in_a_table_may_be_relative_to_another_folder(photos, tmp_path):
    root = photos("1.png", "2.png")
    table = written(tmp_path, "path,label\n1.png,a\n2.png,b\n")
    data = prepared(root=root, table=table, val_share=0, test_share=0)
    assert ids(data, "train") == ["1.png", "2.png"]


def test_a_table_of_windows_and_labels_that_measure(photos, caplog):
    root = photos("pics/1.png", "pics/2.png")
    table = written(root, "path;label\npics\\1.png;1,5\npics\\2.png;2\n")
    data = prepared(table=table, val_share=0, test_share=0)
    assert ids(data, "train") == ["pics/1.png", "pics/2.png"]
    assert data.spec.target.names == ("1,5", "2")
    assert "1 of 2 labels look like numbers with decimal commas, such as '1,5'" in caplog.text


def test_images_of_one_size_state_it_and_others_do_not(photos):
    root = photos("a/1.png", "b/1.png", size=(20, 30))
    assert prepared(root=root, test_share=0).spec.input == Images(3, 20, 30)
    photos("b/2.png", size=(20, 31))
    assert prepared(root=root, test_share=0).spec.input == Images(3)


def test_the_fingerprint_is_that_of_the_content_the_labels_and_the_splits(photos):
    root = photos(*MANY)
    first = prepared(root=root).spec.fingerprint
    assert prepared(root=root).spec.fingerprint == first
    assert prepared(root=root, test_share=0.5).spec.fingerprint != first
    Image.fromarray(np.zeros((12, 10, 3), np.uint8)).save(root / MANY[0])
    assert prepared(root=root).spec.fingerprint != first


def test_files_that_have_not_changed_are_not_read_again(photos):
    root = photos(*MANY)
    first = prepared(root=root).spec.fingerprint
    changed, status = root / MANY[0], (root / MANY[0]).stat()
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert prepared(root=root).spec.fingerprint == first


def test_an_unreadable_file_is_named_when_it_is_read_and_does_not_hide_the_size(photos):
    root = photos("a/1.png", "a/2.png", "b/1.png")
    (root / "a/2.png").write_bytes(b"no image")
    data = prepared(root=root, val_share=0, test_share=0)
    assert data.spec.input == Images(3, 12, 10)
    with pytest.raises(DataError, match=r"a/2\.png"):
        ImageProcessor(3, 12, 10).encode(data.examples("train")[1])


def test_files_that_are_no_images_are_left_out_with_a_word(photos, caplog):
    root = photos("a/1.png", "b/1.png")
    (root / "a/notes.txt").write_text("hello")
    (root / "a/.DS_Store").write_text("")
    data = prepared(root=root, val_share=0, test_share=0)
    assert ids(data, "train") == ["a/1.png", "b/1.png"]
    assert "1 left out: 1 of another kind by name (a/notes.txt)" in caplog.text


def test_a_class_of_nothing_but_heic_says_what_to_make_of_it(photos):
    root = photos("a/1.png", "b/1.png")
    (root / "b/1.png").rename(root / "b/IMG_0001.HEIC")
    with pytest.raises(DataError, match=r"b: it has no images.* Convert its 1 HEIC files to JPEG"):
        prepared(root=root)


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        ([], [], "it has no folders.*list them with their classes in a table, which data.table names"),
        (["a/1.png"], ["b"], r"b: it has no images"),
        (["a/1.png", "2.png"], [], r"2\.png lies beside the class folders"),
        (["train/a/1.png", "cats/1.png"], [], r"folders of splits \(train\) and other folders \(cats\)"),
        (["test/a/1.png"], [], "no folder train"),
        (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], [], r"\(train, val, valid\) are the same split"),
        (["train/a/1.png", "test/b/1.png"], [], r"test/b/1\.png: no training example has its class 'b'. One of a was"),
    ],
)
def test_a_layout_that_cannot_be_understood_is_explained(photos, files, folders, message):
    root = photos(*files, "x/x.png") if not files else photos(*files)
    if not files:
        (root / "x/x.png").unlink()
        (root / "x").rmdir()
    for folder in folders:
        (root / folder).mkdir()
    with pytest.raises(DataError, match=message):
        prepared(root=root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,labels\n1.png,a\n", "no column 'label'. It has path, labels. Did you mean 'labels'?"),
        ("path,label\n1.png,\n2.png,b\n", "row 1: column 'label' is empty"),
        ("path,label\n1.png,a\n2.png,\n", "row 2: column 'label' is empty"),
        ("path,label\n1.png,a\n,b\n", "row 2: column 'path' is empty"),
        ("path,label\n1.png,a\n3.png,b\n4.png,b\n", r"row 2: there is no file .*3\.png \(2 of 3 are missing\)"),
        ("path,label,split\n1.png,a,train\n2.png,a,tset\n", "row 2: 'tset' is not a split"),
        ("path,label,split\n1.png,a,train\n2.png,b,test\n", "row 2: no training example has its class 'b'"),
        ("path,label\n1.png,a\n1.png,a\n", r"row 2: .*1\.png is in the (train|test|val) split twice"),
        ("path,label\n1.png,a,b,c\n", "the header has 2 cells, the row that begins here 4"),
        ("", "it is empty"),
    ],
)
def test_a_mistake_in_a_table_is_explained_with_its_row(photos, text, message):
    root = photos("1.png", "2.png")
    with pytest.raises(DataError, match=message):
        prepared(table=written(root, text))


def test_a_label_that_is_not_a_number_in_parquet_is_found(photos):
    root = photos("1.png", "2.png")
    pa.parquet.write_table(pa.table({"path": ["1.png", "2.png"], "label": [1.0, float("nan")]}), root / "t.parquet")
    with pytest.raises(DataError, match="row 2: column 'label' is empty"):
        prepared(table=root / "t.parquet")


def test_a_file_that_is_no_parquet_is_said_so(photos):
    root = photos("1.png")
    with pytest.raises(DataError, match=r"t\.parquet: it cannot be read"):
        prepared(table=written(root, "hello", "t.parquet"))


def test_augmenting_can_be_turned_off(photos):
    root = photos("a/1.png", "b/1.png")
    batch = {"image": torch.randint(256, (4, 3, 12, 10), dtype=torch.uint8), "target": torch.arange(4)}
    quiet, loud = folder(root=root, augment=False), folder(root=root)
    assert quiet.augment(batch) is batch
    assert not torch.equal(loud.augment(batch)["image"], batch["image"])
    assert torch.equal(loud.augment(batch)["target"], batch["target"])


def test_of_files_with_several_pictures_it_is_said_that_the_first_is_read(photos, caplog):
    root = photos("a/1.png", "b/1.png")
    Image.new("L", (4, 4)).save(root / "a/2.gif", save_all=True, append_images=[Image.new("L", (4, 4), 9)])
    for _ in range(2):
        caplog.clear()
        prepared(root=root, val_share=0, test_share=0)
        assert "1 of 3 files hold several pictures, of which the first is read: a/2.gif" in caplog.text


def test_an_orientation_counts_in_the_size_that_is_stated_and_one_that_is_none_does_not(photos):
    root = photos("a/1.png", "b/1.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a/2.jpg", "a/3.webp", "a/4.tif"):
        Image.new("RGB", (12, 10)).save(root / name, exif=exif)
    assert prepared(root=root, val_share=0, test_share=0).spec.input == Images(3, 12, 10)
    text = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\x006\0\0\0\0\0\0\0"
    Image.new("RGB", (10, 12)).save(root / "b/2.jpg", exif=text)
    assert prepared(root=root, val_share=0, test_share=0).spec.input == Images(3, 12, 10)


def test_a_linked_folder_is_read_and_names_may_be_any_bytes(photos, tmp_path):
    root = photos("a/1.png", "b/1.png")
    elsewhere = tmp_path / "elsewhere"
    (root / "b").rename(elsewhere)
    (root / "b").symlink_to(elsewhere)
    (root / "a/1.png").rename(root / "a" / os.fsdecode(b"\xff\n.png"))
    data = prepared(root=root, val_share=0, test_share=0)
    assert ids(data, "train") == ["a/\\xff\n.png", "b/1.png"]


def test_an_image_beside_the_folders_of_splits_is_refused(photos):
    root = photos("train/a/1.png", "train/b/1.png", "lost.png")
    with pytest.raises(DataError, match=r"lost\.png lies beside the folders of splits, so its split is not known"):
        prepared(root=root)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [("background", "nocolour", "no colour"), ("background", "#ffffff00", "no colour")],
)
def test_a_background_is_a_colour(photos, setting, value, message):
    found = dict(sections.Folder(root=str(photos("a/1.png")), **{setting: value}).problems())
    assert message in found[setting]


def test_damaged_exif_is_counted_and_neither_ends_a_run_nor_reaches_the_terminal(photos, caplog, recwarn):
    root, upright = photos(*MANY), Image.Exif()
    upright[0x0112] = 6
    whole = upright.tobytes()
    damaged = {"a": whole[:10] + b"\xff" * 8 + whole[18:], "b": b"Exif\0\0XX*\0\xff\xff\xff\xff", "whole": whole}
    for name, content in damaged.items():
        Image.new("RGB", (8, 4)).save(root / "cat" / f"{name}.jpg", exif=content)
    # An XMP with bytes that are no text, which states how the picture was held.
    Image.new("RGB", (8, 4)).save(root / "dog" / "xmp.jpg", xmp=b'<x:xmpmeta tiff:Orientation="6" dc:x="\xa8"/>')
    prepared(root=root)
    assert "2 of 84 files have EXIF that is damaged" in caplog.text
    assert caplog.text.rstrip().endswith("cat/a.jpg, cat/b.jpg")
    read = {path.stem: pixels(path, 3).shape for path in root.glob("*/*.jpg")}
    assert read == {"a": (3, 4, 8), "b": (3, 4, 8), "whole": (3, 8, 4), "xmp": (3, 8, 4)}
    assert not recwarn.list


def test_what_systems_put_beside_folders_of_classes_is_no_class(photos, caplog):
    root = photos(*MANY[:3], *MANY[-3:])
    for name in ("__MACOSX/cat/._1.png", "Thumbs.db", "cat/desktop.ini"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    assert prepared(root=root).spec.target.names == ("cat", "dog")
    assert "left out" not in caplog.text
