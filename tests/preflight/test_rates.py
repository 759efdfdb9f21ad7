"""A range test gives each step its rate, says where the loss falls fastest, and leaves nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
from click.testing import CliRunner

from taskkit.cli import main
from taskkit.errors import TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.preflight import rates
from taskkit.preflight.rates import Curve, look

STEPS = 40


def curve(loss: Any, low: float = 1e-6, high: float = 1.0, ended: bool = False) -> Curve:
    found = [low * (high / low) ** (n / 99) for n in range(100)]
    return Curve(found, [loss(math.log10(rate)) for rate in found], 1e-3, ended)


def test_what_is_suggested_is_where_the_loss_falls_fastest_before_its_least() -> None:
    falling = curve(lambda log: 2 - 1 / (1 + math.exp(-4 * (log + 3))))
    assert falling.suggested == pytest.approx(1e-3, rel=0.2)
    # It falls faster still where it comes back from far above, which says nothing.
    back = curve(lambda log: 2 - 1 / (1 + math.exp(-4 * (log + 3))) + (50 * abs(log + 0.5) if log > -1.2 else 0))
    assert back.suggested == pytest.approx(1e-3, rel=0.2)
    assert curve(lambda log: 2.0).suggested is None
    assert "At the first rate the loss was out of bounds" in "\n".join(Curve([], [], 1e-3, ended=True).lines())
    assert "no rate is suggested" in "\n".join(curve(lambda log: 2 + log).lines())


class Seen(rates.Rising):
    """Notes the rate that each step really took."""

    taken: ClassVar[list[list[float]]] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.taken.append([group["lr"] for group in optimizer.param_groups])


def test_each_step_takes_its_own_rate_and_groups_keep_their_proportion(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "Rising", Seen)
    Seen.taken.clear()
    changes = ["optim.warmup=0.5", "trainer.max_epochs=1", "trainer.accumulate_grad_batches=2", "optim.layer_decay=0.5"]
    found = look(["blobs.yaml"], changes, plugins, STEPS, 1e-5, 1e-2)
    assert len(Seen.taken) == len(found.rates) == STEPS
    highest = [max(taken) for taken in Seen.taken]
    wanted = [1e-5 * 1000 ** (n / (STEPS - 1)) for n in range(STEPS)]
    assert highest == pytest.approx(wanted)
    proportions = {tuple(round(rate / max(taken), 6) for rate in taken) for taken in Seen.taken}
    assert len(proportions) == 1
    assert set(proportions.pop()) == {0.5, 1.0}
    assert found.suggested is not None
    assert found.losses[-1] < found.losses[0]


def test_a_loss_out_of_bounds_ends_it_and_is_no_error(plugins: Plugins, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts and "__pycache__" not in path.parts}
    found = look(["blobs.yaml"], ["optim.name=sgd"], plugins, STEPS, 1e-3, 1e9)
    assert found.ended
    assert len(found.losses) < STEPS
    assert all(map(math.isfinite, found.losses))
    after = {path for path in tmp_path.rglob("*") if "cache" not in path.parts and "__pycache__" not in path.parts}
    assert after == before


def test_the_command_line_says_it_in_words_and_as_json(plugins: Plugins) -> None:
    said = CliRunner().invoke(main, ["find", "lr", "blobs.yaml", "--steps", "40"])
    assert said.exit_code == 0, said.output
    assert "The loss falls fastest near optim.lr=" in said.output
    plain = CliRunner().invoke(main, ["find", "lr", "blobs.yaml", "--steps", "40", "--json"])
    assert len(json.loads(plain.stdout)["losses"]) <= 40
    wrong = CliRunner().invoke(main, ["find", "lr", "blobs.yaml", "--from", "1", "--to", "0.1"])
    assert wrong.exit_code == 2
    with pytest.raises(TaskkitError, match=r"max_epochs is 0"):
        look(["blobs.yaml"], ["trainer.max_epochs=0"], plugins, STEPS, 1e-6, 1.0)
