"""A body and its head are handed over to transformers, whose own classes then answer as the run does."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import taskkit
from taskkit.cli import main

HERE = Path(__file__).parent
RECORDINGS = HERE.parents[2] / "tests" / "runs" / "0.1" / "data" / "recordings"
ASK = """
import json, sys, numpy, soundfile
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, AutoModelForCTC, AutoProcessor
folder, clips = sys.argv[1], [soundfile.read(each, dtype="float32") for each in sys.argv[2:]]
ctc = folder == "to-ctc"
reader = (AutoProcessor if ctc else AutoFeatureExtractor).from_pretrained(folder)
model = (AutoModelForCTC if ctc else AutoModelForAudioClassification).from_pretrained(folder).eval()
answers = []
for samples, rate in clips:
    best = model(**reader(samples, sampling_rate=rate, return_tensors="pt")).logits.argmax(-1)
    answers += reader.batch_decode(best) if ctc else [model.config.id2label[int(best)]]
print(json.dumps(answers))
assert "taskkit" not in sys.modules
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder, which is the working directory, with runs of transcripts, of classes and of pretraining."""
    folder = tmp_path_factory.mktemp("handed")
    with (HERE / "letters.csv").open() as old, (folder / "letters.csv").open("w", newline="") as new:
        rows = list(csv.DictReader(old))
        table = csv.DictWriter(new, rows[0])
        table.writeheader()
        table.writerows({**row, "path": str((HERE / row["path"]).resolve())} for row in rows)
    (folder / "letters.yaml").write_text((HERE / "letters.yaml").read_text())
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        taskkit.run("letters.yaml", ["trainer.max_epochs=60"], out="ctc")
        classes = ["task.name=speech.classification", "data.label_column=label", "trainer.max_epochs=10"]
        taskkit.run("letters.yaml", classes, out="classes")
        yield folder


def export(run, folder):
    return CliRunner().invoke(main, ["export", run, "-o", folder, "--to", "huggingface"])


@pytest.mark.parametrize("run", ["ctc", "classes"])
def test_transformers_alone_answers_as_the_run_does(place, run):
    ended = export(run, f"to-{run}")
    assert ended.exit_code == 0, ended.output
    clips = [str(path) for path in sorted(RECORDINGS.glob("*.wav"))[:8]]
    command = [sys.executable, "-P", "-c", ASK, f"to-{run}", *clips]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [answer["prediction"] for answer in taskkit.load_run(run).predict(clips)]
    assert json.loads(done.stdout.splitlines()[-1]) == said
    assert len(set(said)) > 1
    (compared,) = json.loads((place / f"to-{run}" / "export.json").read_text())["compared"]
    assert compared["holds"]
    assert compared["largest"] < 1e-5


def test_other_characters_are_not_handed_over(place, monkeypatch):
    from taskkit_speech import handover

    monkeypatch.setattr(handover.Alphabet, "read", lambda alphabet, path: "another text")
    ended = export("ctc", "never")
    assert ended.exit_code == 2
    assert "transformers writes" in ended.output
    assert not (place / "never").exists()


def test_a_head_of_other_weights_is_found_out(place, monkeypatch):
    from taskkit_speech import handover

    monkeypatch.setattr(handover.nn.init, "eye_", lambda tensor: tensor)
    ended = export("classes", "otherwise")
    assert ended.exit_code == 1
    assert "do not answer alike" in ended.output
    assert not (place / "otherwise").exists()
