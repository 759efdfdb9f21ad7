"""What is recorded of the plugins of a run, and what is told where they are others since."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskkit import CheckpointError
from taskkit.contracts.component import PluginInfo
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.runs.manifest import Manifest
from taskkit.runs.since import check_plugins, recorded
from tests.conftest import Site
from tests.plugins.sources import IMPORTS, declaring

CALLBACKS = f"{IMPORTS}\n@hookimpl\ndef taskkit_callbacks(recipe):\n    return []\n"


@pytest.fixture
def plugins(site: Site, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """Three plugins: one whose model is used, one that adds callbacks, and one that does nothing here."""
    site.add("taskkit-used", {"used": "used"}, {"used.py": declaring("used.net")}, "1.0")
    site.add("taskkit-calling", {"calling": "calling"}, {"calling.py": CALLBACKS}, "2.0")
    site.add("taskkit-idle", {"idle": "idle"}, {"idle.py": declaring("idle.net")}, "3.0")
    monkeypatch.syspath_prepend(str(site.path))
    return discover(["used", "calling", "idle"])


def recipe_of(*infos: PluginInfo) -> Any:
    return SimpleNamespace(chosen=lambda: {info: SimpleNamespace(plugin=info) for info in infos})


def told(run: tuple[dict[str, str], ...], plugins: Plugins, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING, "taskkit"):
        check_plugins(Path("run"), Manifest("run", "finished", {}, plugins=run), plugins)
    return [record.getMessage() for record in caplog.records]


def test_a_run_records_what_decides_something_in_it_with_the_hash_of_its_record(site: Site, plugins: Plugins) -> None:
    used = PluginInfo("taskkit-used", "1.0", "used")
    found = {each["distribution"]: each for each in recorded(plugins, recipe_of(used))}
    assert list(found) == ["taskkit-used", "taskkit-calling"]
    sha256 = found["taskkit-used"]["record_sha256"]
    assert len(sha256) == 64
    named = {"distribution": "taskkit-used", "version": "1.0", "entry_point": "used"}
    assert found["taskkit-used"] == {**named, "record_sha256": sha256}
    record = site.path / "taskkit_used-1.0.dist-info/RECORD"
    files = record.read_text()
    # What another installer, Python or path of the environment adds is no other package.
    info = "taskkit_used-1.0.dist-info"
    added = f"__pycache__/used.cpython-311.pyc,,\n{info}/INSTALLER,sha256=x,4\n../../bin/used,sha256=y,9\n"
    record.write_text(f"{added}{files}")
    assert recorded(plugins, recipe_of(used))[0]["record_sha256"] == sha256
    record.write_text(files.replace("used.py,sha256=", "used.py,sha256=0"))
    assert recorded(plugins, recipe_of(used))[0]["record_sha256"] != sha256


def test_what_is_edited_where_it_lies_has_no_hash(site: Site, plugins: Plugins) -> None:
    direct = {"url": "file:///home/me/used", "dir_info": {"editable": True}}
    (site.path / "taskkit_used-1.0.dist-info/direct_url.json").write_text(json.dumps(direct))
    assert "record_sha256" not in recorded(plugins, recipe_of(PluginInfo("taskkit-used", "1.0", "used")))[0]


def test_nothing_is_told_of_plugins_that_are_as_they_were(plugins: Plugins, caplog: pytest.LogCaptureFixture) -> None:
    run = recorded(plugins, recipe_of(*plugins.plugins))
    assert told(tuple(map(dict, run)), plugins, caplog) == []
    # A run of an older taskkit knew no hashes.
    assert told(({"distribution": "taskkit-used", "version": "1.0", "entry_point": "used"},), plugins, caplog) == []


def test_what_is_otherwise_is_told_in_one_line(plugins: Plugins, caplog: pytest.LogCaptureFixture) -> None:
    run = (
        {"distribution": "taskkit-used", "version": "0.9", "entry_point": "used", "record_sha256": "0"},
        {"distribution": "taskkit-idle", "version": "3.0", "entry_point": "idle", "record_sha256": "0"},
        {"distribution": "taskkit-gone", "version": "4.0", "entry_point": "gone", "record_sha256": "0"},
    )
    assert told(run, plugins, caplog) == [
        "run: since the run was made, taskkit-used was 0.9 and is 1.0; taskkit-idle 3.0 was installed again, with "
        "other files; taskkit-gone 4.0 was used and is not in use now."
    ]


@pytest.mark.parametrize(
    ("content", "there"),
    [
        (None, "is no longer there. Name where it is now: --plugin FILE"),
        ("", "is there as it was. Name it again: --plugin {}"),
        ("more", "has other content now. Name it again: --plugin {}"),
    ],
)
def test_a_run_of_a_file_needs_it(content: str | None, there: str, plugins: Plugins, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    sha256 = hashlib.sha256(b"").hexdigest()
    run = ({"distribution": str(path), "version": "0", "entry_point": "mine", "sha256": sha256},)
    with pytest.raises(CheckpointError) as error:
        check_plugins(Path("run"), Manifest("run", "finished", {}, plugins=run), plugins)
    told = f"run: the run was made with the plugin {path}, a file that {there.format(path)}"
    assert str(error.value) == told
