import shutil

from PIL import Image

from taskkit import Classes
from taskkit_image import sections
from taskkit_image.folder import Folder


def inspected(root, **settings):
    data = Folder(sections.Folder(root=str(root), **settings)).prepare(Classes)
    return {problem.kind: problem for problem in data.inspect() if problem.severity != "info"}


def told(root):
    return {
        problem.kind: problem.message
        for problem in Folder(sections.Folder(root=str(root))).prepare(Classes).inspect()
        if problem.severity == "info"
    }


def test_good_images_have_no_problems(photos):
    root = photos(*(f"{split}/{kind}/{n}.png" for split in ("train", "val", "test") for kind in "ab" for n in range(3)))
    assert inspected(root) == {}


def test_what_good_images_are_is_told(photos):
    root = photos(*(f"{split}/{kind}/{n}.png" for split in ("train", "val", "test") for kind in "ab" for n in range(3)))
    assert told(root) == {
        "images": "18 of 18 images can be read: 10 by 12 pixels, coloured.",
        "copies": "18 images were compared; none is there twice.",
        "classes": "2 classes:\n  a  3 train, 3 val, 3 test\n  b  3 train, 3 val, 3 test",
    }
    photos("train/a/large.png", size=(40, 20))
    assert told(root)["images"] == (
        "19 of 19 images can be read: 10 to 20 pixels wide, 12 to 40 high, 10 by 12 in the middle, coloured."
    )


def test_grey_images_are_called_grey_whatever_they_are_saved_as(photos):
    splits = [f"{split}/{kind}/{n}" for split in ("train", "val", "test") for kind in "ab" for n in range(2)]
    root = photos(*(f"{name}.png" for name in splits), mode="L")
    assert told(root)["images"].endswith("10 by 12 pixels, grey.")
    for name in splits[:3]:
        Image.open(root / f"{name}.png").convert("RGB").save(root / f"{name}.png")
    assert told(root)["images"].endswith("10 by 12 pixels, grey.")
    photos("train/a/0.png")
    assert told(root)["images"].endswith("10 by 12 pixels, 11 of them grey, the others coloured.")


def test_planted_problems_are_all_found(photos):
    names = [f"{split}/{kind}/{n}.png" for split in ("train", "val", "test") for kind in "ab" for n in range(3)]
    root = photos(*names, *(f"train/b/more{n}.png" for n in range(40)))
    photos("train/a/grey.png", mode="L")
    photos("train/c/0.png")
    (root / "train/a/0.png").write_bytes(b"no image")
    shutil.copy(root / "train/a/1.png", root / "train/a/copy.png")
    shutil.copy(root / "train/a/2.png", root / "test/a/leak.png")
    shutil.copy(root / "train/b/1.png", root / "train/c/wrong.png")

    found = inspected(root)

    assert found["unreadable"].examples == ("train/train/a/0.png",)
    assert found["unreadable"].severity == "error"
    assert found["mode"].examples == ("train/train/a/grey.png",)
    assert "1 of" in found["mode"].message
    assert found["duplicate"].severity == "warning"
    assert found["leak"].examples == ("train/train/a/2.png", "test/test/a/leak.png")
    assert found["leak"].severity == "error"
    assert found["label"].examples == ("train/train/b/1.png", "train/train/c/wrong.png")
    assert found["empty"].message == "1 of 3 classes have no image in the test split: c."
    assert "'b' has 43 training images, 'c' has 2" in found["skew"].message


def test_the_same_pixels_in_another_format_are_a_duplicate(photos):
    root = photos("train/a/1.png", "train/b/1.png", "test/a/1.png", "val/b/1.png")
    Image.open(root / "train/a/1.png").save(root / "test/a/1.bmp")
    assert inspected(root)["leak"].examples == ("train/train/a/1.png", "test/test/a/1.bmp")
