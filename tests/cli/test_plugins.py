"""`taskkit plugins`: what is installed is told without importing it, and what is wrong with it with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskkit.plugins.discovery import HOOKS
from taskkit.plugins.health import INJECTING
from tests.conftest import Site
from tests.plugins.sources import declaring

Taskkit = Callable[..., subprocess.CompletedProcess[str]]
BOMB = "from pathlib import Path\nPath(__file__).with_name('imported').touch()\n1 / 0\n"


def described(site: Site, name: str, metadata: str, version: str = "0.1") -> None:
    """Add lines to the metadata of a distribution that is installed."""
    path = site.path / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    path.write_text(path.read_text() + metadata)


@pytest.fixture
def checks(taskkit: Taskkit) -> Callable[..., tuple[int, dict[str, dict[str, Any]]]]:
    """The exit code of `taskkit plugins doctor`, and what is wrong by what was looked at."""

    def call(*sites: Path, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
        ended = taskkit("plugins", "doctor", "--json", sites=sites, **variables)
        found = json.loads(ended.stdout)
        assert found["ok"] == (ended.returncode == 0), ended.stderr
        return ended.returncode, {each["what"]: each for each in found["checks"] if each["state"] == "wrong"}

    return call


def test_a_plugin_that_raises_is_listed_and_none_is_imported(site: Site, sound_site: Path, environment: Any) -> None:
    site.add("taskkit-bomb", {"bomb": "bomb_plugin"}, {"bomb_plugin.py": BOMB})
    source = "import sys\nfrom taskkit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-P", "-c", source, "plugins", "list", "--json"]
    ended = subprocess.run(command, env=environment(site.path, sound_site), capture_output=True, text=True)
    listed = {each["name"]: each for each in json.loads(ended.stdout)["plugins"]}
    assert listed["bomb"]["distribution"] == "taskkit-bomb"
    assert listed["sound"]["version"] == "1.2.3"
    assert not (site.path / "imported").exists()
    imported = set(ended.stderr.splitlines()[-1].split())
    assert not [name for name in imported if name.startswith(("taskkit_", "bomb_plugin", "torch"))]


def test_the_list_says_what_is_allowed_and_where_each_comes_from(
    site: Site, sound_site: Path, taskkit: Taskkit
) -> None:
    site.add("taskkit-mine", {"mine": "mine"}, {"mine.py": declaring("mine.model")})
    direct = {"url": "file:///home/me/mine", "dir_info": {"editable": True}}
    (site.path / "taskkit_mine-0.1.dist-info" / "direct_url.json").write_text(json.dumps(direct))
    sites = (site.path, sound_site)
    listed = json.loads(taskkit("plugins", "list", "--json", sites=sites, TASKKIT_PLUGINS="taskkit-sound").stdout)
    rows = {each["name"]: each for each in listed["plugins"]}
    assert (rows["mine"]["allowed"], rows["sound"]["allowed"]) == (False, True)
    assert rows["mine"]["from"] == "editable /home/me/mine"
    words = taskkit("plugins", "list", sites=sites, TASKKIT_PLUGINS="taskkit-sound").stdout
    assert "mine    taskkit-mine    0.1    no   editable /home/me/mine" in words
    assert not any(
        each["allowed"] for each in json.loads(taskkit("plugins", "list", "--json", "--no-plugins").stdout)["plugins"]
    )


@pytest.mark.parametrize("name", ["sound", "Taskkit_Sound"])
def test_info_says_what_a_plugin_is_and_declares(name: str, sound_site: Path, taskkit: Taskkit) -> None:
    told = taskkit("plugins", "info", name, "--json", sites=(sound_site,), TASKKIT_PLUGINS="sound")
    (about,) = json.loads(told.stdout)["plugins"]
    assert (about["distribution"], about["version"], about["api"]) == ("taskkit-sound", "1.2.3", ">=0.2,<0.3")
    assert about["hooks"] == list(HOOKS)
    assert [each["name"] for each in about["components"]] == ["sound.tone"]
    assert about["facts"] == ["taskkit:Classes", "taskkit_sound.sections:Sound"]
    assert (about["recipes"], about["commands"], about["problems"]) == (["tone"], ["hum"], [])
    assert 0 < about["load_ms"] < 1000
    lines = taskkit("plugins", "info", name, sites=(sound_site,), TASKKIT_PLUGINS="sound").stdout
    assert "model sound.tone: A model that answers with one tone." in lines


def test_info_tells_both_of_one_name_what_is_wrong_and_what_their_metadata_say(site: Site, taskkit: Taskkit) -> None:
    site.add("taskkit-one", {"twin": "one"}, {"one.py": "import torchaudio_of_old"})
    site.add("taskkit-two", {"twin": "two"}, {"two.py": BOMB})
    pages = "Project-URL: Source, https://example.com/source\nProject-URL: Homepage, https://example.com\n"
    described(site, "taskkit-one", f"License-Expression: MIT\n{pages}")
    told = taskkit("plugins", "info", "twin", "--json", sites=(site.path,), TASKKIT_PLUGINS="taskkit-one")
    one, two = json.loads(told.stdout)["plugins"]
    assert (one["licence"], one["homepage"]) == ("MIT", "https://example.com")
    assert one["problems"][0]["hint"] == "Install the distribution that brings the module 'torchaudio_of_old'."
    assert (two["allowed"], two["problems"]) == (False, [])
    assert not (site.path / "imported").exists()


def test_info_of_none_suggests_one(sound_site: Path, taskkit: Taskkit) -> None:
    refused = taskkit("plugins", "info", "sund", sites=(sound_site,))
    assert refused.returncode == 2
    assert refused.stderr == "No plugin named 'sund' is installed. Did you mean 'sound'?\n"


def test_doctor_says_what_is_wrong_and_what_to_do(site: Site, sound_site: Path, checks: Any) -> None:
    site.add("taskkit-copy", {"copy": "copied"}, {"copied.py": declaring("sound.tone")})
    site.add("taskkit-newer", {"newer": "newer"}, {"newer.py": f"taskkit_api = '>=7'\n{declaring('newer.model')}"})
    site.add("lightning", {}, {}, "2.6.3")
    site.add("spy", f"[{next(iter(INJECTING))}]\nspy = spy:callbacks\n", {"spy.py": BOMB})
    code, wrong = checks(site.path, sound_site)
    assert code == 1
    assert "both declare the model 'sound.tone'" in wrong["plugin copy"]["found"]
    assert "it needs taskkit API '>=7'" in wrong["plugin newer"]["found"]
    assert "published by an attacker" in wrong["lightning 2.6.3"]["found"]
    assert "spy:callbacks" in wrong["spy 0.1 injects code"]["found"]
    assert wrong["spy 0.1 injects code"]["do"] == "If you do not want that: pip uninstall spy"
    assert not (site.path / "imported").exists()
    assert all(each["do"] for each in wrong.values())


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"implementation": "'hollow:Model'"}, "hollow:Model of taskkit-hollow 0.1 is not there: hollow has no Model"),
        ({"section": "'hollow:Section'"}, "hollow:Section of taskkit-hollow 0.1 failed to load"),
        ({"input": "'hollow_facts:Sound'"}, "hollow_facts:Sound of taskkit-hollow 0.1 failed to load"),
    ],
)
def test_doctor_finds_what_is_declared_and_not_there(
    fields: dict[str, str], found: str, site: Site, checks: Any
) -> None:
    site.add("taskkit-hollow", {"hollow": "hollow"}, {"hollow.py": declaring("hollow.model", **fields)})
    code, wrong = checks(site.path, TASKKIT_PLUGINS="hollow")
    assert code == 1
    assert found in wrong["plugin hollow"]["found"]
    assert wrong["plugin hollow"]["do"]


@pytest.mark.parametrize(
    ("required", "found", "do"),
    [
        ("torchaudio-of-old>=2", "torchaudio-of-old is not installed", "pip install 'torchaudio-of-old>=2'"),
        ("click>=99", "is installed", "pip install 'click>=99'"),
        ("taskkit-extra[fast]", "of taskkit-extra[fast] fast-of-old is not installed", "'taskkit-extra[fast]'"),
        ("click>=99; extra == 'more'", "", ""),
        ("nothing; python_version < '3'", "", ""),
        ("click>>1", "click>>1", "Tell the authors of taskkit-copy."),
    ],
)
def test_doctor_finds_requirements_that_are_not_met(
    required: str, found: str, do: str, site: Site, checks: Any
) -> None:
    site.add("taskkit-copy", {"copy": "copied"}, {"copied.py": declaring("copy.model")})
    described(site, "taskkit-copy", f"Requires-Dist: {required}\n")
    site.add("taskkit-extra", {}, {})
    described(site, "taskkit-extra", "Provides-Extra: fast\nRequires-Dist: fast-of-old; extra == 'fast'\n")
    code, wrong = checks(site.path, TASKKIT_PLUGINS="copy")
    assert code == (1 if found else 0)
    for check in wrong.values():
        assert check["what"] == "requirements of taskkit-copy"
        assert found in check["found"]
        assert do in check["do"]


def test_both_doctors_say_the_same_of_plugins(site: Site, checks: Any, taskkit: Taskkit) -> None:
    site.add("taskkit-bad", {"bad": "bad_plugin"}, {"bad_plugin.py": "1 / 0"})
    _, wrong = checks(site.path, TASKKIT_PLUGINS="bad")
    whole = json.loads(taskkit("doctor", "--json", sites=(site.path,), TASKKIT_PLUGINS="bad").stdout)
    assert [each for each in whole["checks"] if each["what"] == "plugin bad"] == [wrong["plugin bad"]]
