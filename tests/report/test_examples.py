"""The raw examples of a report: shown as their fact says, also by a stranger's plugin, and no more than that."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

import taskkit
from taskkit import Attachment, Record
from taskkit.cli import main
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.report import media
from taskkit.report.make import report

WAVES = Path(__file__).parents[2] / "docs" / "how-to" / "waves.yaml"


@dataclass(frozen=True)
class Waves:
    """A run of a stranger's forecasts, the plugins with which it was made, and what the terminal said."""

    run: Path
    plugins: Plugins
    said: str


@pytest.fixture(scope="module")
def waves(series_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Waves:
    """One that was asked for a report at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(series_site))
        patch.setenv("TASKKIT_PLUGINS", "series")
        out = tmp_path_factory.mktemp("waves") / "run"
        changes = ["trainer.max_epochs=1", "trainer.accelerator=cpu"]
        ended = CliRunner().invoke(main, ["run", str(WAVES), *changes, "--out", str(out), "--report"])
        assert ended.exit_code == 0, ended.output
        return Waves(out, discover({"series"}), ended.output)


def test_a_run_says_how_it_is_read_and_is_where_that_was_asked_for(waves: Waves) -> None:
    assert f"read it:  taskkit report {waves.run}" in waves.said
    assert f"report: {waves.run}/report.html" in waves.said
    assert ">Waves</h1>" in (waves.run / "report.html").read_text()


def test_a_strangers_examples_are_drawn_and_their_worst_stands_first(waves: Waves) -> None:
    run, plugins = waves.run, waves.plugins
    rows = taskkit.load_run(run, plugins=plugins).predictions().to_pylist()
    html = report([str(run)], plugins)
    shown = re.findall(r"<h3>(.*?)</h3>", html)
    assert shown == [row["id"] for row in sorted(rows, key=lambda row: -row["absolute_error"])[:8]]
    assert html.count('class="spark"') >= len(shown)
    assert "found nothing" in html


def test_of_data_that_are_gone_or_others_it_says_so_and_shows_the_answers(waves: Waves) -> None:
    run, plugins = waves.run, waves.plugins
    whole = report([str(run)], plugins)
    said = json.loads((run / "run.json").read_text())
    others = {**said, "data": {**said["data"], "fingerprint": "another"}}
    try:
        (run / "run.json").write_text(json.dumps(others))
        html = report([str(run)], plugins)
    finally:
        (run / "run.json").write_text(json.dumps(said))
    assert "The data are others now" in html
    unknown = report([str(run)], Plugins(()))
    assert "The data could not be had: " in unknown
    for page in (html, unknown):
        assert re.findall(r"<h3>(.*?)</h3>", page) == re.findall(r"<h3>(.*?)</h3>", whole)


def test_a_fact_whose_show_fails_is_told_and_the_rest_is_there(waves: Waves, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskkit_series.sections import Series

    run, plugins = waves.run, waves.plugins
    monkeypatch.setattr(Series, "show", lambda self, value: value["no such"], raising=False)
    html = report([str(run)], plugins)
    assert "Series.show` raised TypeError" in html
    assert "test/mae" in html


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<b>text</b>", "&lt;b&gt;text"),
        ("a" * 900, "500 letters more"),
        ([], "nothing"),
        (["one", "two"], "<li><p"),
        ([0.5] * 40, "28 more"),
        ({"why": "<i>"}, "&lt;i&gt;"),
        (Path("/home/me/secret/cat.png"), ">cat.png<"),
        (None, "—"),
        (Attachment(b"picture", ".png"), f"data:image/png;base64,{base64.b64encode(b'picture').decode()}"),
        ({"2.0 s": Attachment(b"sound", ".flac")}, "data:audio/flac;base64,"),
        (Attachment(b"x", ".exe"), "a .exe file of 1 B, which no browser shows"),
        (Attachment(b"x" * 300_000, ".png"), "more than the 250.0 kB of one example"),
    ],
    ids=str,
)
def test_whatever_a_fact_shows_becomes_html_without_markup_of_its_own(value: object, shown: str) -> None:
    found = str(media.html(value))
    assert shown in found
    assert "secret" not in found


def test_what_is_too_much_is_left_out_and_told() -> None:
    large = {str(number): Attachment(bytes(200_000), ".png") for number in range(5)}
    made, left = media.within_budget(large)
    assert [("<img" in made[name]) for name in large] == [True, True, True, False, False]
    assert left.startswith("2 of 5 examples are without their media")


def test_a_record_shows_its_fields() -> None:
    class Upper(taskkit.Fact):
        def show(self, value: str) -> str:
            return value.upper()

    assert Record({"a": Upper(), "b": taskkit.Fact()}).show({"a": "x", "b": 3}) == {"a": "X", "b": 3}


def test_files_beside_a_run_are_never_embedded(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "run" / "predictions").mkdir(parents=True)
    (tmp_path / "run" / "predictions" / "mask.png").write_bytes(b"mask")
    (tmp_path / "run" / "predictions" / "link.png").symlink_to(tmp_path / "secret.png")
    run = tmp_path / "run"
    assert "<img" in media.prediction("predictions/mask.png", run)
    (run / "predictions" / "large.png").write_bytes(bytes(50_000))
    assert media.prediction("predictions/large.png", run) == media.html("predictions/large.png, of 50.0 kB")
    for name in ("predictions/../../secret.png", "predictions/link.png", "predictions/none.png"):
        assert "<img" not in media.prediction(name, run)
