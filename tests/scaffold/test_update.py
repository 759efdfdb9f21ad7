"""What a plugin is told of a template that has changed since it was written."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taskkit.cli import main
from taskkit.contracts.component import KINDS
from taskkit.scaffold import update
from taskkit.scaffold.answers import Answers
from taskkit.scaffold.naming import Names
from taskkit.scaffold.record import FILE
from taskkit.scaffold.rendering import TEMPLATES
from taskkit.scaffold.writing import write

GITLAB, PYPROJECT = ".gitlab-ci.yml", "pyproject.toml"


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """One that was written today."""
    write(Answers(Names.of("taskkit-foo"), KINDS, "table"), tmp_path)
    return tmp_path / "taskkit-foo"


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """Templates of a later day: other Python versions on a forge, another line for ruff, a file more, other code."""
    later = tmp_path / "later"
    shutil.copytree(TEMPLATES, later)
    _replace(later / "common" / f"{GITLAB}.jinja", 'PYTHON: "3.13"', 'PYTHON: "3.14"')
    _replace(later / "common" / f"{PYPROJECT}.jinja", "line-length = 120", "line-length = 100")
    _replace(later / "table/src/PACKAGE/model.py.jinja", "A network of rows", "Another network of rows")
    (later / "common/.github/CODEOWNERS.jinja").write_text("* @<< modality >>\n")
    return later


def _replace(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def _invoke(*words: str) -> Result:
    return CliRunner().invoke(main, ["plugins", "update", *words])


def test_a_plugin_of_today_has_nothing_to_learn_whatever_its_author_changed(plugin: Path) -> None:
    _replace(plugin / PYPROJECT, 'version = "0.1.0"', 'version = "0.2.0"')
    ended = _invoke(str(plugin))
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert "nothing has changed" in ended.output


def test_packaging_and_tests_on_a_forge_are_compared_and_nothing_else(plugin: Path, later: Path) -> None:
    _replace(plugin / PYPROJECT, "line-length = 120", "line-length = 88")
    found = {each.path: each for each in update.differences(plugin, later)}
    assert {path: each.state for path, each in found.items()} == {
        ".github/CODEOWNERS": "new",
        GITLAB: "changed",
        PYPROJECT: "both",
    }
    shown = "\n".join(found[PYPROJECT].shown())
    # What the template changed, and what the author did.
    assert "-line-length = 120\n+line-length = 100" in shown
    assert "-line-length = 120\n+line-length = 88" in shown
    assert "+line-length = 88" not in "\n".join(found[GITLAB].shown())


def test_what_both_changed_elsewhere_is_merged(plugin: Path, later: Path) -> None:
    _replace(plugin / PYPROJECT, 'version = "0.1.0"', 'version = "0.2.0"')
    assert [conflicts for _, conflicts in update.apply(plugin, later)] == [0, 0, 0]
    text = (plugin / PYPROJECT).read_text()
    assert 'version = "0.2.0"' in text
    assert "line-length = 100" in text
    assert 'PYTHON: "3.14"' in (plugin / GITLAB).read_text()
    assert (plugin / ".github/CODEOWNERS").read_text() == "* @foo\n"
    assert "Another" not in (plugin / "src/taskkit_foo/model.py").read_text()
    assert update.differences(plugin, later) == []


def test_where_both_changed_one_line_it_is_marked(plugin: Path, later: Path) -> None:
    _replace(plugin / PYPROJECT, "line-length = 120", "line-length = 88")
    assert {each.path: conflicts for each, conflicts in update.apply(plugin, later)}[PYPROJECT] == 1
    text = (plugin / PYPROJECT).read_text()
    assert "<<<<<<< as you have it\nline-length = 88\n||||||| as it was written\nline-length = 120\n" in text
    assert ">>>>>>> as it would be now" in text


def test_a_plugin_of_an_older_template_is_brought_up_to_date_by_the_verb(plugin: Path) -> None:
    record = json.loads((plugin / FILE).read_text())
    older = record["packaging"][GITLAB].replace('PYTHON: "3.13"', 'PYTHON: "3.12"')
    record["packaging"][GITLAB] = older
    (plugin / FILE).write_text(json.dumps(record))
    (plugin / GITLAB).write_text(older)

    ended = _invoke(str(plugin))
    assert ended.exit_code == 0
    assert '-      - {PYTHON: "3.12"' in ended.stdout
    assert '+      - {PYTHON: "3.13"' in ended.stdout
    assert (plugin / GITLAB).read_text() == older
    assert _invoke(str(plugin), "--write").exit_code == 0
    assert 'PYTHON: "3.13"' in (plugin / GITLAB).read_text()
    assert "nothing has changed" in _invoke(str(plugin)).output


def test_a_conflict_is_left_to_its_author_with_exit_code_1(plugin: Path) -> None:
    record = json.loads((plugin / FILE).read_text())
    record["packaging"][GITLAB] = record["packaging"][GITLAB].replace('PYTHON: "3.13"', 'PYTHON: "3.12"')
    (plugin / FILE).write_text(json.dumps(record))
    _replace(plugin / GITLAB, 'PYTHON: "3.13"', 'PYTHON: "3.11"')
    ended = _invoke(str(plugin), "--write")
    assert ended.exit_code == 1, ended.output
    assert "1 to be resolved by hand" in ended.output


@pytest.mark.parametrize("content", [None, "{", "[]", '{"answers": {"name": "x", "kinds": ["data"], "like": "pears"}}'])
def test_a_folder_that_is_no_plugin_of_ours_is_told(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    ended = _invoke(str(tmp_path))
    assert ended.exit_code == 2, ended.output
    assert FILE in ended.output
    assert "expected" in ended.output


def test_templates_are_in_the_wheel_beside_the_code() -> None:
    assert TEMPLATES.is_relative_to(Path(sys.modules["taskkit"].__path__[0]))
