import io

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from taskkit import DataError
from taskkit_image.facts import Images


def opened(shown):
    return Image.open(io.BytesIO(shown.content))


def test_a_small_image_is_shown_to_the_pixel():
    pixels = torch.randint(0, 256, (3, 28, 20), dtype=torch.uint8)
    shown = Images(3).show(pixels)
    assert shown.suffix == ".png"
    assert torch.equal(pil_to_tensor(opened(shown)), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_one_is_a_thumbnail_of_its_file(photos, channels):
    root = photos("a.png")
    Image.effect_noise((1600, 900), 50).save(root / "large.png")
    shown = Images(channels).show(root / "large.png")
    assert (shown.suffix, opened(shown).size) == (".jpg", (192, 108))
    assert len(shown.content) < 20_000


def test_what_is_no_image_is_told(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        Images(3).show(tmp_path / "none.png")
