"""The benchmarks: rows do the same work, one of other work is given no figure, pages are of their results."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torchvision.datasets import MNIST
from transformers import BertConfig, BertModel

from taskkit_image.examples import ImageExamples
from taskkit_image.sections import Vit
from taskkit_image.vit import VisionTransformer
from taskkit_text.head import Head
from taskkit_text.transformer import TextTransformer

BENCHMARKS = Path(__file__).parent / "benchmarks"
RESULTS = BENCHMARKS.parents[1] / "docs" / "results"


@pytest.fixture
def fine_tuning(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("fine_tuning")


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("beside")


def result(**changes: Any) -> dict[str, Any]:
    """A result of three rows alike, but for what the default order's is said to have done."""
    run = {"seconds": 300.0, "cpu_seconds": 290.0, "memory": 2**30, "accuracy": 0.97, "steps": 309}
    run["rates"] = {"50": 9e-5, "309": 0.0}
    names = ("taskkit", "grouped", "default")
    rows = [{"row": name, "says": name, "runs": [run | (changes if name == "default" else {})]} for name in names]
    return measured(rows)


def measured(rows: list[dict[str, Any]], **protocol: Any) -> dict[str, Any]:
    """A result of these rows, of some machine."""
    return {
        "date": "2026-11-27",
        "git": {"commit": "0" * 40, "dirty": False},
        "command": "python fine_tuning.py",
        "machine": {"device": "a CPU", "load": [[1.0], [2.0]]},
        "packages": {"torch": "2.11.0"},
        "protocol": {"rounds": 1, "threads": 1, **protocol},
        "rows": rows,
    }


def test_rows_of_the_same_work_have_figures(fine_tuning: ModuleType) -> None:
    page = fine_tuning.page(result(accuracy=0.951, rates={"1": 1e-5, "50": 9e-5, "309": 0.0}))
    assert "| default | 290 | 300 | 1.0 | 0.9510 |" in page
    assert "1.00 × taskkit's seconds of the CPU: Hugging Face's Trainer, its default order" in page


@pytest.mark.parametrize("other", [{"accuracy": 0.949}, {"steps": 308}, {"rates": {"50": 9.1e-5, "309": 0.0}}])
def test_a_row_of_other_work_has_no_figure(fine_tuning: ModuleType, other: dict[str, Any]) -> None:
    page = fine_tuning.page(result(**other))
    assert "| default | FAILED |  |  |  |" in page
    assert "its default order" not in page
    assert "| grouped | 290 |" in page


def test_the_page_is_what_the_result_renders(fine_tuning: ModuleType) -> None:
    found = json.loads((RESULTS / "fine-tuning-cpu.json").read_text())
    assert (RESULTS / "fine-tuning.md").read_text() == fine_tuning.page(found)


def test_both_networks_answer_alike(fine_tuning: ModuleType) -> None:
    pytest.importorskip("datasets")
    by_trainer = importlib.import_module("by_trainer")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = BertModel(BertConfig(vocab_size=50, **shape), add_pooling_layer=False).eval()
    head = Head(16, 8, "mean", 0.0)
    ids, labels = torch.randint(50, (3, 7)), torch.tensor([1, 5, 7])
    mask = torch.arange(7) < torch.tensor([[7], [2], [4]])
    ours = TextTransformer(encoder, head, 7)(ids, mask)
    theirs = by_trainer.Classifier(encoder, head.linear)(ids, mask.long(), labels)
    torch.testing.assert_close(theirs["logits"], ours)
    torch.testing.assert_close(theirs["loss"], nn.functional.cross_entropy(ours, labels))


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scale")


@pytest.mark.parametrize(
    ("cost", "grows"),
    [
        (lambda n: 4 + n / 1000, "1.00"),
        (lambda n: 4 + (n / 1000) ** 2, "2.00"),
        (lambda n: 4 + n / 10**7, ""),
        (lambda n: 4 - n / 10**7, ""),
    ],
    ids=["linear", "quadratic", "little", "less"],
)
def test_growth_is_what_is_above_the_cost_of_the_smallest(
    scale: ModuleType, cost: Callable[[float], float], grows: str
) -> None:
    counts = [1.0, 10_000, 100_000]
    assert scale.exponent(counts, [cost(n) for n in counts]) == grows
    assert scale.exponent(counts[:2], [cost(n) for n in counts[:2]]) == ""


