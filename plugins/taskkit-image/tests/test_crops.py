"""Training on random crops of the image in its file, as torchvision's RandomResizedCrop: real JPEG files."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.transforms import v2

import taskkit
from taskkit import Classes, DataError, DataSpec, Example
from taskkit.engine import build
from taskkit.engine.loaders import batches_of, make_loaders
from taskkit.engine.signals import Preempted
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load
from taskkit_image import sections
from taskkit_image.arrays import Box, ImageShape, read_part
from taskkit_image.facts import Images
from taskkit_image.folder import Folder
from taskkit_image.processor import CroppingProcessor, ImageProcessor

RECIPE = """
title: Crops
seed: 3
task: {name: image.classification}
model: {name: image.mlp, image_size: 32, widths: [8]}
data: {name: image.folder, root: photos, val_share: 0.2, crop_from: original, min_crop: 0.08}
loader: {batch_size: 4}
optim: {lr: 1.0e-3}
trainer: {max_epochs: 3, accelerator: cpu, precision: 32-true}
meter: {every_n_steps: 1}
"""


def drawn(path, width=1200, height=900, seed=0, **options):
    """A photo-like JPEG: a soft ground and a few hundred thin lines, which a small copy of it cannot show."""
    random = np.random.default_rng(seed)
    ground = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(ground).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for x in range(0, width, 8):
        pen.line([(x, 0), (x, height)], fill="black", width=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95, **options)
    return path


def cropping(size=32, min_crop=0.08, stored_size=None, channels=3):
    facts = Images(channels, min_crop=min_crop, stored_size=stored_size)
    return ImageProcessor.for_data(DataSpec(facts, Classes(("a", "b")), "f"), size, "image.mlp")


def view(processor, example, seed=0):
    (kept,) = processor.drawable(example)
    return processor.draw(kept, torch.Generator().manual_seed(seed))["image"]


def detail(image):
    """How much neighbouring pixels of a row differ."""
    return float((image[..., 1:].float() - image[..., :-1].float()).abs().mean())


def test_a_view_is_what_torchvision_cuts_out_of_the_same_pixels(tmp_path):
    path = drawn(tmp_path / "a.jpg", 300, 200)
    processor = cropping(size=96, min_crop=0.3)
    for seed in range(5):
        torch.manual_seed(seed)
        expected = v2.RandomResizedCrop(96, scale=(0.3, 1.0))(Image.open(path).convert("RGB"))
        found = view(processor, Example("a", path), seed).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(found, np.asarray(expected))


def test_views_differ_by_number_alone_and_leave_torchs_generator_alone(tmp_path):
    example, processor = Example("a", drawn(tmp_path / "a.jpg"), 1), cropping()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    views = [view(processor, example, seed) for seed in range(6)]
    assert torch.equal(torch.get_rng_state(), before)
    assert len({image.numpy().tobytes() for image in views}) == 6
    assert all(torch.equal(view(processor, example, seed), image) for seed, image in enumerate(views))
    assert all(image.shape == (3, 32, 32) and image.dtype == torch.uint8 for image in views)
    (kept,) = processor.drawable(example)
    assert processor.draw(kept, torch.Generator())["target"] == 1


@pytest.mark.parametrize("stored_size", [None, 450])
def test_a_sixteenth_of_the_area_has_more_detail_than_the_small_image_enlarged(tmp_path, stored_size):
    example, processor = Example("a", drawn(tmp_path / "a.jpg")), cropping(64, min_crop=0.0625, stored_size=stored_size)
    box = Box(top=300, left=400, height=225, width=300)  # a sixteenth
    scale = 1 if stored_size is None else stored_size / 900
    processor._box = lambda random, height, width: Box(*(round(side * scale) for side in box))
    sharp = view(processor, example)
    (small,) = processor.encode(example)
    enlarged = v2.functional.resized_crop(small["image"], 24, 24, 16, 16, [64, 64], antialias=True)
    assert detail(sharp) > 3 * detail(enlarged)


@pytest.mark.parametrize(("share", "decoded"), [(0.9, 4), (0.5, 2), (0.1, 1)])
def test_a_jpeg_is_decoded_no_larger_than_its_crop_needs_and_never_too_small(tmp_path, monkeypatch, share, decoded):
    path, sizes = drawn(tmp_path / "a.jpg", 800, 800), []
    crop = Image.Image.crop
    monkeypatch.setattr(Image.Image, "crop", lambda image, box: sizes.append(image.width) or crop(image, box))
    side = round(800 * share)
    found = read_part(path, ImageShape(3, 64, 64), lambda height, width: Box(40, 40, side, side))
    assert found.shape == (3, 64, 64)
    assert sizes == [800 // decoded]
    assert side // decoded >= 64


def test_a_crop_decoded_at_a_part_of_the_size_is_the_same_but_for_rounding(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=95)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    parts = [
        read_part(tmp_path / name, ImageShape(3, 64, 64), lambda height, width: Box(123, 77, 811, 1021))
        for name in ("a.jpg", "a.png")
    ]
    assert np.abs(parts[0].astype(int) - parts[1]).max() <= 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_crop_of_a_photo_held_sideways_is_upright(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what lies on the left is on top
    flat = Image.new("RGB", (120, 80), "blue")
    flat.paste("red", (0, 0, 60, 80))
    flat.save(tmp_path / f"a.{suffix}", exif=exif, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    image = view(cropping(16, min_crop=1.0), Example("a", tmp_path / f"a.{suffix}"))
    red, _, blue = image.float().mean(dim=2)
    assert red[:6].min() > 200 > 50 > red[-6:].max()
    assert blue[-6:].min() > 200 > 50 > blue[:6].max()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored_size", [None, 20])
def test_every_kind_of_image_is_cropped(tmp_path, mode, channels, stored_size):
    grey = Image.new("L", (40, 30), 200)
    picture = Image.new("I;16", (40, 30), 200 * 256) if mode == "I;16" else grey.convert(mode, dither=Image.Dither.NONE)
    picture.save(tmp_path / "a.png")
    image = view(cropping(16, stored_size=stored_size, channels=channels), Example("a", tmp_path / "a.png"))
    assert image.shape == (channels, 16, 16)
    expected = 255 if mode == "1" else 200
    assert (image.float() - expected).abs().max() <= 1


def test_what_is_judged_is_what_it_was_and_what_is_kept_is_as_large_as_was_asked(tmp_path):
    example = Example("a", drawn(tmp_path / "a.jpg"), 1)
    plain = ImageProcessor(3, 32, 32)
    for processor in (cropping(), cropping(stored_size=100)):
        (judged,), (before,) = processor.encode(example), plain.encode(example)
        assert torch.equal(judged["image"], before["image"])
        assert processor.state_dict() == plain.state_dict()
    (whole,) = cropping().drawable(example)
    assert bytes(whole["file"].numpy()) == example.input.read_bytes()
    (stored,) = cropping(stored_size=100).drawable(example)
    assert stored["image"].shape == (3, 100, 133)
    (smaller,) = cropping(stored_size=2000).drawable(example)
    assert smaller["image"].shape == (3, 900, 1200)


def test_images_in_memory_are_cropped_too():
    image = torch.arange(60 * 80).view(1, 60, 80).to(torch.uint8).repeat(3, 1, 1)
    assert view(cropping(), Example("a", image)).shape == (3, 32, 32)


def test_a_stored_size_that_would_be_enlarged_is_refused():
    with pytest.raises(DataError, match=r"data.stored_size is 31, and the network takes 32×32 pixels"):
        cropping(stored_size=31)


def test_a_processor_with_a_way_of_its_own_is_refused():
    class Own(ImageProcessor):
        pass

    facts = DataSpec(Images(3, min_crop=0.1), Classes(("a", "b")), "f")
    with pytest.raises(DataError, match=r"data.crop_from is original, which Own does not know"):
        Own.for_data(facts, 32, "image.own")


def test_settings_that_would_do_nothing_are_refused():
    assert not list(sections.Folder(root=".", crop_from="original", stored_size=50).problems())
    (one,) = sections.Folder(root=".", crop_from="original", augment=False).problems()
    assert one[0] == "crop_from"
    (other,) = sections.Folder(root=".", stored_size=50).problems()
    assert other[0] == "stored_size"


def test_what_is_cut_out_already_is_mirrored_alone(photos):
    root = photos(*(f"{kind}/{number}.png" for kind in "ab" for number in range(9)))
    images = torch.randint(256, (8, 3, 6, 6), dtype=torch.uint8)
    for flip in (True, False):
        data = Folder(sections.Folder(root=str(root), crop_from="original", flip=flip))
        found = data.augment({"image": images})["image"]
        mirrored = [torch.equal(after, before.flip(-1)) for after, before in zip(found, images, strict=True)]
        assert all(
            turned or torch.equal(after, before) for turned, after, before in zip(mirrored, found, images, strict=True)
        )
        assert any(mirrored) == flip


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder of large JPEGs of two classes, and a recipe."""
    place = tmp_path_factory.mktemp("large")
    for number in range(10):
        drawn(place / f"photos/a/{number}.jpg", 640, 480, seed=number)
        drawn(place / f"photos/b/{number}.jpg", 480, 640, seed=100 + number)
    (place / "crops.yaml").write_text(RECIPE)
    return place


