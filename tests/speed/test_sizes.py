"""Batches are made larger until they are no faster or do not fit, and the smallest fast one is named."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from taskkit.cli import main
from taskkit.errors import OutOfMemoryError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.speed import sizes
from taskkit.speed.sizes import Size, Sizes, look


def test_sizes_double_until_a_batch_holds_an_epoch(plugins: Plugins) -> None:
    said: list[str] = []
    found = look(["blobs.yaml"], ["loader.batch_size=32", "trainer.max_epochs=1"], plugins, 5, said.append)
    assert [each.size for each in found.tried] == [32, 64, 128][: len(found.tried)]
    assert all(each.rate > 0 and each.memory > 0 for each in found.tried)
    assert "128" in found.ended or "faster" in found.ended
    assert len(said) >= len(found.tried)


def test_the_smallest_of_the_fast_ones_is_named() -> None:
    tried = [Size(16, 100.0, 10**9), Size(32, 196.0, 2 * 10**9), Size(64, 200.0, 4 * 10**9)]
    found = Sizes("loader.batch_size", 16, tried, "64 was enough.")
    assert found.best.size == 32
    words = "\n".join(found.lines())
    assert "loader.batch_size=32 is the smallest within 5% of the fastest, with 2.0 times as many" in words
    assert "as in the recipe, is within 5%" in "\n".join(Sizes("loader.batch_size", 16, tried[:1], "").lines())


def test_what_would_not_fit_is_not_tried(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_memory", lambda: 1000)
    monkeypatch.setattr(sizes, "_expected", lambda tried: 2000)
    found = look(["blobs.yaml"], [], plugins, 3, lambda words: None)
    assert len(found.tried) == 1
    assert found.ended == "32 was not tried: it would take about 2 KB of 1 KB."


def test_a_batch_that_does_not_fit_ends_it_and_the_first_is_an_error(plugins: Plugins) -> None:
    found = look(["blobs.yaml"], ["model.fault=greedy", "loader.batch_size=2"], plugins, 3, lambda words: None)
    assert [each.size for each in found.tried] == [2, 4]
    assert found.ended == "8 does not fit into the memory."
    with pytest.raises(OutOfMemoryError):
        look(["blobs.yaml"], ["model.fault=greediest"], plugins, 3, lambda words: None)
    with pytest.raises(TaskkitError, match="max_epochs is 0"):
        look(["blobs.yaml"], ["trainer.max_epochs=0"], plugins, 3)


def test_the_command_line_says_it_in_words_and_as_json(plugins: Plugins) -> None:
    said = CliRunner().invoke(main, ["find", "batch-size", "blobs.yaml", "--steps", "3"])
    assert said.exit_code == 0, said.output
    assert "as in the recipe" in said.stdout
    plain = CliRunner().invoke(main, ["find", "batch-size", "blobs.yaml", "--steps", "3", "--json"])
    assert json.loads(plain.stdout)["key"] == "loader.batch_size"
