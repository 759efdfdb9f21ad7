"""A study file is read and checked whole, before anything is run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from taskkit.errors import RecipeError, TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.runs.manifest import Manifest
from taskkit.study import cells
from taskkit.study import file as files
from taskkit.study.plan import Cell, plan

RECIPE = """\
seed: 3
task: {name: points.classification}
model: {name: points.net}
data: {name: points.moons}
trainer: {max_epochs: 3}
"""

STUDIES = Path(__file__).parents[2] / "studies"

Planned = Callable[[str], list[Cell]]


@pytest.fixture
def planned(points: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """Plan a study of the text, beside the recipes one.yaml and two.yaml."""
    monkeypatch.syspath_prepend(str(points))
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(RECIPE)

    def made(text: str) -> list[Cell]:
        Path("study.yaml").write_text(text)
        return plan(files.read(Path("study.yaml")), discover({"points"}))

    return made


def problems(planned: Planned, text: str) -> list[str]:
    with pytest.raises(RecipeError) as raised:
        planned(text)
    return str(raised.value).splitlines()


def test_all_combinations_are_cells_whose_names_say_what_varies(planned: Planned) -> None:
    found = planned(
        "recipes: [one.yaml, two.yaml]\nvary: {seed: [1, 2], optim.lr: [1e-3, 1e-2], model.width: [4, 8]}\n"
    )
    assert len(found) == 2 * 8
    assert found[0].name == "one/seed=1_lr=0.001_width=4"
    assert found[-1].name == "two/seed=2_lr=0.01_width=8"
    assert len({cell.name for cell in found}) == 16
    assert [cell.resolved.recipe.optim.lr for cell in found[:3]] == [1e-3, 1e-3, 1e-2]


def test_recipes_may_have_names_and_changes_of_their_own(planned: Planned) -> None:
    found = planned(
        "recipes:\n  narrow: one.yaml\n  wide: {recipe: one.yaml, overlays: [two.yaml], changes: {model.width: 98}}\n"
    )
    assert [(cell.name, cell.resolved.recipe.model.section.width) for cell in found] == [
        ("narrow/seed=3", 8),
        ("wide/seed=3", 98),
    ]


def test_values_whose_names_are_alike_have_directories_of_their_own(planned: Planned) -> None:
    text = "recipes: [one.yaml]\nvary: {title: [%s]}\n"
    both = planned(text % "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa c")
    assert len({cell.name for cell in both}) == 2
    assert [cell.name for cell in planned(text % "a/b")] == ["one/seed=3_title=b"]


def test_a_budget_of_steps_is_that_of_every_run(planned: Planned) -> None:
    found = planned("recipes: [one.yaml, two.yaml]\nbudget: {steps: 40}\n")
    assert [(c.resolved.recipe.trainer.max_steps, c.resolved.recipe.trainer.max_epochs) for c in found] == [
        (40, None),
        (40, None),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recipies: [one.yaml]", "study.yaml:1:1: recipies is not a field of a study. Did you mean 'recipes'?"),
        ("recipes: []", "study.yaml:1:1: recipes names none."),
        ("recipes: [one.yaml]\nvary: {seed: []}", "study.yaml:2:8: vary.seed has no values."),
        ("recipes: [one.yaml]\nvary: {seed: [1, 2, 1]}", "study.yaml:2:21: vary.seed has 1 twice."),
        ("recipes: [one.yaml]\nlaunch: {processes: 0}", "study.yaml:2:10: launch.processes is 0."),
        ("recipes: [one.yaml, x/one.yaml]", "study.yaml:1:21: recipes: x/one.yaml would be called one, as another is."),
        ("recipes: {../up: one.yaml}", "study.yaml:1:11: recipes: '../up' names a folder."),
        ("recipes: [one.yaml]\nvary: {model.witdh: [1]}", "study.yaml:2:22: model.witdh is not a field of points.net."),
        ("recipes: [one.yaml]\nvary: {model.width: [8, 0]}", "study.yaml:2:25: model.width is 0."),
        ("recipes: {a: {recipe: one.yaml, changes: {seed: -1}}}", "study.yaml:1:43: seed is -1."),
        ("recipes: [thre.yaml]", "thre.yaml: there is no such file"),
        ("recipes: [one.yaml]\nbudget: {steps: 9}\nvary: {trainer.max_epochs: [1]}", "study.yaml:3:8: vary.trainer"),
        ("model: {name: points.net}", "study.yaml: this is a recipe. Run it: taskkit run study.yaml."),
        ("recipes: [one.yaml]\nbudget: {}", "study.yaml:2:1: budget: either steps or seconds were expected."),
        ("", "study.yaml:1:1: the file is empty. A study holds sections such as `recipes: [recipes/mlp.yaml]`."),
        ("recipes: [one.yaml]\nrecipes: [two.yaml]", "study.yaml:2:1: recipes is given twice"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(planned: Planned, text: str, said: str) -> None:
    assert any(said in line for line in problems(planned, text)), problems(planned, text)


def test_everything_wrong_is_told_once_and_at_once(planned: Planned) -> None:
    Path("bad.yaml").write_text(RECIPE.replace("points.moons", "points.mons"))
    told = problems(planned, "recipes: [one.yaml, bad.yaml]\nvary: {seed: [1, 2], optim.lr: [-1.0, 1.0]}\n")
    assert len(told) == 2
    assert told[0].startswith("study.yaml:2:33: optim.lr is -1.0.")
    assert told[1].startswith("bad.yaml:4:8: ")


def test_check_says_how_much_would_be_run_and_runs_nothing(
    planned: Planned, points: Path, tmp_path: Path, taskkit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    planned("title: Both\nrecipes: [one.yaml, two.yaml]\nvary: {seed: [1, 2, 3]}\nlaunch: {processes: 2}\n")
    ended = taskkit("study", "study.yaml", "--check", sites=(points,))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Both: 6 runs of 2 recipe(s), 2 at a time, in runs/study\n")
    assert not (tmp_path / "runs").exists()
    wrong = taskkit("study", "study.yaml", "--check", sites=(points,), TASKKIT_PLUGINS="")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.name)
def test_our_own_studies_have_no_problems(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(STUDIES.parent)
    found = files.read(study)
    assert len(plan(found, discover({"image", "recsys", "speech", "text"}))) >= 3


@pytest.mark.parametrize("name", ["ensemble", "trials", "Study.json", "report.html"])
def test_a_recipe_is_not_called_as_what_the_study_writes(planned: Planned, name: str) -> None:
    (said,) = problems(planned, f"recipes: {{{name}: one.yaml}}\n")
    assert said.endswith(f"recipes: {name} is what the study itself writes. Give it a name: `{{my_{name}: …}}`.")


def test_a_recipe_of_another_title_is_the_same_recipe(planned: Planned, tmp_path: Path) -> None:
    (cell,) = planned("recipes: [one.yaml]\n")
    run = tmp_path / cell.name
    run.mkdir(parents=True)
    (run / "run.json").write_text(Manifest(cell.name, "finished", cell.plain).to_json())
    Path("one.yaml").write_text(f"title: Moons\n{RECIPE}")
    (cell,) = planned("recipes: [one.yaml]\n")
    assert cells.recorded(tmp_path, cell).status == "finished"
    Path("one.yaml").write_text(RECIPE.replace("max_epochs: 3", "max_epochs: 4"))
    (cell,) = planned("recipes: [one.yaml]\n")
    with pytest.raises(TaskkitError, match="another recipe than the study now says"):
        cells.recorded(tmp_path, cell)