@pytest.fixture
def here(large, monkeypatch):
    """The current directory is that of the large JPEGs, and nothing is encoded yet."""
    monkeypatch.chdir(large)
    yield large
    for left in large.glob("out*"):
        shutil.rmtree(left)


def run(out, *changes):
    return taskkit.run("crops.yaml", changes, out=out)


def losses(ended):
    lines = map(json.loads, (ended.path / "metrics.jsonl").read_text().splitlines())
    return [line["train/loss"] for line in lines if "train/loss" in line]


def test_a_run_is_the_same_ahead_and_lazy_with_and_without_workers(here):
    runs = [
        run("out-ahead"),
        run("out-lazy", "loader.encode=lazy"),
        run("out-workers", "loader.encode=lazy", "loader.workers=2"),
    ]
    assert losses(runs[0]) == losses(runs[1]) == losses(runs[2])
    assert runs[0].metrics == runs[1].metrics == runs[2].metrics
    assert taskkit.load_run(runs[0].path).evaluate().metrics == runs[0].metrics
    resized = run("out-resized", "data.crop_from=resized")
    assert losses(resized) != losses(runs[0])
    stored = run("out-stored", "data.stored_size=40")
    assert losses(stored) != losses(runs[0])


def test_a_run_that_is_stopped_sees_the_same_crops_when_it_goes_on(here, monkeypatch):
    stopped, views, draw = here / "out-stopped", [], CroppingProcessor.draw

    def watched(processor, sample, random):
        made = draw(processor, sample, random)
        views.append(made["image"].numpy().tobytes())
        if len(views) == kill_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return made

    monkeypatch.setattr(CroppingProcessor, "draw", watched)
    kill_at = None
    straight = run("out-straight")
    expected, views = set(views), []
    kill_at = 14  # in the second of three epochs
    with pytest.raises(Preempted):
        run(stopped)
    ended = taskkit.resume(stopped)
    assert losses(ended) == losses(straight)
    assert ended.metrics == straight.metrics
    assert set(views) == expected
    assert len(expected) == 1 + 3 * 8  # all of three epochs differ, and one was drawn to try whether that can be done


