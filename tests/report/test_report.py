"""`taskkit report`: the numbers of the page are those of the run, and nothing in a run does harm."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taskkit.cli import main
from taskkit.plugins.registry import Plugins
from taskkit.report.make import report
from taskkit.report.numbers import number
from taskkit.report.reading import read
from taskkit.report.single import wanted
from taskkit.runs.manifest import Cost, DataRecord, Inference
from taskkit.runs.scrub import scrub
from taskkit.verify.finding import Finding, keep
from tests.report.conftest import PROTOCOL

OLD = Path(__file__).parents[1] / "runs" / "0.1"
MakeRun = Callable[..., Path]
VOID = {"meta", "link", "img", "br"}


class Read(HTMLParser):
    """What a page says: its texts by the anchor of their section, its tables, and every attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data.strip()

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == name)


def made(*words: Path | str, plugins: Plugins | None = None, **options: bool) -> Read:
    return Read(report([str(word) for word in words], plugins or Plugins(()), data=False, **options))


def test_the_numbers_in_the_page_are_those_of_the_run(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "cats")
    said = json.loads((run / "run.json").read_text())
    page = made(run)
    for name, value in said["metrics"].items():
        found = said["intervals"][name]
        ends = f"{number(found['low'])}–{number(found['high'])}"
        assert page.row(name)[1:3] == [number(value), ends]
    verdict = page.text["verdict"]
    assert f"Test accuracy is {number(said['metrics']['test/accuracy'])}" in verdict
    assert number(said["intervals"]["test/accuracy"]["low"]) in verdict
    assert "the trivial predictor, which gives 0.3333" in verdict
    assert "1,234" in page.text["cost"]
    assert "300" in page.text["data"]
    confusion = (run / "confusion.csv").read_text().splitlines()[1].split(",")[1:]
    _, counted, *_ = (row for row in page.rows if row[0] == "cat")
    assert [cell.replace("·", "0") for cell in counted[1:]] == confusion


def test_the_surest_wrong_answers_come_first_and_no_right_one_is_among_the_worst(
    make_run: MakeRun, tmp_path: Path
) -> None:
    from pyarrow import parquet

    run = make_run(tmp_path / "cats")
    rows = parquet.read_table(run / "predictions.parquet").to_pylist()
    wrong = sorted((row for row in rows if not row["correct"]), key=lambda row: -row["probability"])
    shown = re.findall(r"<h3>(\d+)</h3>", report([str(run)], Plugins(()), data=False))
    assert shown[:8] == [row["id"] for row in wrong[:8]]
    assert len(shown) == len({*shown}) == min(16, len(wrong))
    assert {*shown} <= {row["id"] for row in wrong}


def test_where_no_score_is_kept_the_first_answers_are_shown(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "cats")
    said = json.loads((run / "run.json").read_text())
    said["protocol"]["statistics"] = {}
    (run / "run.json").write_text(json.dumps(said))
    html = report([str(run)], Plugins(()), data=False)
    assert re.findall(r"<h3>(\d+)</h3>", html) == [f"{row:04}" for row in range(8)]
    assert "these stand first" in html


def test_the_verdict_says_what_is_not_better_than_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    assert "no better than the trivial predictor" in made(make_run(tmp_path / "a", 0.1)).text["verdict"]
    assert "cannot be told apart from the trivial" in made(make_run(tmp_path / "b", 0.4, draw=2)).text["verdict"]
    failed = make_run(tmp_path / "c", status="failed", reason="the disk is full", metrics={}, protocol=None)
    assert "it is failed: the disk is full" in made(failed).text["verdict"]


