from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small are quickest on one thread, above all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing that a test remembers outlives it."""
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """Write small images of noise, each different, by their paths below a folder."""
    random = np.random.default_rng(0)

    def write(*names: str, size=(12, 10), mode="RGB") -> Path:
        root = tmp_path / "photos"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode).save(path)
        return root

    return write
