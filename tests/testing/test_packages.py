"""What strangers might have written keeps to the contracts, in every form that these can take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from taskkit.plugins.discovery import from_environment
from taskkit.testing.finding import Finding
from taskkit.testing.kit import kit
from taskkit.testing.plan import CHECKS, due
from taskkit.testing.subject import find
from taskkit.verify.lab import implementations
from taskkit.verify.workshop import workshops
from tests.verify.subjects import PACKAGES, TESTS, install

LEFT_OUT = {"loads", "light", "determinism", "precision", "processes", "devices", "wheel", "documented", "typed"}
"""What takes seconds each time and is held for taskkit-series and our own plugins, or asks for a README and types."""
NAMES = [check.name for check in CHECKS]
Made = Callable[[str], Sequence[Finding]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Make the checks of a package; all trainings are forked from the same two processes."""
    folder = tmp_path_factory.mktemp("packages")
    site = install(folder / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        for name, value in {"PYTHONPATH": site, "TASKKIT_CACHE": folder / "cache", "OMP_NUM_THREADS": 1}.items():
            patch.setenv(name, str(value))
        torch.set_num_threads(1)
        plugins = from_environment()
        subjects = {name: find(TESTS / "packages" / f"taskkit-{name}", plugins, NAMES) for name in PACKAGES}
        tried = [each.resolved for subject in subjects.values() for each in subject.tried.values()]
        modules = sorted({module for each in tried if each is not None for module in implementations(each.recipe)})
        with workshops(modules, forks=True) as ready:

            def call(name: str) -> Sequence[Finding]:
                with kit(subjects[name], ready) as opened:
                    units = [unit for unit in due(subjects[name], "gold") if unit.check.name not in LEFT_OUT]
                    return [opened.finding(unit) for unit in units]

            yield call


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_keeps_to_the_contracts(made: Made, name: str) -> None:
    found = made(name)
    assert len(found) > 15
    assert [each for each in found if not each.holds] == []
