"""The listing of published plugins: it is as its schema wants it, true of our own, and searched without a network."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement

from taskkit.contracts.component import KINDS
from taskkit.plugins.discovery import discover
from taskkit.plugins.index import read_index

ROOM = Path(__file__).parents[2] / "taskkit/plugins"
SCHEMA = json.loads((ROOM / "index.schema.json").read_text())
INDEX = json.loads((ROOM / "index.json").read_text())
OURS = ("taskkit-image", "taskkit-recsys", "taskkit-speech", "taskkit-text")
Taskkit = Callable[..., subprocess.CompletedProcess[str]]


def test_the_listing_is_as_its_schema_wants_it_and_sorted() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(INDEX, SCHEMA)
    names = [entry.name for entry in read_index()]
    assert names == sorted(set(names))
    assert all(Requirement(name).name == name for name in names)
    assert set(OURS) <= set(names)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Taskkit_Foo"},
        {"summary": "short"},
        {"summary": "with \x1b[31m escape"},
        {"homepage": "http://example.com"},
        {"declares": {}},
        {"declares": {"model": ["vit"]}},
        {"level": "platinum"},
        {"level": "gold", "run": None},
        {"tested": []},
        {"more": 1},
    ],
    ids=str,
)
def test_an_entry_that_is_wrong_is_refused_by_the_schema(change: dict[str, Any]) -> None:
    entry = {**INDEX["plugins"][0], **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**INDEX, "plugins": [entry]}, SCHEMA)


@pytest.mark.parametrize("name", OURS)
def test_what_is_listed_of_ours_is_what_they_declare(name: str) -> None:
    (entry,) = [entry for entry in read_index() if entry.name == name]
    components = discover([name]).components
    declared = {kind: sorted(each.name for each in components if each.kind == kind) for kind in KINDS}
    assert entry.declares == {kind: names for kind, names in declared.items() if names}


def test_plugins_are_found_by_all_words_in_any_case(taskkit: Taskkit) -> None:
    found = json.loads(taskkit("plugins", "search", "CLASSIFICATION", "hugging", "--json").stdout)["plugins"]
    assert [each["name"] for each in found] == ["taskkit-text"]
    assert re.match(
        r"taskkit-recsys  (gold|no level computed)  (\S+|not) installed  ",
        taskkit("plugins", "search", "sasrec").stdout,
    )
    assert len(taskkit("plugins", "search", "--no-plugins").stdout.splitlines()) == len(INDEX["plugins"])
    none = taskkit("plugins", "search", "sasrec", "zebra")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "No published plugin has 'sasrec' and 'zebra'.\n")