def test_what_is_asked_of_training_images_outside_training_is_as_it_is_judged(here):
    """As by a task that concludes, and by a model that learns in one go."""
    recipe = load([Path("crops.yaml")], [], discover({"image"})).recipe
    prepared = build.prepare(build.data_module(recipe), recipe)
    built = build.build(recipe, prepared)
    loaders = make_loaders(built, prepared, lambda split: None)
    assert "file" in loaders["train"].encoded.fields
    train = prepared.examples("train")
    batches = list(batches_of(loaders, built, prepared, torch.device("cpu"), "train"))
    assert torch.cat([batch["example"] for batch in batches]).tolist() == [*range(len(train))]
    expected = [built.processor.encode(example)[0]["image"] for example in train]
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), torch.stack(expected))


MEMORY = """
import resource, sys
from pathlib import Path
import torch
from taskkit import Classes, DataSpec, Example
from taskkit_image.facts import Images
from taskkit_image.processor import ImageProcessor

processor = ImageProcessor.for_data(DataSpec(Images(3, min_crop=0.5), Classes(("a", "b")), "f"), 64, "image.mlp")
most = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
for number in range(6):
    (kept,) = processor.drawable(Example("a", Path(sys.argv[1])))
    processor.draw(kept, torch.Generator().manual_seed(number))
    most.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(most[-1] - most[0])
"""


def test_memory_is_that_of_one_decoded_picture_however_many_are_drawn(tmp_path):
    path = drawn(tmp_path / "a.jpg", 3000, 2000).with_suffix(".png")  # of which every pixel is decoded
    Image.open(tmp_path / "a.jpg").save(path, compress_level=1)
    done = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True)
    assert 1024 * int(done.stdout) < 20 * 3000 * 2000


def test_a_network_that_is_no_square_is_filled_by_a_photo_held_sideways(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = drawn(tmp_path / "a.jpg", 300, 200, exif=exif)
    assert read_part(path, ImageShape(3, 32, 16), lambda height, width: Box(0, 0, height, width)).shape == (3, 32, 16)


def test_a_file_that_is_cut_short_is_named(here, tmp_path):
    shutil.copytree("photos", tmp_path / "photos")
    whole = Path(tmp_path / "photos/b/7.jpg").read_bytes()
    Path(tmp_path / "photos/b/7.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^example 'b/7.jpg': this is not an image that can be read \("):
        run(tmp_path / "out", f"data.root={tmp_path / 'photos'}", "loader.drop_last=false")


def test_of_packed_originals_what_decides_the_crops_may_not_change() -> None:
    originals = Folder(sections.Folder(root="photos", crop_from="original"))
    assert originals.augment_settings == ("flip",)
    assert "min_crop" in Folder(sections.Folder(root="photos")).augment_settings
