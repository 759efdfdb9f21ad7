"""What several plugins declare under one name: it is told, and chosen in the recipe or in the configuration file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.plugins.sources import IMPORTS, declaring

Taskkit = Callable[..., subprocess.CompletedProcess[str]]
FITTING = {"input": "'taskkit_points.sections:Points'", "targets": "('taskkit:Classes',)"}
TWIN = f"""{declaring("points.net", section="'points_twin:Net'", **FITTING)}
from dataclasses import dataclass
from pathlib import Path
import click
from taskkit import setting

@dataclass
class Net:
    width: int = setting(64, "hidden units of the twin")

@hookimpl
def taskkit_recipes():
    return [RecipeFile("moons", Path(__file__).parent / "twin.yaml")]

@hookimpl
def taskkit_commands():
    return [click.Command("hum", callback=lambda: click.echo("twin"))]
"""
SINGER = f"{IMPORTS}import click\n@hookimpl\ndef taskkit_commands():\n    return [click.Command('hum')]\n"
RECIPE = Path(__file__).parents[1] / "packages/taskkit-points/src/taskkit_points/moons.yaml"


@pytest.fixture
def twins(points: Path, site: Site) -> Path:
    """Where taskkit-points is installed, and taskkit-twin, which declares its model, its recipe and a verb too."""
    files = {"points_twin.py": TWIN, "twin.yaml": f"# twin.yaml — a twin.\n{RECIPE.read_text()}"}
    site.add("taskkit-twin", {"points": "points_twin"}, files)
    return points


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Write a configuration file and return the variables by which it is found."""

    def write(text: str) -> dict[str, str]:
        (tmp_path / "home/taskkit").mkdir(parents=True, exist_ok=True)
        (tmp_path / "home/taskkit/config.yaml").write_text(text)
        return {"XDG_CONFIG_HOME": str(tmp_path / "home"), "TASKKIT_PLUGINS": "points"}

    return write


def test_a_recipe_names_both_owners_of_a_model_and_how_to_choose(
    twins: Path, taskkit: Taskkit, configured: Callable[[str], dict[str, str]]
) -> None:
    refused = taskkit("check", str(RECIPE), sites=(twins,), **configured(""))
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    said = "points.net cannot be used: taskkit-points 0.1 and taskkit-twin 0.1 both declare the model 'points.net'."
    assert line.startswith(f"{RECIPE}:5:11: {said} Choose one, as by `plugins: {{prefer: [taskkit-points]}}` in the")
    assert "home/taskkit/config.yaml; or uninstall the other." in line


@pytest.mark.parametrize(("preferred", "width"), [("taskkit-twin", 64), ("Taskkit_Points", 8)])
def test_a_recipe_chooses_between_owners(
    preferred: str, width: int, twins: Path, taskkit: Taskkit, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE.read_text().replace(", width: 16", ""))
    words = (str(recipe), f"plugins.prefer=[{preferred}]", "--json")
    shown = taskkit("show", *words, sites=(twins,), TASKKIT_PLUGINS="points")
    assert shown.returncode == 0, shown.stderr
    resolved = json.loads(shown.stdout)
    assert resolved["plugins"] == {"prefer": [preferred]}
    assert resolved["model"]["width"] == width


def test_a_preference_for_a_plugin_that_is_not_in_use_is_refused(twins: Path, taskkit: Taskkit) -> None:
    words = (str(RECIPE), "plugins.prefer=[taskkit-point, taskkit-twin]")
    refused = taskkit("check", *words, sites=(twins,), TASKKIT_PLUGINS="points")
    assert refused.returncode == 2
    assert "plugins.prefer has 'taskkit-point', which is not in use. Did you mean 'taskkit-points'?" in refused.stderr