def test_the_page_of_much_data_is_what_the_result_renders(scale: ModuleType) -> None:
    found = json.loads((RESULTS / "scale-cpu.json").read_text())
    assert (RESULTS / "scale.md").read_text() == scale.page(found)


def of_work(**changes: Any) -> dict[str, Any]:
    """A result of SASRec in two rows alike, but for what RecBole's is said to have done."""
    run = {"seconds": 300.0, "cpu_seconds": 50.0, "memory": 2**30, "score": 0.05, "epochs": 6}
    run["same"] = {"parameters": 160_960, "steps": 150, "tested": 943}
    theirs = {**run, "cpu_seconds": 200.0, "packages": {"recbole": "1.2.1"}, **changes}
    work = {"length": 50, "targets": 97_171, "windows": 2_403, "steps": 150}
    return measured([{"row": "taskkit", "runs": [run]}, {"row": "recbole", "runs": [theirs]}], work=work)


def test_works_done_alike_have_figures(beside: ModuleType) -> None:
    page = beside.page({"sasrec": of_work(score=0.041)})
    assert "| RecBole's SASRec and trainer | 6 | 200 | 300 | 1.0 | 0.0410 |" in page
    assert "4.00 × the seconds of the CPU of `taskkit run recipes/recommendation.yaml`" in page
    assert "over 97,171 sequences" in page
    assert "recbole 1.2.1" in page


@pytest.mark.parametrize(
    "other",
    [
        {"score": 0.039},
        {"same": {"parameters": 160_961, "steps": 150, "tested": 943}},
        {"same": {"parameters": 160_960, "steps": 149, "tested": 943}},
        {"same": {"parameters": 160_960, "steps": 150, "tested": 942}},
    ],
)
def test_a_work_done_otherwise_has_no_figure(beside: ModuleType, other: dict[str, Any]) -> None:
    page = beside.page({"sasrec": of_work(**other)})
    assert "| RecBole's SASRec and trainer | FAILED |  |  |  |  |" in page
    assert "×" not in page
    assert "| `taskkit run recipes/recommendation.yaml` | 6 | 50 |" in page


def test_the_page_of_works_is_what_the_results_render(beside: ModuleType) -> None:
    assert (RESULTS / "beside.md").read_text() == beside.page(beside.measured())


def test_digits_are_read_as_they_were_written(beside: ModuleType, tmp_path: Path) -> None:
    vit = importlib.import_module("same_work.vit")
    images = torch.randint(256, (5, 1, 28, 28), dtype=torch.uint8)
    digits = ImageExamples(images, [3, 1, 4, 1, 5], [*"abcde"])
    vit.write_split(tmp_path, "train", digits)
    vit.write_split(tmp_path, "test", digits.take([0, 1]))
    found = MNIST(str(tmp_path), train=True)
    assert torch.equal(found.data, images[:, 0])
    assert found.targets.tolist() == [3, 1, 4, 1, 5]
    assert MNIST(str(tmp_path), train=False).targets.tolist() == [3, 1]


def test_both_vision_transformers_answer_alike(beside: ModuleType) -> None:
    vit = importlib.import_module("same_work.vit")
    shape = {"patch": 7, "width": 16, "depth": 2, "heads": 2}
    ours = VisionTransformer(Vit(**shape, stem="patch", position="learned"), 1, 28, 28, 10)
    theirs = timm.create_model(
        "vit_tiny_patch16_224", num_classes=10, in_chans=1, global_pool="avg", **vit.network(shape)
    )
    names = {
        "pos_embed": "embed.position",
        "patch_embed.proj": "embed.project",
        "attn.qkv": "attention.qkv",
        "attn.proj": "attention.out",
        "fc1": "0",
        "fc2": "2",
    }
    weights, state = {name: weight.detach() for name, weight in ours.named_parameters()}, {}
    for name, value in theirs.state_dict().items():
        own = name
        for theirs_part, ours_part in names.items():
            own = own.replace(theirs_part, ours_part)
        state[name] = weights.pop(own).reshape(value.shape)
    assert not weights
    theirs.load_state_dict(state)
    pixels = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(theirs(pixels / 127.5 - 1), ours(pixels), atol=1e-4, rtol=1e-4)
