"""An encrypted run: nothing of an example lies on the disk, and with its key it is read as any other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from click.testing import CliRunner

import taskkit
from taskkit.cli import main
from taskkit.compare.comparison import compare
from taskkit.contracts.hookspecs import hookimpl
from taskkit.engine.build import same
from taskkit.engine.signals import Preempted
from taskkit.errors import CheckpointError, RecipeError
from taskkit.keyfile import KEY_FILE
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.report.make import report
from taskkit.runs import checkpoint
from taskkit.runs.encryption import is_encrypted

RECIPE = """\
title: Secret
task: {name: text.classification}
model: {name: text.bag, ngrams: 1, min_count: 1}
data: {name: text.table, file: texts.csv, id_column: mail}
loader: {batch_size: 8, cache: false}
trainer: {max_epochs: 2, accelerator: cpu, precision: 32-true}
"""
OVERRIDES = ["privacy.encrypt=true"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run that is encrypted and the same one as it is, and their key."""
    folder = tmp_path_factory.mktemp("encrypted")
    rows = [f"{word} secret{n},{word},person-{n}" for n in range(60) for word in ["ab"[n % 2]]]
    (folder / "texts.csv").write_text("\n".join(["text,label,mail", *rows, ""]))
    (folder / "secret.yaml").write_text(RECIPE)
    (folder / "own.key").write_text("0123456789abcdef" * 4)
    (folder / "own.key").chmod(0o600)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        patch.setenv(KEY_FILE, "own.key")
        taskkit.run("secret.yaml", OVERRIDES, out="run", plugins=discover({"text"}))
        taskkit.run("secret.yaml", out="open", plugins=discover({"text"}))
        yield folder


@pytest.fixture
def plugins() -> Plugins:
    return discover({"text"})


def weights(run: Path) -> dict[str, Any]:
    """The last weights of a run."""
    return checkpoint.read(run / "checkpoints" / "last.ckpt").state


def holding(folder: Path, text: str) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()}


def test_a_report_reads_its_tables_with_the_key_and_is_never_left_in_the_run_as_it_is(
    place: Path, plugins: Plugins, tmp_path: Path
) -> None:
    page = report([str(place / "run")], plugins, data=False)
    assert "cannot be read" not in page
    assert 'id="classes"' in page
    for words in (["secret.yaml", *OVERRIDES, "--out", str(tmp_path / "new")], ["--resume", "run"]):
        said = CliRunner().invoke(main, ["run", *words, "--report"])
        assert (said.exit_code, "is encrypted (privacy.encrypt), and a report" in said.output) == (2, True), said.output
    assert not (tmp_path / "new").exists()
    assert not (place / "run" / "report.html").exists()


def test_no_example_and_no_word_of_one_is_on_the_disk(place: Path) -> None:
    names = {path.name for path in (place / "run").rglob("*") if is_encrypted(path)}
    assert names == {"best.ckpt", "last.ckpt", "predictions.parquet", "classes.csv", "confusion.csv"}
    assert holding(place / "run", "secret1") == holding(place / "run", "person-") == set()
    assert not list(place.rglob(".last.ckpt"))
    assert holding(place / "open", "secret1")
    assert holding(place / "open", "person-")
    assert not (place / "run" / "log.txt").exists()


def test_it_is_judged_asked_compared_and_read_as_any_other(place: Path, plugins: Plugins) -> None:
    secret, plain = (taskkit.load_run(place / name, plugins=plugins) for name in ("run", "open"))
    assert secret.metrics == plain.metrics == secret.evaluate().metrics
    assert secret.predictions().equals(plain.predictions())
    assert secret.read("classes.csv") == plain.read("classes.csv")
    assert secret.predict(["a secret1"]) == plain.predict(["a secret1"])
    assert same(weights(secret.path), weights(plain.path))
    assert not any("no test" in note for note in compare([str(place / "run"), str(place / "open")], ()).notes)


class Stop(pl.Callback):
    """Sends this process a signal at the start of a batch."""

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
        if trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    @hookimpl
    def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
        return [self]


def test_a_run_that_was_stopped_goes_on_and_ends_as_the_other(
    place: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Preempted):
        taskkit.run("secret.yaml", OVERRIDES, out="stopped", plugins=discover({"text"}, extra={"stop": Stop()}))
    assert is_encrypted(place / "stopped" / "checkpoints" / "last.ckpt")
    assert holding(place / "stopped", "person-") == set()
    with monkeypatch.context() as patch:
        patch.delenv(KEY_FILE)
        with pytest.raises(CheckpointError, match=r"last\.ckpt: it is encrypted, and no key was given"):
            taskkit.resume("stopped", plugins=plugins)
    gone_on = taskkit.resume("stopped", plugins=plugins)
    assert gone_on.status == "finished"
    assert same(weights(gone_on.path), weights(place / "open"))
    assert holding(place / "stopped", "person-") == holding(place / "stopped", "secret1") == set()


def test_nothing_begins_without_a_key(place: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_FILE)
    with pytest.raises(CheckpointError, match=r"privacy\.encrypt is true, and no key was given\. Name the file by"):
        taskkit.run("secret.yaml", OVERRIDES, out="none", plugins=plugins)
    assert not (place / "none").exists()
    with pytest.raises(RecipeError, match=r"privacy\.encrypt is true, and trainer\.strategy is deepspeed"):
        taskkit.run(
            "secret.yaml", [*OVERRIDES, "trainer.strategy=deepspeed", "trainer.accelerator=auto"], plugins=plugins
        )


def test_the_key_may_be_named_anywhere_among_the_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_FILE, "none.key")
    refused = CliRunner().invoke(main, ["compare", "run", "open"])
    assert refused.exit_code == 2
    assert "none.key: the key of encryption cannot be read: No such file" in refused.output
    for words in (["compare", "run", "--key-file", "own.key", "open"], ["--key-file=own.key", "compare", "run"]):
        monkeypatch.setenv(KEY_FILE, "none.key")
        assert CliRunner().invoke(main, words).exit_code == 0
    assert "--key-file needs a file" in CliRunner().invoke(main, ["compare", "run", "--key-file"]).output


def test_why_a_run_failed_is_not_kept_where_it_may_quote_data(place: Path, plugins: Plugins) -> None:
    lines = (place / "texts.csv").read_text()
    try:
        (place / "texts.csv").write_text(lines.replace("person-7", "person-8"))
        with pytest.raises(taskkit.DataError, match="its id 'person-8'"):
            taskkit.run("secret.yaml", OVERRIDES, out="failed", plugins=plugins)
    finally:
        (place / "texts.csv").write_text(lines)
    assert holding(place / "failed", "person-8") == set()
    assert "is not kept" in str(taskkit.load_run(place / "failed", plugins=plugins).manifest.reason)


def test_nothing_of_the_library_is_loaded_where_nobody_asks(place: Path) -> None:
    source = "import sys\nfrom taskkit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", source, "compare", "open"], cwd=place, capture_output=True, text=True)
    assert "taskkit.runs.encryption" in ended.stderr
    assert not any(name.startswith("cryptography") for name in ended.stderr.split())
