"""The same study gives the same numbers wherever its runs are started."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from taskkit.errors import RecipeError
from taskkit.study import file as files
from taskkit.study.clusters import script
from taskkit.study.file import Launch
from tests.same_run import assert_same_run
from tests.study.conftest import Bench

STUDY = "recipes: [one.yaml]\nreport: false\nlaunch: {kind: %s}\n"


@pytest.fixture(scope="module")
def straight(bench: Bench) -> Path:
    """The run by processes here."""
    bench.write(STUDY % "local")
    ended = bench.study("--out=here")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return bench.folder / "here" / "one" / "seed=3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "package"), [("ray", "ray"), ("slurm, cluster: local", "submitit")], ids=["ray", "slurm"]
)
def test_the_same_study_gives_the_same_numbers_elsewhere(kind: str, package: str, bench: Bench, straight: Path) -> None:
    pytest.importorskip(package)
    bench.write(STUDY % kind)
    ended = bench.study(f"--out={package}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    there = bench.folder / package / "one" / "seed=3"
    assert_same_run(straight, there)
    metrics = [json.loads((run / "run.json").read_text())["metrics"] for run in (straight, there)]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "package"), [("ray", "ray"), ("slurm, cluster: local", "submitit")])
def test_a_study_that_is_stopped_saves_its_runs_elsewhere(kind: str, package: str, own_bench: Bench) -> None:
    pytest.importorskip(package)
    own_bench.write(
        f"recipes: {{one: {{recipe: one.yaml, changes: {{trainer.max_epochs: 200}}}}}}\nreport: false\n"
        f"launch: {{kind: {kind}}}\n"
    )
    study = own_bench.begin()
    own_bench.wait(lambda: own_bench.line_of("one/seed=3"))
    study.send_signal(signal.SIGTERM)
    said, _ = study.communicate()
    assert study.returncode == 128 + signal.SIGTERM, said
    assert own_bench.manifest("one/seed=3")["status"] == "preempted"
    assert own_bench.study().returncode == 0
    assert own_bench.manifest("one/seed=3")["status"] == "finished"


def test_what_slurm_would_be_handed_can_be_read(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    options = {"constraint": "h100"}
    section = Launch("slurm", cpus=4, gpus=1, minutes=90, partition="gpu", memory="16GB", options=options)
    lines = script(section, tmp_path).splitlines()
    for wanted in ("time=90", "partition=gpu", "cpus-per-task=4", "gpus-per-node=1", "mem=16GB", "constraint=h100"):
        assert f"#SBATCH --{wanted}" in lines


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        ("{kind: ray, partition: gpu}", "launch.partition is of kind slurm, and launch.kind is ray."),
        ("{minutes: 5}", "launch.minutes is of kind slurm, and launch.kind is local."),
        ("{kind: slurm, gpus: 0.5}", "launch.gpus is 0.5. SLURM gives whole ones."),
        ("{kind: slrum}", "Did you mean 'slurm'?"),
    ],
)
def test_settings_of_another_kind_are_refused(
    launch: str, said: str, tmp_path: Path, write: Callable[[str], Path]
) -> None:
    with pytest.raises(RecipeError) as raised:
        files.read(write(f"recipes: [one.yaml]\nlaunch: {launch}\n"))
    assert said in str(raised.value)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a study file."""

    def made(text: str) -> Path:
        (tmp_path / "study.yaml").write_text(text)
        return tmp_path / "study.yaml"

    return made
