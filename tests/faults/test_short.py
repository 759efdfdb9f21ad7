"""The short form of `make faults`: a few moments, a full disk and some odd files of each modality."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import places
from tests.faults.files import files
from tests.faults.modalities import modalities
from tests.faults.moments import Striking, Way
from tests.faults.report import Line

FILES = 5
"""Of each modality; the long form has hundreds."""


@pytest.fixture
def striking(tmp_path: Path) -> Striking:
    return Striking(tmp_path, random.Random(0))


def test_a_run_that_is_disturbed_ends_as_one_that_was_not(striking: Striking, tmp_path: Path) -> None:
    way = Way(workers=2, fresh=False, auto=False)
    wrong = striking.strike(signal.SIGKILL, way, 0.5)[1]
    wrong += striking.strike(signal.SIGTERM, way, 0.7)[1]
    expected = striking.undisturbed(way)[1]
    if places.may_mount(tmp_path):
        # A disk of a size that fills within the training.
        wrong += places.full_run(tmp_path, expected, ("96k",))
    assert wrong + striking.left() == []


@pytest.mark.parametrize("modality", modalities(), ids=lambda modality: modality.name)
def test_odd_files_work_or_are_named(modality: object, tmp_path: Path) -> None:
    lines: Iterator[Line] = files(modality, FILES, 0, tmp_path)  # type: ignore[arg-type]
    assert [problem for line in lines for problem in line.wrong] == []
