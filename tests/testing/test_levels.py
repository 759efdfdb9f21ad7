"""Levels are computed from what was found, and what a plugin says to the kit is checked before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taskkit.cli import main
from taskkit.errors import PluginError, RecipeError
from taskkit.plugins.discovery import discover
from taskkit.testing.declared import Exemption, read
from taskkit.testing.finding import Finding, Level, Outcome, Report
from taskkit.testing.plan import CHECKS
from taskkit.testing.subject import find

NAMES = [check.name for check in CHECKS]
Call = Callable[..., subprocess.CompletedProcess[str]]


def report(*outcomes: tuple[Level, Outcome], asked: Level = "gold", missing: int = 0) -> Report:
    findings = [Finding(f"check {n}", level, "foo", outcome, "") for n, (level, outcome) in enumerate(outcomes)]
    return Report("taskkit-foo", "0.1", "0.2", asked, findings, missing)


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (report(("bronze", "pass"), ("silver", "pass"), ("gold", "pass")), "gold"),
        (report(("bronze", "pass"), ("silver", "exempt"), ("gold", "not due")), "gold"),
        (report(("bronze", "pass"), ("silver", "pass"), ("gold", "not run")), "silver"),
        (report(("bronze", "pass"), ("silver", "fail"), ("gold", "pass")), "bronze"),
        (report(("bronze", "fail"), ("silver", "pass"), ("gold", "pass")), None),
        (report(("bronze", "pass"), ("silver", "pass"), asked="silver"), "silver"),
        (report(("bronze", "pass"), ("silver", "pass"), ("gold", "pass"), missing=1), None),
    ],
)
def test_a_level_is_reached_where_all_that_is_due_for_it_holds(found: Report, level: Level | None) -> None:
    assert found.level == level
    assert found.plain()["level"] == level


def test_it_is_said_how_many_checks_ran_of_how_many_were_due() -> None:
    found = report(
        ("bronze", "pass"), ("silver", "exempt"), ("silver", "not run"), ("gold", "not due"), ("gold", "fail")
    )
    assert found.said == "taskkit-foo 0.1: Bronze (2 of 4 checks ran, 1 exempt) with taskkit 0.2"
    assert (found.plain()["ran"], found.plain()["due"], found.plain()["not_run"]) == (2, 4, 1)


def test_an_exemption_ends_on_its_day_or_with_its_version() -> None:
    by_day, by_version = (Exemption(["moves"], "why", until) for until in ("2027-06-01", "0.4"))
    assert not by_day.expired("9.0", date(2027, 5, 31))
    assert by_day.expired("0.1", date(2027, 6, 1))
    assert not by_version.expired("0.3.9", date(2099, 1, 1))
    assert by_version.expired("0.4.0", date(2026, 1, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recipe: {a: [b]}\n", "1:1: recipe is not a field of conformance.yaml. Did you mean 'recipes'?"),
        ("recipes: {a: []}\n", "recipes.a is empty. Expected a recipe and its changes"),
        (
            'exempt: [{checks: [move], reason: r, until: "1"}]\n',
            "there is no check 'move'. Expected some of loads, light",
        ),
        ("exempt: [{checks: [moves], reason: r, until: soon}]\n", "'soon' is neither a day nor a version"),
        ("exempt: [{checks: [moves], reason: ' ', until: 2027-01-01}]\n", "an exemption without a reason"),
        ("exempt: [{checks: [moves], reason: r}]\n", "exempt.0.until is missing"),
        ("recipes: [\n", "this is not YAML"),
    ],
)
def test_a_file_with_faults_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "conformance.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as refused:
        read(path, NAMES)
    assert str(refused.value).startswith(f"{path}:")
    assert said in str(refused.value)


@pytest.fixture
def check(
    series_site: Path, sound_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """`taskkit plugins check …` in this process, which has torch already."""
    for site in (series_site, sound_site):
        monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", f"{series_site}:{sound_site}")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["plugins", "check", *words, "--level", "bronze"])


def test_a_plugin_is_checked_by_its_name_and_the_level_is_said(check: Callable[..., Result], tmp_path: Path) -> None:
    said = check("taskkit-series")
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines()[-1].startswith("taskkit-series 0.3.0: Bronze (6 of 6 checks ran) with taskkit ")
    (tmp_path / "conformance.yaml").write_text('exempt: [{checks: [light], reason: slow, until: "9"}]\n')
    found = json.loads(check("taskkit-series", "--file", "conformance.yaml", "--json").stdout)
    assert (found["level"], found["ran"], found["due"], found["exempt"]) == ("bronze", 5, 6, 1)
    assert {each["check"]: each["exemption"] for each in found["findings"]}["light"] == "slow (until 9)"


def test_the_exit_code_is_1_where_a_check_fails_and_what_to_do_is_said(check: Callable[..., Result]) -> None:
    ended = check("taskkit-sound")
    assert ended.exit_code == 1
    assert "taskkit_sound.tone:Tone is no taskkit.Model" in ended.stdout
    assert "Mend the declaration" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("taskkit-sound 1.2.3: no level (6 of 6 checks ran) with taskkit ")


def test_an_exemption_lets_pass_what_it_names_and_nothing_once_it_has_ended(
    check: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "conformance.yaml"
    outcomes = []
    for only, until in (("'sound.tone*'", "2"), ("'series.*'", "2"), ("'sound.tone*'", "1.2")):
        file.write_text(f'exempt: [{{checks: [declared], only: [{only}], reason: a stub, until: "{until}"}}]\n')
        findings = json.loads(check("taskkit-sound", "--file", str(file), "--json").stdout)["findings"]
        outcomes += [(each["outcome"], each["found"]) for each in findings if each["check"] == "declared"]
    assert [outcome for outcome, _ in outcomes] == ["exempt", "fail", "fail"]
    assert "its exemption has ended: a stub (until 1.2)" in outcomes[2][1]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("taskkit-soundd", "no distribution named 'taskkit-soundd' is installed. Did you mean 'taskkit-sound'?"),
        ("pluggy", "is no plugin: it has no entry point in the group 'taskkit'"),
        ("folder", "pyproject.toml: no name of a distribution can be read"),
    ],
)
def test_what_is_no_plugin_is_told_before_any_work(
    taskkit: Call, sound_site: Path, tmp_path: Path, word: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "pyproject.toml").write_text("[tool]\n")
    ended = taskkit("plugins", "check", word, sites=(sound_site,))
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nothing", "with --plugin FILE; `taskkit plugins search`"),
        ("mine.py", "a file is no distribution, so it reaches no level. The source folder"),
        ("folder", "this folder has no pyproject.toml. The source folder"),
    ],
)
def test_no_name_that_nobody_may_own_is_advised(
    word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError) as raised:
        find(word, discover([]), [])
    assert said in str(raised.value)
    assert "pip install" not in str(raised.value)


LINE = """
from taskkit.testing import conformance

TestConformance = conformance("taskkit-sound", level="bronze", file={file!r})
"""


def test_one_line_in_a_test_file_is_a_test_for_each_check(
    environment: Callable[..., dict[str, str]], sound_site: Path, tmp_path: Path
) -> None:
    file = tmp_path / "conformance.yaml"
    file.write_text('exempt: [{checks: [light], reason: slow, until: "9"}]')
    (tmp_path / "test_conformance.py").write_text(LINE.format(file=str(file)))
    words = [sys.executable, "-m", "pytest", "-p", "taskkit.testing.summary", "-p", "no:cacheprovider", "-q", "-rA"]
    words += ["-W", "error::pytest.PytestWarning"]
    ended = subprocess.run(words, cwd=tmp_path, env=environment(sound_site), capture_output=True, text=True)
    assert "taskkit-sound 1.2.3: no level (5 of 6 checks ran, 1 exempt) with taskkit " in ended.stdout, ended.stdout
    assert "test[bronze-loads-taskkit-sound]" in ended.stdout
    counts = {word: ended.stdout.count(f"\n{word} ") for word in ("PASSED", "FAILED", "SKIPPED")}
    assert counts == {"PASSED": 3, "FAILED": 2, "SKIPPED": 1}, ended.stdout
