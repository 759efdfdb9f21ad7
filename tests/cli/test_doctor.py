"""`taskkit doctor`, in environments that are well and ill."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Site

Taskkit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(taskkit: Taskkit, tmp_path: Path) -> Callable[..., tuple[int, dict[str, dict[str, Any]]]]:
    """The exit code, and each check by what was looked at."""

    def call(*sites: Path, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
        ended = taskkit("doctor", "--json", sites=sites, **{"TASKKIT_CACHE": str(tmp_path / "cache"), **variables})
        found = json.loads(ended.stdout)
        assert found["ok"] == (ended.returncode == 0), ended.stderr
        return ended.returncode, {check["what"]: check for check in found["checks"]}

    return call


def install(site: Site, name: str, version: str) -> None:
    """A distribution of this name and version, and nothing in it."""
    info = site.path / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_where_all_is_well_it_says_what_there_is(doctor: Any) -> None:
    code, found = doctor()
    assert code == 0, [check for check in found.values() if check["state"] == "wrong"]
    assert {"python", "memory", "threads", "torch", "devices", "cache", "here", "plugins"} <= found.keys()
    assert found["torch"]["found"].split(",")[0].split("+")[0].count(".") == 2


@pytest.mark.parametrize(
    ("name", "version", "why"),
    [
        ("pytorch-lightning", "2.6.2", "attacker"),
        ("lightning", "2.6.3", "attacker"),
        ("transformers", "5.2.1", "CVE-2026-4372"),
    ],
)
def test_a_version_that_is_known_to_be_bad_is_wrong(doctor: Any, site: Site, name: str, version: str, why: str) -> None:
    install(site, name, version)
    code, found = doctor(site.path, TASKKIT_PLUGINS="")
    assert code == 1
    check = found[f"{name} {version}"]
    assert (check["state"], why in check["found"]) == ("wrong", True)
    assert check["do"]


def test_a_version_after_the_bad_ones_is_none(doctor: Any, site: Site) -> None:
    install(site, "transformers", "5.3.0")
    install(site, "lightning", "2.6.4")
    code, found = doctor(site.path, TASKKIT_PLUGINS="")
    assert code == 0
    assert not [what for what in found if what.startswith(("transformers", "lightning"))]


def test_a_broken_plugin_nonsense_in_variables_and_a_broken_torch_are_wrong(doctor: Any, site: Site) -> None:
    site.add("taskkit-bad", {"bad": "bad_plugin"}, {"bad_plugin.py": "1 / 0"})
    (site.path / "torch").mkdir()
    (site.path / "torch" / "__init__.py").write_text("raise ImportError('libcudart is missing')")
    code, found = doctor(
        site.path, TASKKIT_PLUGINS="bad", OMP_NUM_THREADS="many", TASKKIT_CACHE_LIMIT="lots", TASKKIT_CACHE="/proc/no"
    )
    assert code == 1
    wrong = {what: check for what, check in found.items() if check["state"] == "wrong"}
    assert wrong.keys() >= {"plugin bad", "threads", "cache limit", "torch"}
    assert "libcudart is missing" in wrong["torch"]["found"]
    assert all(check["do"] for check in wrong.values())
