"""An encoder is handed over to transformers, whose own classes then answer as the run does, or not at all."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import taskkit
from taskkit.cli import main

HERE = Path(__file__).parent
MODEL = "model={{name: text.transformer, weights: {0}, pretrained: false, max_length: 16, pooling: {1}}}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder, which is the working directory, with a trained encoder that looks at the first token."""
    folder = tmp_path_factory.mktemp("handed")
    for name in ("weather.yaml", "weather.csv"):
        shutil.copy(HERE / name, folder)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        taskkit.run("weather.yaml", [MODEL.format(HERE / "tiny_bert", "first"), "trainer.max_epochs=3"], out="first")
        yield folder


def export(run, folder, *more):
    return CliRunner().invoke(main, ["export", run, "-o", folder, "--to", "huggingface", *more])


def test_transformers_alone_answers_as_the_run_does(place):
    ended = export("first", "bert", "--all")
    assert ended.exit_code == 0, ended.output
    code = (
        "import json, sys; from transformers import AutoModelForSequenceClassification as A, AutoTokenizer as T\n"
        "m, t = A.from_pretrained('bert').eval(), T.from_pretrained('bert')\n"
        "l = m(**t(sys.argv[1:], padding=True, truncation=True, return_tensors='pt')).logits.softmax(-1)\n"
        "print(json.dumps([{m.config.id2label[i]: p for i, p in enumerate(r)} for r in l.tolist()]))\n"
        "assert 'taskkit' not in sys.modules"
    )
    texts = ["it it dry", "drops today clouds it", "dry " * 40]
    done = subprocess.run([sys.executable, "-P", "-c", code, *texts], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = taskkit.load_run("first").predict(texts, probabilities=True)
    for theirs, ours in zip(json.loads(done.stdout.splitlines()[-1]), answers, strict=True):
        assert theirs == pytest.approx(ours["probabilities"], abs=1e-5)


def test_the_folder_says_what_it_is(place):
    assert export("first", "card").exit_code == 0
    said = json.loads((place / "card" / "export.json").read_text())
    assert said["form"] == "huggingface"
    assert said["files"].keys() >= {"config.json", "model.safetensors", "tokenizer.json", "README.md", "labels.json"}
    assert [each["holds"] for each in said["compared"]] == [True]
    assert said["compared"][0]["largest"] < 1e-5
    assert json.loads((place / "card" / "config.json").read_text())["id2label"] == {"0": "rain", "1": "sun"}
    asked = CliRunner().invoke(main, ["predict", "card", "dry"])
    assert asked.exit_code == 2
    assert "for transformers" in asked.output


def test_another_head_is_refused_and_nothing_is_left(place):
    taskkit.run("weather.yaml", [MODEL.format(HERE / "tiny_bert", "mean"), "trainer.max_epochs=1"], out="mean")
    ended = export("mean", "never")
    assert ended.exit_code == 2
    assert "model.pooling is mean" in ended.output
    taskkit.run("weather.yaml", ["trainer.max_epochs=1"], out="lstm")
    ended = export("lstm", "never")
    assert ended.exit_code == 2
    assert "text.lstm (taskkit-text" in ended.output
    assert "onnx, safetensors" in ended.output or "torch, onnx, safetensors" in ended.output
    assert export("first", "never", "--precision", "fp16").exit_code == 2
    assert not (place / "never").exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("roberta", "0 of 18 predictions are others"),
        ("electra", "do not answer alike"),
        ("distilbert", "other layers behind"),
    ],
)
def test_the_classifier_that_transformers_has_for_an_encoder_decides(place, kind, said):
    shutil.copytree(HERE / "tiny_bert", place / kind)
    shape = json.loads((place / kind / "config.json").read_text())
    shape |= {"model_type": kind, "embedding_size": 16, "dim": 16, "n_heads": 2, "n_layers": 2, "hidden_dim": 24}
    (place / kind / "config.json").write_text(json.dumps(shape))
    taskkit.run("weather.yaml", [MODEL.format(f"./{kind}", "first"), "trainer.max_epochs=1"], out=f"run-{kind}")
    ended = export(f"run-{kind}", f"to-{kind}")
    assert said in ended.output
    assert (place / f"to-{kind}").exists() == (kind == "roberta")


def test_what_answers_otherwise_is_not_handed_over(place, monkeypatch):
    from taskkit_text import handover

    monkeypatch.setattr(handover, "SMALL", 0.5)  # tanh is then no identity
    ended = export("first", "otherwise")
    assert ended.exit_code == 1
    assert "do not answer alike" in ended.output
    assert not (place / "otherwise").exists()
