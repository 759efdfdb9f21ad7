"""The code of the how-to pages on networks, data, metrics and verbs: installed, trained, asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification

import taskkit
from taskkit.cli import main
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from tests.conftest import install
from tests.same_run import weights

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SHORT = ["trainer.accelerator=cpu", "trainer.max_epochs=1"]


@dataclass(frozen=True)
class Guides:
    """The installed package."""

    plugins: Plugins

    def run(self, name: str, out: Path, *changes: str) -> taskkit.LoadedRun:
        """A short run of one of its recipes."""
        return taskkit.run(f"guide_{name}", [*SHORT, *changes], out=out, plugins=self.plugins)


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guides]:
    """`taskkit-guides`, installed by pip."""
    folder = tmp_path_factory.mktemp("guides")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(install(EXAMPLES / "taskkit-guides", folder / "site")))
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        yield Guides(discover())


def test_a_network_from_elsewhere_learns(guides: Guides, tmp_path: Path) -> None:
    run = guides.run("module", tmp_path / "run", "trainer.max_epochs=2")
    assert run.metrics["test/accuracy"] > run.manifest.baseline["test/accuracy"] + 0.3


def test_a_module_of_lightning_learns_in_its_new_places_and_answers_with_files(guides: Guides, tmp_path: Path) -> None:
    first = guides.run("lightning", tmp_path / "first", "optim.lr=1e-9").metrics["test/error"]
    run = guides.run("lightning", tmp_path / "run", "trainer.max_epochs=5")
    assert run.metrics["test/error"] < 0.7 * first
    assert "test/error" in run.manifest.intervals
    restored = [*(tmp_path / "run").rglob("*.pgm")]
    assert restored[0].read_bytes().startswith(b"P5 16 16 255\n")


def test_weights_of_hugging_face_are_begun_with_and_recorded(guides: Guides, tmp_path: Path) -> None:
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 128}
    theirs = ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, num_channels=1, num_labels=3, **heads))
    theirs.save_pretrained(tmp_path / "weights")
    changes = [f"model.weights={tmp_path / 'weights'}", "trainer.limit_train_batches=2", "optim.lr=1e-12"]
    run = guides.run("huggingface", tmp_path / "run", *changes)
    assert run.status == "finished"
    name = "vit.embeddings.patch_embeddings.projection.weight"
    (ours,) = (tensor for key, tensor in weights(run.path).items() if key.endswith(name))
    assert torch.allclose(ours, theirs.state_dict()[name], atol=1e-4)
    assert str(tmp_path / "weights") in (run.path / "run.json").read_text()

    file = tmp_path / "weights" / "model.safetensors"
    save_file({key: tensor for key, tensor in load_file(file).items() if key != name}, file)
    with pytest.raises(taskkit.CheckpointError, match=r"weights: its .* is not of the shape in the section"):
        guides.run("huggingface", tmp_path / "refused", *changes)


def test_other_data_and_another_metric_go_with_what_is_there_and_a_verb_reads_the_run(
    guides: Guides, tmp_path: Path
) -> None:
    run = guides.run("data", tmp_path / "run")
    assert 0 < run.metrics["test/brier"] < 2
    for name in ("test/brier", "test/kappa"):
        assert run.manifest.intervals[name].low is not None, run.manifest.intervals[name].note
    ended = CliRunner().invoke(main, ["confused", str(tmp_path / "run")])
    assert ended.exit_code == 0, ended.output
    assert {line.partition("\t")[2] for line in ended.output.splitlines()} <= {
        "odd taken for even",
        "even taken for odd",
    }
