"""Each modality and each stranger's package passes the proofs: the cheap ones here, all of them by `make proofs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from taskkit.plugins.discovery import from_environment
from taskkit.recipe.load import load
from taskkit.verify.finding import Finding, Proof
from taskkit.verify.lab import Bounds, implementations
from taskkit.verify.proofs import verify
from taskkit.verify.workshop import workshops
from tests.verify.subjects import PACKAGES, install, subjects

CHEAP: tuple[Proof, ...] = ("resume", "accumulate", "batch-size", "order", "export")
SMALL = Bounds(steps=4, examples=16, kills=1)
Prove = Callable[[str], dict[Proof, Finding]]


@pytest.fixture(scope="module")
def prove(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prove]:
    """Make the cheap proofs of a subject; all trainings are forked from the same two processes."""
    folder = tmp_path_factory.mktemp("proofs")
    site = install(folder / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        for name, value in {"PYTHONPATH": site, "TASKKIT_CACHE": folder / "cache", "OMP_NUM_THREADS": 1}.items():
            patch.setenv(name, str(value))
        torch.set_num_threads(1)
        plugins = from_environment()
        recipes = {name: load([each.recipe], each.changes, plugins).recipe for name, each in subjects(folder).items()}
        modules = sorted({module for recipe in recipes.values() for module in implementations(recipe)})
        with workshops(modules, forks=True) as ready:
            yield lambda name: {
                found.proof: found for found in verify(recipes[name], plugins, CHEAP, SMALL, ready=ready)
            }


@pytest.mark.parametrize("name", ["image", "text", "speech", "recsys", "series", *PACKAGES])
def test_it_passes_the_proofs_that_apply(prove: Prove, name: str, tmp_path: Path) -> None:
    others = subjects(tmp_path)[name].others
    found = prove(name)
    assert {proof: each.outcome for proof, each in found.items()} == {
        proof: others.get(proof, "pass") for proof in CHEAP
    }, found