def test_the_configuration_file_chooses_models_recipes_and_verbs(
    twins: Path, taskkit: Taskkit, site: Site, configured: Callable[[str], dict[str, str]]
) -> None:
    site.add("taskkit-singer", {"points": "singer"}, {"singer.py": SINGER})
    sites, neither = (twins,), configured("")
    recipe = taskkit("check", "moons", sites=sites, **neither)
    assert recipe.returncode == 2
    assert "moons: taskkit-points 0.1 and taskkit-twin 0.1 both declare the recipe 'moons'. Choose one" in recipe.stderr
    verb = taskkit("hum", sites=sites, **neither)
    assert verb.returncode == 2
    assert "No verb named 'hum'. taskkit-singer 0.1 and taskkit-twin 0.1 both declare the command 'hum'." in verb.stderr
    chosen = configured("plugins: {prefer: [taskkit-twin]}\n")
    assert taskkit("check", "moons", sites=sites, **chosen).returncode == 0
    assert taskkit("hum", sites=sites, **chosen).stdout == "twin\n"
    listed = json.loads(taskkit("list", "--json", sites=sites, **chosen).stdout)
    assert {each["status"] for each in listed["plugins"] if each["status"] != "off"} == {"ok"}
    assert [each["distribution"] for each in listed["recipes"] if each["name"] == "moons"] == ["taskkit-twin"]


def test_the_environment_wins_over_the_allow_list_of_the_file(
    twins: Path, taskkit: Taskkit, configured: Callable[[str], dict[str, str]]
) -> None:
    variables = configured("plugins:\n  allow: [taskkit-twin]\n")
    environment = {"XDG_CONFIG_HOME": variables["XDG_CONFIG_HOME"]}

    def in_use(**variables: str) -> list[str]:
        listed = json.loads(taskkit("plugins", "list", "--json", sites=(twins,), **variables).stdout)["plugins"]
        return [each["distribution"] for each in listed if each["allowed"]]

    assert in_use(**environment) == ["taskkit-twin"]
    assert in_use(**environment, TASKKIT_PLUGINS="taskkit-points") == ["taskkit-points"]
    assert in_use(**environment, TASKKIT_PLUGINS="") == []
    off = taskkit("check", str(RECIPE), sites=(twins,), **environment)
    assert "switched off. Add it to TASKKIT_PLUGINS or plugins.allow of " in off.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plugin: {}", "plugin is no setting. Did you mean 'plugins'?"),
        ("plugins: {alow: []}", "plugins.alow is no setting. Did you mean 'allow'?"),
        ("plugins: {prefer: taskkit-foo}", "plugins.prefer is 'taskkit-foo'. A list of plugins was expected"),
        ("plugins: {allow: [3]}", "plugins.allow is [3]. A list of plugins was expected"),
        ("plugins: 3", "plugins is 3. A mapping of allow and prefer was expected."),
        ("- a", "it holds ['a']. A mapping of plugins was expected."),
        ("a: [", "it is no YAML ("),
        ("a: " + "[" * 60_000, "it is no YAML ("),
        ("#" * 100_001, "it has more than 100,000 bytes"),
    ],
)
def test_a_configuration_file_that_cannot_be_used_is_named_with_what_is_wrong(
    text: str, said: str, taskkit: Taskkit, configured: Callable[[str], dict[str, str]]
) -> None:
    variables = configured(text)
    refused = taskkit("list", **variables)
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"{variables['XDG_CONFIG_HOME']}/taskkit/config.yaml: {said}")


@pytest.mark.parametrize(
    ("required", "said"),
    [
        ("taskkit-points>=0.1,<1", ""),
        ("taskkit-future", "and taskkit-future is not installed. Try: pip install 'taskkit-future'"),
        ("taskkit-points>=0.3", "and taskkit-points 0.1 is installed. Try: pip install 'taskkit-points>=0.3'"),
        ("taskkit-future; python_version < '3'", ""),
        ("points >> 1", "A package and its versions were expected, such as taskkit-image>=0.2."),
        ("taskkit-points @ file:///tmp/x", "which names a place. Versions were expected: taskkit-points>=…"),
    ],
)
def test_a_recipe_says_what_must_be_installed(
    required: str, said: str, points: Path, taskkit: Taskkit, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f'{RECIPE.read_text()}requires:\n  - "{required}"\n')
    checked = taskkit("check", str(recipe), sites=(points,), TASKKIT_PLUGINS="points")
    assert checked.returncode == (2 if said else 0), checked.stderr
    if said:
        (line,) = checked.stderr.splitlines()
        assert line.startswith(f"{recipe}:{len(RECIPE.read_text().splitlines()) + 2}:5: requires has {required!r}")
        assert line.endswith(said)
