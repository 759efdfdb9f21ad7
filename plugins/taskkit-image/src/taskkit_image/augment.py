"""Random distortions of whole batches at once, on the device that the batch is on.

Each image of a batch is distorted differently by one call, without a loop over images. Images are uint8 of
(batch, channels, height, width) and stay so; all randomness is torch's global generator of the device.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def affine(images: Tensor, degrees: float, scale: float, shift: float, shear: float) -> Tensor:
    """Turn, grow, slant and move each image (batch, channels, height, width) at random.

    At most `degrees` of turn and `shear` of slant either way, a size between 1 - `scale` and 1 + `scale`,
    and a move of at most `shift` of the image's size. What comes into view is black.
    """
    turn = _uniform(images, math.radians(degrees))
    slant = _uniform(images, math.radians(shear)).tan()
    zoom = 1 / (1 + _uniform(images, scale))
    cos, sin = zoom * turn.cos(), zoom * turn.sin()
    # grid_sample maps places in the result to places in the source, each axis from -1 to 1.
    rows = [
        cos,
        slant * cos - sin,
        2 * _uniform(images, shift),
        sin,
        slant * sin + cos,
        2 * _uniform(images, shift),
    ]
    return _sample(images, torch.stack(rows, dim=1).view(-1, 2, 3), padding="zeros")


def resized_crop(images: Tensor, smallest: float, flip: bool) -> Tensor:
    """Cut a part out of each image (batch, channels, height, width) and stretch it; turn half of them left to right.

    The part has between `smallest` and all of the area, and sides that differ by at most a third.
    """
    count = len(images)
    area = torch.empty(count, device=images.device).uniform_(smallest, 1)
    ratio = _uniform(images, math.log(4 / 3)).exp().sqrt()
    width = (area.sqrt() * ratio).clamp(max=1)
    height = (area / width).clamp(max=1)
    width = area / height
    across = (1 - width) * _uniform(images, 1)
    down = (1 - height) * _uniform(images, 1)
    if flip:
        width = torch.where(torch.rand(count, device=images.device) < 0.5, -width, width)
    zero = torch.zeros_like(width)
    rows = [width, zero, across, zero, height, down]
    return _sample(images, torch.stack(rows, dim=1).view(-1, 2, 3), padding="reflection")


def flip(images: Tensor) -> Tensor:
    """Turn half of the images (batch, channels, height, width) left to right."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, images.flip(-1), images)


def move(images: Tensor, pixels: int) -> Tensor:
    """Move each image (batch, channels, height, width) by up to `pixels` along both axes; what comes in is black."""
    count, channels, height, width = images.shape
    padded = F.pad(images, [pixels] * 4)
    top, left = torch.randint(2 * pixels + 1, (2, count, 1), device=images.device)
    rows = top + torch.arange(height, device=images.device)  # (batch, height)
    columns = left + torch.arange(width, device=images.device)  # (batch, width)
    image = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def erase(images: Tensor, share: float) -> Tensor:
    """Fill a part of half of the images (batch, channels, height, width), up to `share`, with noise (Zhong, 2020)."""
    count, _, height, width = images.shape
    device = images.device
    area = torch.empty(count, device=device).uniform_(0.02, share)
    area = area * (torch.rand(count, device=device) < 0.5)
    ratio = _uniform(images, math.log(3)).exp().sqrt()
    inside_rows = _interval(height, area.sqrt() * ratio)
    inside_columns = _interval(width, area.sqrt() / ratio)
    hole = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    noise = torch.randint(256, images.shape, dtype=torch.uint8, device=device)
    return torch.where(hole, noise, images)


def _uniform(images: Tensor, bound: float) -> Tensor:
    """One number between -bound and bound for each image: (batch,)."""
    return torch.empty(len(images), device=images.device).uniform_(-bound, bound)


def _interval(size: int, share: Tensor) -> Tensor:
    """For each image a random run of places that covers `share` of an axis: bool (batch, size)."""
    start = torch.rand_like(share) * (1 - share).clamp(min=0)
    place = (torch.arange(size, device=share.device) + 0.5) / size
    return (place >= start[:, None]) & (place < (start + share)[:, None])


def _sample(images: Tensor, theta: Tensor, padding: str) -> Tensor:
    """Move the pixels as the matrices `theta` (batch, 2, 3) say."""
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode=padding, align_corners=False)
    return moved.round_().clamp_(0, 255).to(torch.uint8)
