import pytest
import torch

from taskkit_image import augment

DISTORTIONS = {
    "affine": lambda images: augment.affine(images, degrees=15, scale=0.15, shift=0.1, shear=10),
    "resized_crop": lambda images: augment.resized_crop(images, smallest=0.35, flip=True),
    "flip": augment.flip,
    "move": lambda images: augment.move(images, 4),
    "erase": lambda images: augment.erase(images, share=0.33),
}


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randint(256, (16, 3, 20, 24), dtype=torch.uint8)


@pytest.fixture(params=DISTORTIONS)
def distort(request):
    return DISTORTIONS[request.param]


def test_bytes_stay_bytes_of_the_same_shape(distort, images):
    distorted = distort(images)
    assert distorted.shape == images.shape
    assert distorted.dtype == torch.uint8


def test_the_batch_given_is_not_touched(distort, images):
    before = images.clone()
    distort(images)
    assert torch.equal(images, before)


def test_the_same_seed_gives_the_same_distortion(distort, images):
    torch.manual_seed(1)
    first = distort(images)
    torch.manual_seed(1)
    again = distort(images)
    other = distort(images)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_image_is_distorted_in_its_own_way(distort, images):
    same = images[:1].expand(16, -1, -1, -1).contiguous()
    distorted = distort(same)
    assert len({image.numpy().tobytes() for image in distorted}) > 1


def test_no_strength_changes_nothing(images):
    assert torch.equal(augment.affine(images, degrees=0, scale=0, shift=0, shear=0), images)
    assert torch.equal(augment.move(images, 0), images)
    assert torch.equal(augment.resized_crop(images, smallest=1, flip=False), images)


def test_moving_shifts_pixels_by_whole_numbers():
    dot = torch.zeros(64, 1, 9, 9, dtype=torch.uint8)
    dot[:, :, 4, 4] = 200
    moved = augment.move(dot, 2)
    assert (moved.flatten(1) == 200).sum(dim=1).tolist() == [1] * 64
    assert (moved.sum(dim=0)[0] > 0).nonzero().min() == 2
    assert (moved.sum(dim=0)[0] > 0).nonzero().max() == 6


def test_turning_keeps_the_middle_and_the_brightness():
    bar = torch.zeros(8, 1, 21, 21, dtype=torch.uint8)
    bar[:, :, 3:18, 8:13] = 255
    turned = augment.affine(bar, degrees=45, scale=0, shift=0, shear=0)
    assert turned[:, :, 10, 10].min() == 255
    assert torch.allclose(turned.float().mean((1, 2, 3)), bar.float().mean((1, 2, 3)), rtol=0.05)


def test_about_half_of_the_images_lose_a_rectangle(images):
    many = images.repeat(40, 1, 1, 1)
    changed = (augment.erase(many, share=0.33) != many).any(dim=1).flatten(1).float().mean(dim=1)
    assert 0.4 < (changed > 0).float().mean() < 0.6
    assert changed.max() < 0.5
