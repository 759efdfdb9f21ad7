"""What a recipe may say of trackers, and what of it is refused before any work."""

import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from taskkit.contracts.component import KINDS
from taskkit.contracts.recipe import MlflowSection, TrackersSection, WandbSection
from taskkit.errors import RecipeError
from taskkit.plugins.compatibility import section_of
from taskkit.plugins.discovery import Plugins, discover
from taskkit.recipe.load import from_plain, load
from taskkit.recipe.schema import recipe_schema
from tests.conftest import PACKAGES

MOONS = (PACKAGES / "taskkit-points/src/taskkit_points/moons.yaml").read_text()


@pytest.fixture
def plugins(points: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plugins:
    for name in [name for name in sys.modules if name.partition(".")[0] == "taskkit_points"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(points)
    monkeypatch.chdir(tmp_path)
    # Packages that hold nothing: a recipe is checked by what is installed, and imports none of it.
    for name in ("tensorboard", "mlflow", "sqlalchemy", "alembic", "wandb"):
        (tmp_path / "libraries" / name).mkdir(parents=True)
        (tmp_path / "libraries" / name / "__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "libraries")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return discover(["points"])


def trackers(plugins: Plugins, *overrides: str, recipe: str = "") -> TrackersSection:
    Path("a.yaml").write_text(MOONS + recipe)
    return load(["a.yaml"], overrides, plugins).recipe.trackers


def refused(plugins: Plugins, *overrides: str, recipe: str = "") -> list[str]:
    with pytest.raises(RecipeError) as caught:
        trackers(plugins, *overrides, recipe=recipe)
    return [str(problem) for problem in caught.value.problems]


def test_nothing_is_tracked_unless_a_recipe_says_so(plugins: Plugins) -> None:
    assert trackers(plugins) == TrackersSection(csv=False, tensorboard=False, mlflow=False, wandb=False)


def test_trackers_are_a_mapping_or_a_list_of_names(plugins: Plugins) -> None:
    assert trackers(plugins, "trackers=[csv, wandb]") == TrackersSection(csv=True, wandb=True)
    written = "trackers: {wandb: {project: waves, mode: offline}, mlflow: {tracking_uri: 'sqlite:///all.db'}}\n"
    assert trackers(plugins, recipe=written) == TrackersSection(
        mlflow=MlflowSection(tracking_uri="sqlite:///all.db"), wandb=WandbSection("waves", mode="offline")
    )


def test_a_list_leaves_on_what_it_names_and_a_mapping_changes_what_it_names(plugins: Plugins) -> None:
    written = "trackers: {tensorboard: true, wandb: {project: waves}}\n"
    assert trackers(plugins, "trackers=[csv]", recipe=written) == TrackersSection(csv=True)
    assert trackers(plugins, "trackers=[]", recipe=written) == TrackersSection()
    assert trackers(plugins, "trackers.csv=true", "trackers.tensorboard=false", recipe=written) == TrackersSection(
        csv=True, wandb=WandbSection("waves")
    )
    listed = "trackers: [tensorboard, wandb]\n"
    assert trackers(plugins, "trackers.wandb.mode=offline", recipe=listed) == TrackersSection(
        tensorboard=True, wandb=WandbSection(mode="offline")
    )


def test_a_recipe_with_trackers_reads_back_the_same(plugins: Plugins) -> None:
    Path("a.yaml").write_text(f"{MOONS}trackers: [csv, mlflow]\n")
    resolved = load(["a.yaml"], ["trackers.wandb.project=waves"], plugins)
    assert from_plain(resolved.plain(), plugins) == resolved.recipe
    Path("again.yaml").write_text(resolved.to_yaml())
    assert load(["again.yaml"], [], plugins).recipe == resolved.recipe
    assert "a.yaml:" in resolved.why("trackers.csv")["trackers.csv"][-1].where


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[tensorbord]", "trackers.tensorbord is not a field of the trackers section. Did you mean 'tensorboard'?"),
        ("[csv, csv]", "trackers is ['csv', 'csv']. Expected a mapping of its fields, or a list of those that are on"),
        ("[{csv: true}]", "Expected a mapping of its fields, or a list of those that are on, each once."),
        ("csv", "trackers is 'csv'. Expected a mapping of its fields, or a list"),
        ("{wandb: null}", "trackers.wandb is null. Expected a mapping or true or false."),
        ("{wandb: {mode: of}}", "trackers.wandb.mode is 'of'. Expected online or offline or null."),
        ("{wandb: {api_key: abc}}", "trackers.wandb.api_key is not a field of trackers.wandb."),
    ],
)
def test_what_is_written_wrong_is_told(written: str, said: str, plugins: Plugins) -> None:
    (problem,) = refused(plugins, recipe=f"trackers: {written}\n")
    assert said in problem


@pytest.mark.parametrize("uri", ["http://me:let-me-in@host/", "postgresql://me@host/db", "http://host/?api_token=x"])
def test_an_address_with_a_password_is_refused_since_it_would_be_kept(uri: str, plugins: Plugins) -> None:
    (problem,) = refused(plugins, recipe=f"trackers: {{mlflow: {{tracking_uri: '{uri}'}}}}\n")
    assert "trackers.mlflow.tracking_uri holds a name, a password or a token" in problem
    assert "Set MLFLOW_TRACKING_URI" in problem
    assert "let-me-in" not in problem


def test_a_library_that_is_missing_is_told_with_the_command_that_installs_it(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("wandb", "sqlalchemy"):
        monkeypatch.setitem(sys.modules, name, None)
    changes = ["trackers=[csv, tensorboard, mlflow, wandb]"]
    mlflow, wandb = refused(plugins, *changes)
    needs = "needs what is not installed here"
    assert f"trackers.mlflow {needs}: sqlalchemy. Install it: pip install 'taskkit-ml[mlflow]'" in mlflow
    assert f"trackers.wandb {needs}: wandb. Install it: pip install 'taskkit-ml[wandb]'" in wandb
    # A server needs no database here.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    (problem,) = refused(plugins, *changes)
    assert "trackers.wandb" in problem


def test_a_folder_that_is_called_like_a_library_is_none(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libraries" / "wandb" / "__init__.py").unlink()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "libraries"), *sys.path[:1]])
    assert "trackers.wandb needs" in refused(plugins, "trackers=[wandb]")[0]


def test_an_editor_knows_both_forms(plugins: Plugins) -> None:
    components = {kind: next(each for each in plugins.components if each.kind == kind) for kind in KINDS}
    sections: Any = {kind: section_of(each, plugins.owner(each)) for kind, each in components.items()}
    schema = recipe_schema({kind: each.name for kind, each in components.items()}, sections)
    valid = jsonschema.Draft202012Validator(schema["properties"]["trackers"]).is_valid
    assert valid(["csv", "wandb"])
    assert valid({"csv": True, "wandb": {"project": "waves", "mode": "offline"}, "mlflow": False})
    assert not valid(["csv", "csv"])
    assert not valid(["comet"])
    assert not valid({"wandb": None})
