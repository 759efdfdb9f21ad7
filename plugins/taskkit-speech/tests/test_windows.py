from itertools import pairwise

import pytest
import torch
from torch import nn

from taskkit_speech.windows import Grid, cut, parts

GRID = Grid(160, 400)


@pytest.mark.parametrize("samples", [8001, 12345, 20000, 16159, 64000, 100_003])
def test_every_frame_is_kept_once_and_in_its_place(samples):
    windows = cut(samples, 8000, 2000, GRID)
    assert len(windows) > 1
    kept = [window.start // GRID.hop + frame for window in windows for frame in range(window.first, window.last)]
    assert kept == list(range(GRID.frames(samples)))
    assert windows[-1].stop == samples


@pytest.mark.parametrize("samples", [8001, 12345, 20000, 64000, 100_003])
def test_windows_are_alike_and_overlap_as_much_as_they_should(samples):
    windows = cut(samples, 8000, 2000, GRID)
    assert all(window.start % GRID.hop == 0 for window in windows)
    assert all(window.stop - window.start == 8000 for window in windows[:-1])
    assert 8000 - GRID.hop <= windows[-1].stop - windows[-1].start <= 8000 + GRID.hop
    assert all(first.stop - second.start >= 2000 - GRID.hop for first, second in pairwise(windows))


def test_neighbours_part_in_the_middle_of_what_both_heard():
    first, second = cut(14000, 8000, 2000, GRID)
    heard_before = GRID.frames(first.stop - first.start) - first.last
    assert abs(heard_before - second.first) <= 1


def test_what_fits_is_one_window():
    assert cut(8000, 8000, 2000, GRID) == [(0, 8000, 0, GRID.frames(8000))]
    assert cut(10, 8000, 2000, GRID) == [(0, 10, 0, 0)]


def test_parts_are_as_few_and_as_even_as_can_be():
    assert parts(100, 40) == [(0, 33), (33, 67), (67, 100)]
    assert parts(40, 40) == [(0, 40)]
    assert parts(0, 40) == [(0, 0)]


@pytest.mark.parametrize("samples", [399, 400, 559, 560, 8000, 12345])
def test_the_grid_counts_frames_as_convolutions_make_them(samples):
    kernels, strides = [10, 3, 3, 2], [5, 2, 4, 2]
    grid = Grid.of(kernels, strides)
    layers = nn.Sequential(*(nn.Conv1d(1, 1, k, s) for k, s in zip(kernels, strides, strict=True)))
    assert grid.frames(samples) == layers(torch.zeros(1, 1, samples)).shape[2]
