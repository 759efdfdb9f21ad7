import numpy as np
import pytest
import torch
from PIL import Image

from taskkit import Classes, DataError, DataSpec, Example
from taskkit_image.arrays import to_channels
from taskkit_image.decode import pixels
from taskkit_image.facts import Images
from taskkit_image.processor import ImageProcessor

GRADIENT = torch.arange(12 * 10).view(1, 12, 10).to(torch.uint8).repeat(3, 1, 1)


def saved(path, image=GRADIENT, mode="RGB", **options):
    Image.fromarray(image.permute(1, 2, 0).numpy()).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_a_lossless_file_is_read_as_it_was_written(tmp_path, suffix):
    assert torch.equal(pixels(saved(tmp_path / f"a.{suffix}"), channels=3), GRADIENT)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_comes_out_with_the_channels_asked_for(tmp_path, mode, channels):
    path = saved(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), mode=mode)
    image = pixels(path, channels)
    assert image.dtype == torch.uint8
    assert image.shape == (channels, 12, 10)


def test_16_bits_become_8(tmp_path):
    deep = np.arange(120, dtype=np.uint16).reshape(12, 10) * 256 + 7
    Image.fromarray(deep).save(tmp_path / "a.png")
    Image.fromarray(deep).save(tmp_path / "a.tif")
    assert torch.equal(pixels(tmp_path / "a.png", channels=1), GRADIENT[:1])
    assert torch.equal(pixels(tmp_path / "a.tif", channels=1), GRADIENT[:1])


def test_a_photo_taken_sideways_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    flat = torch.zeros(3, 8, 16, dtype=torch.uint8)
    assert pixels(saved(tmp_path / "a.jpg", flat, exif=exif), channels=3).shape == (3, 16, 8)
    assert pixels(saved(tmp_path / "a.tif", flat, exif=exif), channels=3).shape == (3, 16, 8)


@pytest.mark.parametrize(("enough", "shape"), [(75, (75, 100)), (76, (150, 200)), (160, (300, 400)), (700, (600, 800))])
def test_a_large_photo_is_decoded_no_larger_than_is_enough(tmp_path, enough, shape):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (800, 600)).save(path)
    assert pixels(path, 3, enough=enough).shape == (3, *shape)
    assert pixels(path, 3).shape == (3, 600, 800)


def test_a_large_photo_becomes_what_it_becomes_decoded_whole(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.fromarray(noise).resize((800, 600), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=90, exif=exif)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png", exif=exif)
    processor = ImageProcessor(3, 48, 32, crop=0.875)
    reduced, whole = (processor.encode(Example("a", tmp_path / name))[0]["image"] for name in ("a.jpg", "a.png"))
    assert (reduced.int() - whole.int()).abs().max() <= 3
    assert not torch.equal(reduced, whole)  # Else it was not reduced.


def test_of_a_moving_image_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixels(tmp_path / "a.gif", channels=3)[:, 0, 0].tolist() == [255, 0, 0]


def test_grey_made_rgb_and_back_is_unchanged():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(to_channels(to_channels(grey, 3), 1), grey)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: this is not an image that can be read"):
        pixels(path, channels=3)


def test_a_truncated_image_is_an_error_not_half_an_image(tmp_path):
    noise = torch.randint(256, (3, 64, 64), dtype=torch.uint8)
    for suffix in ("jpg", "png", "bmp"):
        path = saved(tmp_path / f"a.{suffix}", noise)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match=path.name):
            pixels(path, channels=3)


def test_a_sample_is_bytes_of_the_networks_size_and_the_class():
    (sample,) = ImageProcessor(3, 8, 8).encode(Example("a", GRADIENT, target=2))
    assert sample["image"].shape == (3, 8, 8)
    assert sample["image"].dtype == torch.uint8
    assert sample["target"].dtype == torch.int64
    assert sample["target"] == 2


def test_a_sample_without_a_target_has_none():
    (sample,) = ImageProcessor(3, 8, 8).encode(Example("a", GRADIENT))
    assert set(sample) == {"image"}


def test_an_image_of_the_right_size_passes_untouched():
    (sample,) = ImageProcessor(3, 12, 10).encode(Example("a", GRADIENT))
    assert torch.equal(sample["image"], GRADIENT)


def test_the_middle_is_kept_and_the_shape_not_squeezed():
    wide = torch.zeros(1, 8, 32, dtype=torch.uint8)
    wide[:, :, 12:20] = 255
    (sample,) = ImageProcessor(1, 8, 8).encode(Example("a", wide))
    assert sample["image"].float().mean() == 255


def test_a_crop_below_one_cuts_the_border_off():
    framed = torch.full((1, 16, 16), 255, dtype=torch.uint8)
    framed[:, 4:12, 4:12] = 0
    (sample,) = ImageProcessor(1, 16, 16, crop=0.5, interpolation="nearest").encode(Example("a", framed))
    assert sample["image"].max() == 0


def test_encoding_is_deterministic_and_survives_saving(tmp_path):
    first = ImageProcessor(1, 7, 9, crop=0.9, interpolation="bicubic")
    second = ImageProcessor(3, 1, 1)
    second.load_state_dict(first.state_dict())
    example = Example("a", saved(tmp_path / "a.png"))
    assert torch.equal(first.encode(example)[0]["image"], second.encode(example)[0]["image"])


def test_a_batch_has_the_tensor_that_images_promise_with_the_channels_of_the_network():
    processor = ImageProcessor(3, 8, 8)
    grey = [torch.zeros(1, size, size, dtype=torch.uint8) for size in (12, 9)]
    batch = processor.collate([processor.encode(Example("a", image))[0] for image in grey])
    assert Images(1).tensors() == {"image": "uint8 (batch, channels, height, width)"}
    assert batch["image"].dtype == torch.uint8
    assert batch["image"].shape == (2, 3, 8, 8)


def test_images_of_different_sizes_need_an_image_size():
    spec = DataSpec(Images(3), Classes(("a", "b")), "f")
    with pytest.raises(DataError, match=r"image\.vit: .*model\.image_size"):
        ImageProcessor.for_data(spec, None, "image.vit")
    assert ImageProcessor.for_data(spec, 32, "image.vit").height == 32


def test_an_image_so_long_and_thin_that_it_would_fill_the_memory_is_refused():
    thin = torch.zeros(3, 1, 50_000, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"50,000×1 pixels would become 11,200,000×224. At most 89,478,485 were"):
        ImageProcessor(3, 224, 224).encode(Example("a", thin))


def test_the_limit_and_the_background_are_those_that_the_data_state(tmp_path):
    spec = DataSpec(Images(3, 4, 4, max_pixels=16, background="#102030"), Classes(("a", "b")), "f")
    processor = ImageProcessor.for_data(spec, None, "image.vit")
    again = ImageProcessor(1, 1, 1)
    again.load_state_dict(processor.state_dict())
    Image.new("RGBA", (4, 4)).save(tmp_path / "clear.png")
    (sample,) = again.encode(Example("a", tmp_path / "clear.png"))
    assert sample["image"][:, 0, 0].tolist() == [0x10, 0x20, 0x30]
    Image.new("RGB", (4, 5)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match=r"4×5 pixels. At most 16 pixels were expected, data.max_pixels"):
        again.encode(Example("a", tmp_path / "large.png"))