def test_the_numbers_of_a_scrubbed_run_are_not_taken_for_ids_of_the_data(make_run: MakeRun, tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other", 0.5, draw=2)
    assert wanted(read(one))
    for run in (one, other):
        scrub(run)
    assert wanted(read(one)) == {}
    assert f"{one} was scrubbed" in made(one).text["verdict"]
    assert "was scrubbed" in made(one, other).text["disagreement"]


def test_examples_of_two_data_sets_are_never_held_together_though_both_are_numbered(
    make_run: MakeRun, tmp_path: Path
) -> None:
    runs = [make_run(tmp_path / "one"), make_run(tmp_path / "other", 0.5, protocol=replace(PROTOCOL, splits="another"))]
    assert "no scores of the same examples" in made(*runs, across=True).text["disagreement"]


@pytest.mark.parametrize("name", ["image", "recsys", "speech", "text"])
def test_a_run_of_an_older_release_has_a_report_too(name: str) -> None:
    value = json.loads((OLD / name / "run.json").read_text())["metrics"]
    page = made(OLD / name)
    assert all(page.row(metric)[1] == number(figure) for metric, figure in value.items())
    assert "There is no interval" in page.text["verdict"]


def test_examples_that_were_cut_and_training_that_was_cut_short_are_told(make_run: MakeRun, tmp_path: Path) -> None:
    flagged = {"train": {"truncated": {"count": 7, "examples": ["a"]}}}
    data = DataRecord("points.moons", "abc", {"train": 300}, flagged)
    changes = {"stopped": "early stopping in epoch 3", "remarks": ("Every transcript is empty.",)}
    said = made(make_run(tmp_path / "a", data=data, **changes)).text["verdict"]
    assert "Every transcript is empty." in said
    assert "train: 7 examples are truncated." in said
    assert "Training ended before its last step: early stopping in epoch 3." in said


def test_proofs_are_shown_and_one_that_failed_is_told_first(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    assert "Nothing was proved of this run yet" in made(run).text["proofs"]
    found = Finding("resume", "fail", "weights of a killed training", 0.25, "network.bias", 0.0, "Look at the seed.")
    keep(run, [found, Finding("order", "pass", "metrics in three orders", 0.0, "", 1e-4)])
    page = made(run)
    assert "Proof resume failed: weights of a killed training." in page.text["verdict"]
    assert page.row("resume")[1:] == ["fail", found.compared, "0.25 (network.bias); 0 is allowed. Look at the seed."]
    assert page.row("order")[1] == "pass"


def test_a_loss_that_was_no_number_is_told_since_no_chart_shows_it(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 100, "epoch": 5, "train/loss": NaN}\n{"step": 110, "epoch": 5, "train/loss": Infinity}\n')
    assert "2 values that are no finite number are not drawn" in made(run).text["training"]


def test_of_several_what_was_left_out_or_cannot_be_trusted_is_told(make_run: MakeRun, tmp_path: Path) -> None:
    good = make_run(tmp_path / "runs" / "good")
    make_run(tmp_path / "runs" / "failed", status="failed", reason="the disk is full", metrics={})
    assert "failed" in made(tmp_path / "runs").text["verdict"]
    make_run(tmp_path / "runs" / "other", draw=1)
    (good / "classes.csv").write_text("a,b\n1\n")
    said = made(tmp_path / "runs").text["verdict"]
    assert "runs/failed" in said
    assert "classes.csv" in said


def test_what_cannot_be_read_is_told_and_the_rest_is_there(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "cats")
    (run / "metrics.jsonl").write_text("{\n")
    (run / "predictions.parquet").write_bytes(b"PAR1")
    (run / "classes.csv").write_text("a,b\n1\n")
    (run / "verify.json").write_text("[]")
    (run / "recipe.yaml").unlink()
    page = made(run)
    for file in ("metrics.jsonl", "predictions.parquet", "classes.csv", "verify.json"):
        assert file in page.text["verdict"]
    assert page.row("test/loss")


def test_names_that_are_markup_or_long_or_turn_the_writing_do_no_harm(make_run: MakeRun, tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    name = "\x1b[2J\u202e" + "x" * 200
    runs = [make_run(tmp_path / f"{name}{n}", 0.5 + n / 10, draw=n) for n in range(3)]
    for run in runs:
        said = json.loads((run / "run.json").read_text())
        said["recipe"]["title"] = said["reason"] = said["command"] = f"{evil}\ud83d"
        said["data"] |= {"name": "\u202eevil\x1b[2J", "origins": [{"name": evil, "source": "javascript:alert(1)"}]}
        said["environment"]["packages"] = {evil: evil}
        (run / "run.json").write_text(json.dumps(said))
    for words in ([runs[0]], runs):
        html = report([str(run) for run in words], Plugins(()), data=False)
        page = Read(html.encode().decode())
        assert html.count("<script") == 1
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert not {"\u202e", "\x1b"} & {*html}
        assert len(html) < 1_000_000


def test_nothing_in_it_is_elsewhere(make_run: MakeRun, tmp_path: Path) -> None:
    for words in ([make_run(tmp_path / "a")], [tmp_path / "a", make_run(tmp_path / "b", draw=1)]):
        page = made(*words)
        addresses = [value for _, name, value in page.attributes if name in ("src", "href", "data", "action", "poster")]
        assert all(value.startswith(("#", "data:")) for value in addresses)
        targets = {value for _, name, value in page.attributes if name == "id"}
        assert {value[1:] for value in addresses if value.startswith("#")} <= targets
        assert len(targets) == len([value for _, name, value in page.attributes if name == "id"])


def test_several_runs_are_told_apart_and_their_disagreement_is_counted(make_run: MakeRun, tmp_path: Path) -> None:
    for name, share in (("good", 0.95), ("fair", 0.93), ("poor", 0.4)):
        make_run(tmp_path / "runs" / name, share, draw=len(name) + int(share * 100))
    page = made(tmp_path / "runs")
    verdict = page.text["verdict"]
    assert "good has the best accuracy" in verdict
    assert "It is really better than poor." in verdict
    assert "It cannot be told apart from fair." in verdict
    for name in ("good", "fair", "poor"):
        value = json.loads((tmp_path / "runs" / name / "run.json").read_text())["metrics"]["test/accuracy"]
        assert page.row(name)[2] == number(value)
    assert page.row("optim.lr")[1:] == ["0.95", "0.93", "0.4"]
    assert "all methods get" in page.text["disagreement"]
    assert "optim.lr, the only thing in which the recipes differ" in page.text["setting"]


def test_seeds_of_one_recipe_are_one_method(make_run: MakeRun, tmp_path: Path) -> None:
    resolved = {"title": "cats", "model": {"name": "points.net"}}
    for seed in (1, 2, 3):
        make_run(tmp_path / "runs" / f"seed={seed}", draw=seed, seed=seed, resolved={**resolved, "seed": seed})
    page = made(tmp_path / "runs")
    assert "the mean over the seeds 1, 2, 3" in page.text["verdict"]
    assert {*page.text} >= {"ranking", "training", "runs"}
    assert not {*page.text} & {"differences", "disagreement", "recipes"}


def test_where_neither_way_is_better_none_is_called_better(make_run: MakeRun, tmp_path: Path) -> None:
    for name, share in (("much", 0.95), ("little", 0.3)):
        run = make_run(tmp_path / "runs" / name, share)
        said = json.loads((run / "run.json").read_text())
        said["protocol"]["headline"] = ["loss", "min"]
        said["protocol"]["statistics"]["accuracy"]["direction"] = None
        (run / "run.json").write_text(json.dumps(said))
    verdict = Read(report([str(tmp_path / "runs")], Plugins(()), "accuracy", data=False)).text["verdict"]
    assert "much has the largest accuracy" in verdict
    assert "It really differs from little." in verdict


def test_of_several_seeds_it_says_what_noise_is_and_what_is_of_the_first(make_run: MakeRun, tmp_path: Path) -> None:
    recipe = {"title": "net", "model": {"name": "points.net"}, "optim": {"lr": 0.1}}
    for seed in (1, 2, 3):
        inference = Inference(float(seed), 1000.0 * seed, 64, (50, 50), "cpu")
        cost = Cost(parameters=1234, train_seconds=3.5, examples_per_second=99.5, inference=inference)
        resolved = {**recipe, "seed": seed}
        make_run(tmp_path / f"runs/seed={seed}_lr=0.1", 0.9, draw=seed, resolved=resolved, seed=seed, cost=cost)
    make_run(tmp_path / "runs" / "poor", 0.2, draw=9)
    page = made(tmp_path / "runs")
    assert "lr=0.1 has the best accuracy" in page.text["verdict"]
    assert "curves, classes, settings and the answers on which methods disagree are of the first" in str(page.text)
    assert "Seeds alone put two runs of one recipe up to" in page.text["differences"]
    assert "<0.0001" in page.row("lr=0.1 − poor")
    # The means, and how fast it answers instead of how fast it learns.
    costs = next(row for row in page.rows if row[0] == "lr=0.1" and "2 ms" in row)
    assert costs[1:5] == ["3.5 s", "1,234", "2 ms", "2,000"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["--no-plugins", "report", *map(str, words)])


def test_it_replaces_an_older_report_and_no_other_file(
    make_run: MakeRun, tmp_path: Path, call: Callable[..., Result]
) -> None:
    run = make_run(tmp_path / "cats")
    assert call(run).exit_code == 0
    first = (tmp_path / "report.html").read_text()
    assert call(run, "--no-data").exit_code == 0
    assert "The data could not be had: " in first
    assert "as asked by --no-data" in (tmp_path / "report.html").read_text()
    (tmp_path / "mine.html").write_text("<p>mine")
    refused = call(run, "-o", "mine.html")
    assert refused.exit_code == 2
    assert "mine.html: it is there already, and no report." in refused.output
    assert (tmp_path / "mine.html").read_text() == "<p>mine"
    assert call(run, "-o", "nowhere/a.html").exit_code == 2
    assert call(run, "-o", run).exit_code == 2
    assert call("nothing").exit_code == 2
    assert "say how several runs are compared" in call(run, "--metric", "loss").output


def test_runs_of_several_protocols_are_refused_unless_that_is_asked_for(
    make_run: MakeRun, tmp_path: Path, call: Callable[..., Result]
) -> None:
    make_run(tmp_path / "runs" / "a")
    shutil.copytree(tmp_path / "runs" / "a", tmp_path / "runs" / "b")
    said = json.loads((tmp_path / "runs" / "b" / "run.json").read_text())
    said["protocol"]["splits"] = "others"
    (tmp_path / "runs" / "b" / "run.json").write_text(json.dumps(said))
    refused = call("runs")
    assert refused.exit_code == 2
    assert "were not measured alike" in refused.output
    assert call("runs", "--across-protocols").exit_code == 0
    assert "only their skill may be compared" in (tmp_path / "report.html").read_text()


def test_without_the_data_it_loads_no_torch(
    make_run: MakeRun, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    make_run(tmp_path / "runs" / "a")
    make_run(tmp_path / "runs" / "b", draw=1)
    source = "import sys\nfrom taskkit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", source, "--no-plugins", "report", "runs", "--no-data"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not {*ended.stderr.split()} & {"torch", "pytorch_lightning", "torchmetrics"}


@pytest.mark.slow
def test_twenty_runs_of_ten_thousand_examples_take_seconds(
    make_run: MakeRun, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    for draw in range(20):
        make_run(tmp_path / "runs" / f"m{draw:02}", 0.85 + draw / 200, examples=10_000, draw=draw)
    command = [sys.executable, "-m", "taskkit", "--no-plugins", "report", "runs"]
    # The processor's time: what else the machine does must not decide.
    start = os.times()
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True)
    end = os.times()
    seconds = end.children_user + end.children_system - start.children_user - start.children_system
    print(f"{seconds:.1f} s of a processor")
    assert seconds < 10
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
