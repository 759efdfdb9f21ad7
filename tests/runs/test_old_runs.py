"""Run directories of taskkit 0.1, one of each modality, are still read, judged and asked."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import taskkit
from taskkit import CheckpointError

OLD = Path(__file__).parent / "0.1"
EXPECTED = json.loads((OLD / "expected.json").read_text())


@pytest.fixture(params=sorted(EXPECTED))
def modality(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a copy of an old run in the working directory, with its data beside it."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    name: str = request.param
    return name


def test_an_old_run_has_the_metrics_that_it_had(modality: str) -> None:
    run = taskkit.load_run(modality)
    expected = EXPECTED[modality]["eval"]
    assert run.status == "finished"
    assert run.metrics == pytest.approx(expected["metrics"], abs=1e-5)
    assert run.evaluate("test", expected["overrides"]).metrics == pytest.approx(expected["metrics"], abs=1e-5)


def test_an_old_run_answers_what_it_answered(modality: str) -> None:
    run = taskkit.load_run(modality)
    asked = EXPECTED[modality]
    for request in (asked["predict"], *asked.get("more_predict", ())):
        answers = run.predict(request.get("inputs", ()), **request.get("options", {}))
        assert _plain(answers) == _approximately(_plain(request["predictions"]))


def test_an_old_run_cannot_be_gone_on_with_and_says_what_can_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    path = Path("image")
    manifest = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(manifest | {"status": "preempted"}))
    with pytest.raises(CheckpointError, match=r"written by an older taskkit.*recipe\.yaml again"):
        taskkit.resume(path)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _approximately(value: Any) -> Any:
    """The same with numbers that need only be near."""
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-5)
    if isinstance(value, dict):
        return {name: _approximately(item) for name, item in value.items()}
    return [_approximately(item) for item in value] if isinstance(value, list) else value
