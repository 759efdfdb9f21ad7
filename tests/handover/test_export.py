"""A network becomes a program that answers alike in every shape, without the plugin's code; what does not is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import taskkit
from taskkit.batches.encode import samples_of
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.handover import export as programs
from taskkit.handover import onnx, recurrent
from taskkit.handover.answers import strange, tensors, with_tensors
from taskkit.handover.folder import ProgramFacts
from taskkit.handover.parity import parity
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load

NEEDS_ONNX = pytest.mark.skipif(bool(onnx.missing()), reason="needs the extra onnx")
RECIPE = """
title: Waves
seed: 3
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves}
trainer: {max_epochs: 1, accelerator: cpu}
"""
FRESH = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
torch.save(program({"past": torch.load(sys.argv[2])}), sys.argv[3])
assert not [name for name in sys.modules if name.startswith("taskkit")]
"""


@dataclass(frozen=True)
class Waves:
    """A network as it is before training, with examples of its data and the samples that they become."""

    built: Built
    examples: list[taskkit.Example]
    samples: list[taskkit.Sample]


@pytest.fixture
def waves(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Waves:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    path = tmp_path / "waves.yaml"
    path.write_text(RECIPE)
    plugins = discover({"series"})
    recipe = load([path], [], plugins).recipe
    prepared = build.prepare(build.data_module(recipe), recipe)
    built = build.build(recipe, prepared)
    examples = [prepared.splits["test"][number] for number in range(9)]
    return Waves(built, examples, [sample for each in examples for sample in samples_of(each, built.processor)])


def in_stead(built: Built, change: Callable[[nn.Module], nn.Module]) -> Built:
    """The same with a model that gives another network to be exported."""

    class Other(type(built.model)):  # type: ignore[misc]
        def exportable(self, network: nn.Module) -> nn.Module:
            return change(network)

    return replace(built, model=Other(built.model.config))


class Changed(nn.Module):
    def __init__(self, network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.change = change

    def forward(self, past: Tensor) -> Tensor:
        return self.change(self.network(past))


def test_a_program_runs_in_a_process_that_has_torch_alone(waves: Waves, tmp_path: Path) -> None:
    path = programs.export(waves.built, waves.samples).save(tmp_path / "program.pt2")
    past = torch.stack([sample["past"] for sample in waves.samples])
    torch.save(past, tmp_path / "past.pt")
    files = [str(path), str(tmp_path / "past.pt"), str(tmp_path / "out.pt")]
    subprocess.run([sys.executable, "-c", FRESH, *files], check=True, cwd=tmp_path, env={"OMP_NUM_THREADS": "1"})
    with torch.no_grad():
        expected = waves.built.network.eval()(past)
    assert torch.allclose(torch.load(tmp_path / "out.pt")["output"], expected, atol=1e-6)


def test_it_answers_alike_in_shapes_that_it_was_not_exported_by(waves: Waves, tmp_path: Path) -> None:
    program = programs.export(waves.built, waves.samples)
    found = parity(
        waves.built, program.used, programs.read(program.save(tmp_path / "p.pt2")), waves.examples, waves.samples
    )
    assert found.holds
    assert program.inputs == {"past": (None, 12)}
    assert [shape["past"][0] for shape in found.shapes] == [1, 4, 7]
    assert not set(map(str, found.shapes)) & set(map(str, program.used))
    assert found.answers == 12


@pytest.mark.parametrize(("size", "holds"), [(1e-7, True), (0.01, False)])
def test_a_program_that_answers_otherwise_does_not_pass(waves: Waves, tmp_path: Path, size: float, holds: bool) -> None:
    built = in_stead(waves.built, lambda network: Changed(network, lambda out: out + size))
    program = programs.export(built, waves.samples)
    found = parity(built, program.used, programs.read(program.save(tmp_path / "p.pt2")), waves.examples, waves.samples)
    assert found.holds == holds
    assert found.apart.size == pytest.approx(size, abs=2e-7)
    assert bool(found.changed) != holds


def test_a_network_that_depends_on_a_value_is_refused_with_the_reason(waves: Waves) -> None:
    built = in_stead(waves.built, lambda network: Changed(network, lambda out: out[: int(out.argmax())]))
    with pytest.raises(
        taskkit.TaskkitError, match=r"series\.mlp .*torch\.export cannot export its network: .*no `\.item"
    ):
        programs.export(built, waves.samples)


def test_a_batch_that_is_fixed_is_refused_with_what_to_write(waves: Waves) -> None:
    built = in_stead(waves.built, lambda network: Changed(network, lambda out: out.expand(len(out), -1)))
    with pytest.raises(taskkit.TaskkitError, match=r"`tensor\.shape\[0\]` for `len\(tensor\)`"):
        programs.export(built, waves.samples)


@NEEDS_ONNX
def test_onnxruntime_answers_alike(waves: Waves, tmp_path: Path) -> None:
    program = programs.export(waves.built, waves.samples)
    ask = onnx.read(onnx.save(program, tmp_path / "program.onnx"))
    found = parity(waves.built, program.used, ask, waves.examples, waves.samples)
    assert found.holds
    assert found.answers == 12


OLD = Path(__file__).parents[1] / "runs" / "0.1"


@pytest.mark.parametrize("words", [12, 1])
@pytest.mark.parametrize("form", ["torch", pytest.param("onnx", marks=NEEDS_ONNX)])
def test_texts_of_one_length_make_a_program_for_texts_of_any(form: str, words: int, tmp_path: Path) -> None:
    """An LSTM: torch's own ways write it down for one length, or as a loop, which ONNX has not.

    Long texts are cut; short ones, of which twice as much is padded to the same, are repeated.
    """
    run = taskkit.load_run(OLD / "text")
    examples = [taskkit.Example(str(n), " ".join(["rain"] * words)) for n in range(12)]
    samples = [sample for each in examples for sample in samples_of(each, run.built.processor)]
    assert len({run.built.processor.padded_length(len(sample["input_ids"])) for sample in samples}) == 1
    program = programs.export(run.built, samples)
    assert program.inputs == {"input_ids": (None, None), "attention_mask": (None, None)}
    assert sum("lstm" in str(node.target) for node in program.exported.graph.nodes) == 2
    if form == "onnx":
        ask = onnx.read(onnx.save(program, tmp_path / "program.onnx"))
    else:
        ask = programs.read(program.save(tmp_path / "program.pt2"))
    found = parity(run.built, program.used, ask, examples, samples)
    assert found.holds
    assert {shape["input_ids"][1] for shape in found.shapes} == {8, 16}
    short = run.built.processor.collate(
        [
            s
            for text in ("sun", "rain wind sun cold warm snow rain")
            for s in run.built.processor.encode(taskkit.Example("", text))
        ]
    )
    inputs = {name: short[name] for name in program.inputs}
    with torch.no_grad():
        expected = run.built.network.eval()(**inputs)
    assert torch.allclose(ask(inputs)["output"], expected, atol=1e-6)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, bidirectional=True)
        self.gru = nn.GRU(4, 3, bidirectional=True)

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        said, (hidden, cell) = self.lstm(values)
        return said, hidden, cell, *self.gru(values)


def test_recurrent_networks_are_traced_whole_and_torch_is_as_it_was_afterwards() -> None:
    network, length = Recurrent().eval(), torch.export.Dim.DYNAMIC
    kernels = dict(torch.ops.aten.lstm.input.py_kernels)
    with torch.no_grad(), recurrent.whole(), programs.unheard():
        program = torch.export.export(network, (torch.randn(5, 2, 4),), dynamic_shapes=({0: length},), strict=False)
    assert torch.ops.aten.lstm.input.py_kernels == kernels
    longer = torch.randn(9, 2, 4)
    with torch.no_grad():
        for one, other in zip(network(longer), program.module(check_guards=False)(longer), strict=True):
            assert torch.equal(one, other)


def test_a_size_that_a_program_does_not_take_is_told_in_words() -> None:
    facts = ProgramFacts({"image": {"dtype": "float32", "shape": [None, 3, 8]}}, ("output",), None)
    ask = facts.taking(lambda inputs: {"output": inputs["image"]})
    assert "output" in ask({"image": torch.ones(5, 3, 8)})
    for given in ((5, 3, 9), (5, 3)):
        with pytest.raises(taskkit.DataError, match=r"image of the size \(5, 3.*the program takes \(any, 3, 8\)"):
            ask({"image": torch.ones(given)})


class Pair(NamedTuple):
    logits: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Held:
    pair: Pair
    name: str


@pytest.mark.parametrize(
    "answer",
    [
        torch.ones(2),
        {"a": torch.ones(1), "b": [torch.zeros(2), (torch.ones(3),)]},
        Pair(torch.ones(2), None),
        Held(Pair(torch.ones(1), torch.zeros(1)), "held"),
    ],
)
def test_an_answer_is_taken_apart_and_put_together_again(answer: Any) -> None:
    found = tensors(answer)
    again = with_tensors(answer, {name: tensor + 1 for name, tensor in found.items()})
    assert type(again) is type(answer)
    assert tensors(again).keys() == found.keys()
    assert all(torch.equal(tensors(again)[name], found[name] + 1) for name in found)
    assert strange(answer) == ""


def test_what_is_no_tensor_is_named() -> None:
    assert strange({"logits": torch.ones(1), "path": Path()}) == "PosixPath"
