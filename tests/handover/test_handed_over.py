"""A run handed over as a folder: it answers as the run does, says what it is, and is read as data alone."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import sklearn
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

import taskkit
from taskkit.cachedir import file_sha256
from taskkit.handover import folder as files
from taskkit.handover import plain, pt2
from taskkit.handover.card import card
from taskkit.handover.folder import Form, Precision
from taskkit.handover.known import known, without_places
from taskkit.handover.write import Handed, write
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load
from taskkit.runs.manifest import DataRecord, Manifest

ROWS = 32
RECIPE = """
title: Digits
seed: 7
task: {name: image.classification}
model: {name: image.mlp, widths: [16]}
data: {name: image.digits}
loader: {workers: 0}
trainer: {max_steps: 5, accelerator: cpu}
"""
PLUGINS = discover({"taskkit-image"})
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of digits, its exports by their forms, and a picture."""
    place = tmp_path_factory.mktemp("handed")
    data = place / "data of one's own"
    data.mkdir()
    shutil.copy(Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz", data)
    (place / "digits.yaml").write_text(RECIPE.replace("image.digits", f'image.digits, root: "{data}"'))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKKIT_CACHE", str(place / "cache"))
        taskkit.run(place / "digits.yaml", out=place / "run", plugins=PLUGINS)
        for form in ("onnx", "torch", "safetensors"):
            write(handed(place), form, "fp32", place / form, PLUGINS)
    torch.set_num_threads(threads)
    for number in range(3):
        pixels = (load_digits().images[number] * 16).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return place


def handed(place: Path) -> Handed:
    loaded = taskkit.load_run(place / "run", plugins=PLUGINS)
    return Handed.of(place / "run", loaded.manifest, loaded.built, loaded.checkpoint, [], ROWS)


@pytest.mark.parametrize("form", ["onnx", "torch", "safetensors"])
def test_a_folder_answers_as_the_network_does(place: Path, form: str) -> None:
    built = taskkit.load_run(place / "run", plugins=PLUGINS).built
    exported = taskkit.load_export(place / form, plugins=PLUGINS)
    inputs = [str(place / f"{number}.png") for number in range(3)]
    samples = [
        built.processor.encode(example)[0]
        for path in inputs
        for example in built.processor.read(path, built.processor.predict_options())
    ]
    with torch.no_grad():
        expected = built.network.eval()(torch.stack([sample["image"] for sample in samples])).softmax(-1)
    answers = exported.predict(inputs)
    assert [each["input"] for each in answers] == inputs
    assert [each["prediction"] for each in answers] == [str(int(row.argmax())) for row in expected]
    assert [each["probability"] for each in answers] == pytest.approx(expected.amax(-1).tolist(), abs=1e-5)


def test_a_folder_answers_in_processes_of_their_own_too(place: Path, tmp_path: Path) -> None:
    exported, inputs = taskkit.load_export(place / "onnx", plugins=PLUGINS), [str(place / f"{n}.png") for n in range(3)]
    for devices in (1, 2):
        exported.predict_into(inputs, tmp_path / f"{devices}.jsonl", devices=devices)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
    with pytest.raises(taskkit.TaskkitError, match="an exported folder answers on the CPU"):
        exported.predict_into(inputs, tmp_path / "many.jsonl", devices=1000)


def test_the_command_line_asks_it_without_torch(place: Path, tmp_path: Path) -> None:
    source = (
        "import sys\nfrom taskkit.cli import main\nmain(sys.argv[1:], standalone_mode=False)\n"
        "found = {'torch', 'torchvision', 'pytorch_lightning', 'lightning_fabric'} & set(sys.modules)\n"
        "assert not found, found\nassert 'onnxruntime' in sys.modules\n"
    )
    words = ["predict", str(place / "onnx"), str(place / "0.png"), "--json"]
    environment = {**os.environ, "TASKKIT_PLUGINS": "taskkit-image"}
    ended = subprocess.run([sys.executable, "-c", source, *words], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["prediction"] in "0123456789"


def test_all_that_was_compared_is_told_with_shapes_that_it_was_not_exported_by(place: Path) -> None:
    network, folder = files.read(place / "onnx").compared
    assert network.holds
    assert network.rows == folder.rows == ROWS
    assert network.largest is not None
    assert network.limit is not None
    assert network.largest <= network.limit
    assert [shape["image"][0] for shape in network.shapes] == [1, 4, 7]
    assert folder.answers == ROWS
    assert not folder.changed
    assert "without torch" in folder.what
    said = (place / "onnx" / "README.md").read_text()
    assert f"{network.largest:.2e}" in said
    assert "0 of 32 others" in said


@pytest.mark.parametrize(("form", "precision"), [("onnx", "bf16"), ("torch", "fp16")])
def test_weights_of_16_bits_are_compared_beside_those_of_32(
    place: Path, tmp_path: Path, form: Form, precision: Precision
) -> None:
    record = write(handed(place), form, precision, tmp_path / "half", PLUGINS)
    full, half, _ = record.compared
    assert (full.precision, half.precision) == ("fp32", precision)
    assert full.largest is not None
    assert half.largest is not None
    assert full.largest < 1e-5 < half.largest < 0.05
    if form == "torch":
        state = torch.export.load(tmp_path / "half" / "program.pt2").state_dict.values()
        assert {each.dtype for each in state if each.is_floating_point()} == {torch.float16}
    else:
        kept = onnx.load(tmp_path / "half/program.onnx").graph.initializer
        assert onnx.TensorProto.BFLOAT16 in {each.data_type for each in kept if len(each.dims) > 1}
        assert onnx.TensorProto.FLOAT not in {each.data_type for each in kept if len(each.dims) > 1}


class Shifted(nn.Module):
    """Answers otherwise than the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image) + 0.01 * torch.arange(10)


def test_of_one_that_answers_otherwise_nothing_is_left_and_how_far_it_is_apart_is_told(
    place: Path, tmp_path: Path
) -> None:
    run = handed(place)

    class Other(type(run.built.model)):  # type: ignore[misc]
        def exportable(self, network: nn.Module) -> nn.Module:
            return Shifted(network)

    other = replace(run, built=replace(run.built, model=Other(run.built.model.config)))
    with pytest.raises(
        taskkit.RunFailedError, match=r"Nothing is exported.*do not answer alike in fp32.*limit is 0\.0001"
    ) as told:
        write(other, "torch", "fp32", tmp_path / "out", PLUGINS)
    assert told.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_a_way_in_that_differs_from_the_processor_is_not_handed_over(place: Path, tmp_path: Path) -> None:
    run = handed(place)
    processor: Any = run.built.processor

    class UpsideDown(type(processor)):  # type: ignore[misc]
        def encode(self, example: taskkit.Example) -> Any:
            return [{**sample, "image": sample["image"].flip(1)} for sample in super().encode(example)]

    processor.__class__ = UpsideDown
    with pytest.raises(taskkit.RunFailedError, match=r"the run and the folder answer.*predictions are others"):
        write(run, "onnx", "fp32", tmp_path / "out", PLUGINS)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(place: Path) -> None:
    with pytest.raises(taskkit.TaskkitError, match="there is something already"):
        write(handed(place), "onnx", "fp32", place / "onnx", PLUGINS)


@pytest.mark.parametrize("name", ["program.onnx", "processor.json", "task.json", "state.safetensors"])
def test_a_file_that_is_not_what_was_exported_is_named_and_not_read(place: Path, tmp_path: Path, name: str) -> None:
    copy = copied(place / "onnx", tmp_path)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(taskkit.CheckpointError, match=rf"{name}: it is not what was exported"):
        taskkit.load_export(copy, plugins=PLUGINS).predict(str(place / "0.png"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', "[" * 100_000])
def test_a_damaged_record_is_an_error_that_names_it(place: Path, tmp_path: Path, text: str) -> None:
    copy = copied(place / "onnx", tmp_path)
    (copy / files.FILE).write_text(text)
    with pytest.raises(taskkit.CheckpointError, match=r"export\.json"):
        taskkit.load_export(copy, plugins=PLUGINS)


class Touches:
    """What leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def changed(archive: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change a member of an archive, and let the export's record state its new hash."""
    with zipfile.ZipFile(archive) as before:
        members = {each: before.read(each) for each in before.namelist()}
    with zipfile.ZipFile(archive, "w") as after:
        for each, content in members.items():
            after.writestr(each, change(content) if each == name else content)
    record = json.loads((archive.parent / files.FILE).read_text())
    record["files"][archive.name] = {"sha256": file_sha256(archive), "bytes": archive.stat().st_size}
    (archive.parent / files.FILE).write_text(json.dumps(record))


def test_a_program_with_a_pickle_that_torch_would_run_is_refused(place: Path, tmp_path: Path) -> None:
    copy, touched = copied(place / "torch", tmp_path), tmp_path / "touched"
    buffer = io.BytesIO()
    torch.save(Touches(touched), buffer, pickle_module=pickle)
    changed(copy / "program.pt2", "program/data/sample_inputs/model.pt", lambda _: buffer.getvalue())
    with pytest.raises(taskkit.CheckpointError, match=r"program\.pt2: refused, since it holds pickled example inputs"):
        taskkit.load_export(copy, plugins=PLUGINS).predict(str(place / "0.png"))
    assert not touched.exists()
    with suppress(Exception):
        torch.export.load(copy / "program.pt2")
    assert touched.exists(), "torch itself no longer runs it: the check may go"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("torch.ops.aten.linear.default", "torch.hub.load", r"a call of 'torch\.hub\.load'"),
        ("torch.ops.aten.linear.default", "torch.ops.aten.from_file.default", "a call of"),
        ('"use_pickle": false', '"use_pickle": true', "a pickle"),
        ("Symbol('s", "__import__('os').system('", "the expression"),
    ],
)
def test_a_program_that_names_what_could_run_is_refused(
    place: Path, tmp_path: Path, old: str, new: str, why: str
) -> None:
    copy = copied(place / "torch", tmp_path)
    name = "program/data/weights/model_weights_config.json" if "pickle" in old else "program/models/model.json"
    with zipfile.ZipFile(copy / "program.pt2") as archive:
        assert old.encode() in archive.read(name)
    changed(copy / "program.pt2", name, lambda content: content.replace(old.encode(), new.encode()))
    with pytest.raises(taskkit.CheckpointError, match=f"refused, since it holds {why}"):
        pt2.check(copy / "program.pt2")


@pytest.mark.parametrize("size", ["Mul(Integer(16), ", "LessThan(Integer(2), ", "Max(1, ", "2*("])
def test_a_program_whose_sizes_are_computed_is_read(place: Path, tmp_path: Path, size: str) -> None:
    copy = copied(place / "torch", tmp_path)
    symbol = re.compile(rb"Symbol\('s\d+'(, \w+=True)*\)")
    changed(
        copy / "program.pt2",
        "program/models/model.json",
        lambda content: symbol.sub(lambda found: size.encode() + found.group() + b")", content),
    )
    pt2.check(copy / "program.pt2")


def copied(folder: Path, target: Path) -> Path:
    """A copy of an exported folder."""
    copy = target / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def test_no_path_of_this_machine_and_no_example_is_in_a_program(place: Path) -> None:
    for name in ("onnx/program.onnx", "torch/program.pt2"):
        assert b"site-packages" not in (place / name).read_bytes()
    with zipfile.ZipFile(place / "torch/program.pt2") as archive:
        assert not archive.read("program/data/sample_inputs/model.pt")


def test_no_place_of_this_machine_is_in_a_folder(place: Path) -> None:
    for form in ("onnx", "torch", "safetensors"):
        for file in (place / form).iterdir():
            assert os.fsencode(place) not in file.read_bytes(), file
        assert load_recipe(place / form)["data"]["root"] == "data of one's own"
    words = ["../x/y", "/", "/b", "https://host/a", "and/or"]
    told = without_places({"a": "/home/me/x.csv", "b": ["~/y", "C:\\data\\z.csv", *words], "c": 1})
    assert told == {"a": "x.csv", "b": ["y", "z.csv", *words], "c": 1}


def load_recipe(folder: Path) -> dict[str, Any]:
    """The recipe of an exported folder, as plain data."""
    found: dict[str, Any] = yaml.safe_load((folder / files.RECIPE).read_text())
    return found


def test_of_an_encrypted_run_it_is_said_that_the_folder_is_not(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = handed(place)
    hidden = replace(run.built.recipe, privacy=replace(run.built.recipe.privacy, encrypt=True))
    resolved = {**run.manifest.resolved, "privacy": {"encrypt": True}}
    built, manifest = replace(run.built, recipe=hidden), replace(run.manifest, resolved=resolved)
    write(replace(run, built=built, manifest=manifest), "safetensors", "fp32", tmp_path / "out", PLUGINS)
    assert "the run is encrypted, and what is exported is not" in caplog.text
    assert "The run is encrypted" in (tmp_path / "out" / files.CARD).read_text()
    assert "The run is encrypted" not in card(manifest, run.directory)


def test_what_a_run_remarks_its_folder_says_in_the_same_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Path(__file__).parents[1] / "runs" / "0.1"
    monkeypatch.chdir(old)
    run = taskkit.load_run(old / "text")
    write(
        Handed.of(run.path, run.manifest, run.built, run.checkpoint, [], 4),
        "onnx",
        "fp32",
        tmp_path / "out",
        run.plugins,
    )
    inputs = ["zzz", " ".join(["sun"] * 30), "sun"]
    flags = [sorted(each.get("flags", [])) for each in run.predict(inputs)]
    assert flags[0] == ["without a known token"]
    assert "truncated" in flags[1]
    assert [sorted(each.get("flags", [])) for each in taskkit.load_export(tmp_path / "out").predict(inputs)] == flags


def test_a_metric_that_is_no_number_is_null_for_whoever_asks(place: Path) -> None:
    manifest = handed(place).manifest
    told = known(replace(manifest, metrics={**manifest.metrics, "test/r2": float("nan")}))
    assert told["metrics"]["test/r2"] is None
    assert told["metrics"]["test/accuracy"] == manifest.metrics["test/accuracy"]
    json.dumps(told, allow_nan=False)


def test_plain_data_come_back_as_they_were() -> None:
    value = {
        "a": [1, 2.5, None, "x", float("inf"), True],
        "$b": (1, (2,)),
        3: {"c"},
        "bytes": b"\x00\xff",
        "weights": torch.arange(3),
        "": {},
    }
    packed = plain.pack(value, "v")
    again = plain.unpack(json.loads(json.dumps(packed.json, allow_nan=False)), packed.tensors)
    assert torch.equal(again.pop("weights"), value.pop("weights"))
    assert again == value
    assert np.isnan(plain.unpack(plain.pack(float("nan"), "v").json, {}))


def test_a_card_says_what_is_not_known_and_invents_nothing() -> None:
    data = DataRecord("image.digits", "print", {"test": 9}, origins=({"name": "a|b<script>", "source": "x"},))
    said = card(Manifest("run", "finished", {"title": "<b>T</b>"}, data=data), Path("run"))
    assert said.startswith("# &lt;b>T&lt;/b>\n")
    assert "| a\\|b&lt;script> | x | not known | not known | not known |" in said
    assert "None: the run was not tested." in said
    assert "energy of training: not known" in said
    assert "were not examined" in said


def test_the_card_has_the_metrics_of_the_run_and_those_by_class(place: Path, taskkit: Call) -> None:
    ended = taskkit("card", str(place / "run"))
    assert ended.returncode == 0, ended.stderr
    run = json.loads((place / "run/run.json").read_text())
    interval = run["intervals"]["test/accuracy"]
    assert (
        f"| **test/accuracy** | {run['metrics']['test/accuracy']:.4f} | 95 % {interval['low']:.4f} to" in ended.stdout
    )
    assert "| class | examples | precision | recall | f1 |" in ended.stdout
    assert "BSD-3-Clause" in ended.stdout


def test_export_is_a_verb_that_leaves_a_folder_which_is_asked(place: Path, tmp_path: Path, taskkit: Call) -> None:
    made = taskkit("export", str(place / "run"), "-o", "out", "--to", "torch", "--examples", "9")
    assert made.returncode == 0, made.stderr
    assert "0 of 9 predictions are others" in made.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files.read(tmp_path / "out").files, files.FILE}
    again = taskkit("export", str(place / "run"), "-o", "out")
    assert again.returncode == 2
    assert "there is something already" in again.stderr
    ended = taskkit("predict", "out", str(place / "0.png"))
    assert ended.returncode == 0, ended.stderr


def test_a_conclusion_and_the_task_s_own_weights_go_with_a_stranger_s_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(__file__).parents[1] / "packages/taskkit-retrieval/src"
    info = tmp_path / "site/taskkit_retrieval-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: taskkit-retrieval\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[taskkit]\nretrieval = taskkit_retrieval.plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(source))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    plugins = discover({"taskkit-retrieval"})
    recipe = next(each.path for each in plugins.recipes())
    assert load([recipe], [], plugins)
    run = taskkit.run(recipe, ["trainer.max_epochs=1"], out=tmp_path / "run", plugins=plugins)
    assert (tmp_path / "run/checkpoints/conclusion.pt").exists()
    of = Handed.of(tmp_path / "run", run.manifest, run.built, run.checkpoint, [], ROWS)
    record = write(of, "torch", "fp32", tmp_path / "out", plugins)
    assert record.compared[-1].answers
    assert json.loads((tmp_path / "out/task.json").read_text())["conclusion"]
