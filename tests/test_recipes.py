"""Every recipe that is shipped: it says what it needs and gave, it is sound, and it runs."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import taskkit
from taskkit.cli.run import SMOKE
from taskkit.plugins import discover
from taskkit.recipe import load

RECIPES = sorted(Path(__file__).parents[1].joinpath("recipes").glob("*.yaml"))
MEASURED = re.compile(r"#   result:  test/accuracy (0\.\d{4}) in (\d+) s \(\d{4}-\d\d-\d\d, commit \w{7}, .+\)")
GOALS = {"vit": 0.96, "resnet": 0.985, "mlp": 0.97}

recipes = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve images of noise for each of two classes, dark and light."""
    folder, noise = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (folder / name).mkdir()
        for number in range(12):
            pixels = noise.integers(low, low + 128, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def needed(path: Path, images: Path) -> list[str]:
    """What a recipe leaves to its user."""
    return [f"data.root={images}"] if path.stem == "vit_b16_folder" else []


@recipes
def test_its_header_says_how_to_run_it_and_what_it_gave(path: Path) -> None:
    first, *rest = path.read_text().splitlines()
    header = [line for line in rest if line.startswith("#")]
    assert first.startswith(f"# {path.name} — ")
    assert any(line.startswith(f"#   run:     taskkit run recipes/{path.name}") for line in header)
    result = next(line for line in header if line.startswith("#   result:"))
    assert MEASURED.fullmatch(result) or "not measured yet" in result


@recipes
def test_it_has_no_problems(path: Path, images: Path) -> None:
    assert load([path], needed(path, images), discover({"image"})).recipe.title


def test_the_folder_recipe_asks_for_the_folder(taskkit: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = taskkit("run", next(str(path) for path in RECIPES if path.stem == "vit_b16_folder"))
    assert done.returncode == 2
    assert "data.root=FOLDER" in done.stderr


@recipes
def test_it_trains_validates_and_tests_for_two_steps(
    path: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path))
    torch.set_num_threads(1)
    small = ["compile=false", "trainer.accelerator=cpu", "loader.batch_size=4"]
    if path.stem == "vit_b16_folder":
        small += [*needed(path, images), "model.pretrained=false", "model.architecture=vit_tiny_patch16_224"]
    else:
        small += ["data.name=image.digits", "model.image_size=28"]
    run = taskkit.run(path, [*small, *SMOKE], out=tmp_path / "run", plugins=discover({"image"}))
    assert run.status == "finished"
    assert 0 <= run.metrics["test/accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", GOALS)
def test_it_reaches_what_its_header_states(name: str, tmp_path: Path) -> None:
    path = next(path for path in RECIPES if path.stem == name)
    stated = next(float(found[1]) for line in path.read_text().splitlines() if (found := MEASURED.fullmatch(line)))
    command = [sys.executable, "-m", "taskkit", "run", str(path), "--out", str(tmp_path / "run")]
    subprocess.run(command, check=True)
    accuracy = taskkit.load_run(tmp_path / "run").metrics["test/accuracy"]
    assert accuracy >= GOALS[name]
    # Another processor sums in another order; half a per cent of 1 000 digits is five of them.
    assert accuracy == pytest.approx(stated, abs=0.01)
