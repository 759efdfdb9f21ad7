"""Runs from end to end on a table of made-up texts, from Python and from the command line."""

import csv
import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from pyarrow import parquet

import taskkit
from taskkit.cli import main
from taskkit.plugins.discovery import discover
from taskkit_text import lora
from taskkit_text.table import Table

ABOUT = {"pets": ["cat", "dog", "cats", "dogs"], "things": ["mat", "no", "bark", "on"]}
LONG = " ".join(["the", "and", "all", "a", "sat", "at"] * 3)
COMMON = [
    "loader.batch_size=8",
    "optim.lr=0.02",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "meter.flops=false",
]


@dataclass
class Tools:
    folder: Path
    plugins: object

    def recipe(self, model, name="texts", **data):
        path = self.folder / f"{name}.yaml"
        table = {"name": "text.table", "file": str(self.folder / f"{name}.csv"), **data}
        parts = {"task": {"name": "text.classification"}, "model": model, "data": table, "trainer": {"max_epochs": 2}}
        path.write_text(json.dumps({"title": name, **parts}))
        return path

    def run(self, recipe, *overrides, out):
        return taskkit.run(recipe, [*COMMON, *overrides], out=self.folder / out, plugins=self.plugins)


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    folder, chance = tmp_path_factory.mktemp("runs"), random.Random(0)
    with (folder / "texts.csv").open("w", newline="") as texts, (folder / "pairs.csv").open("w", newline="") as pairs:
        single, double = csv.writer(texts), csv.writer(pairs)
        single.writerow(["text", "label"])
        double.writerow(["text", "other", "label"])
        for number in range(80):
            label = ("pets", "things")[number % 2]
            words = [chance.choice(["the", "a", "all", "sat", "at", "and"]) for _ in range(chance.randint(2, 6))]
            text = " ".join([*words, chance.choice(ABOUT[label]), LONG if number % 10 == 0 else ""]).strip()
            single.writerow([f"{text} {number}", label])
            double.writerow([f"{text} {number}", chance.choice(ABOUT["pets"]), label])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        yield Tools(folder, discover({"text"}))


def transformer(folder, **settings):
    return {"name": "text.transformer", "weights": str(folder), "max_length": 12, "round_to": 4, **settings}


@pytest.fixture(scope="module")
def finished(tools, encoder_folder):
    """A run whose encoder's folder is gone since."""
    folder = shutil.copytree(encoder_folder(), tools.folder / "encoder")
    run = tools.run(tools.recipe(transformer(folder)), out="finished")
    shutil.rmtree(folder)
    return run


def test_a_recipe_run_from_python_is_judged_by_every_metric(finished):
    assert finished.status == "finished"
    expected = {"accuracy", "precision", "recall", "f1", "micro_precision", "micro_recall", "micro_f1"}
    assert {f"test/{name}" for name in (*expected, "calibration_error", "loss")} <= finished.metrics.keys()
    assert (finished.path / "confusion.csv").is_file()


def test_the_run_directory_alone_predicts_what_the_test_did(finished, tools, tmp_path):
    moved = taskkit.load_run(shutil.copytree(finished.path, tmp_path / "run"), plugins=tools.plugins)
    rows = moved.predictions().to_pylist()
    with (tools.folder / "texts.csv").open() as file:
        texts = {row["text"]: row["label"] for row in csv.DictReader(file)}
    test = Table(moved.built.recipe.data.section).prepare(taskkit.Classes).examples("test")
    by_id = {example.id: example.input for example in test}
    predicted = moved.predict([by_id[row["id"]] for row in rows])
    assert len(rows) > 5
    assert [answer["prediction"] for answer in predicted] == [row["prediction"] for row in rows]
    assert [answer["probability"] for answer in predicted] == pytest.approx([r["probability"] for r in rows], abs=0.01)
    assert [texts[by_id[row["id"]]] for row in rows] == [row["target"] for row in rows]


def test_truncated_texts_are_counted_and_told(finished):
    log = (finished.path / "log.txt").read_text()
    prepared = Table(finished.built.recipe.data.section).prepare(taskkit.Classes)
    for split in ("train", "val", "test"):
        # Of these texts, only those that hold LONG have more words than there is room for.
        count = sum(len(example.input.split()) >= 12 for example in prepared.examples(split))
        if count:
            assert f"{count} of {len(prepared.examples(split))} {split} example" in log
    assert "truncated" in log


def test_one_text_that_cannot_be_read_is_named_with_its_place_and_none_is_answered(finished):
    with pytest.raises(
        taskkit.DataError, match=r"2 of 4 inputs cannot be read.*\ninput 2: '': .*\ninput 4: ' ': the text is"
    ):
        finished.predict(["the cat", "", "a dog", " "])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_predictions_are_written_beside_the_columns_of_the_table(finished, tools, tmp_path, suffix):
    rows = [{"key": "007", "text": f"the cat sat on the {LONG}", "prediction": "mine"}, {"key": "é", "text": "a dog"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / f"p.{suffix}"
    command = ["predict", str(finished.path), str(tmp_path / "t.jsonl"), "-o", str(output)]
    done = subprocess.run([sys.executable, "-m", "taskkit", *command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"2 predictions are in {output}" in done.stderr
    if suffix == "csv":
        with output.open(newline="", encoding="utf-8") as file:
            first, second = csv.DictReader(file)
    elif suffix == "jsonl":
        first, second = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    else:
        first, second = parquet.read_table(output).to_pylist()
    answers = finished.predict(tmp_path / "t.jsonl")
    assert (first["key"], second["key"]) == ("007", "é")
    assert (first["prediction"], first["taskkit_prediction"]) == ("mine", answers[0]["prediction"])
    assert float(second["probability"]) == pytest.approx(answers[1]["probability"], abs=1e-6)
    assert "truncated" in str(first["flags"])
    assert not second.get("flags")
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "it is there already, and nothing is overwritten" in again.output


def test_a_spreadsheet_opens_the_answers_to_its_own_table(finished, tmp_path):
    content = "kunde;text;preis\r\n007;the cat grüßt;1,5\r\n8;a dog;2\r\n".encode("cp1252")
    (tmp_path / "t.csv").write_bytes(content)
    table, output = str(tmp_path / "t.csv"), str(tmp_path / "p.csv")
    command = ["predict", str(finished.path), table, "-o", output, "--column", "text"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    said = "with semicolons between cells, in UTF-8 with a mark, where what was read is windows-1252"
    assert f"2 predictions are in {tmp_path / 'p.csv'}, {said}" in done.output
    assert (tmp_path / "p.csv").read_bytes().startswith("\ufeffkunde;text;preis;input;".encode())
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8-sig") as file:
        first, _ = csv.DictReader(file, delimiter=";")
    assert (first["kunde"], first["text"], first["preis"]) == ("007", "the cat grüßt", "1,5")
    (answer, _) = finished.predict(tmp_path / "t.csv", column="text")
    assert float(first["probability"].replace(",", ".")) == pytest.approx(answer["probability"], abs=1e-6)
    assert "," in first["probability"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "body,class\nx,y\n", "no column 'text' and no column 'label'"),
        ("a.csv", "text,label\n\u010d\u0159,y\n".encode("cp1250"), "windows-1250 if it is Czech"),
        ("a.jsonl", "[" * 100_000, "nested too deep"),
        ("a.parquet", "PAR1", "A Parquet file was expected"),
        ("a.csv.gz", "x", "it cannot be unpacked"),
        ("none.csv", None, "looked for"),
    ],
)
def test_an_odd_file_is_an_error_of_the_data_on_the_command_line(tools, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    recipe = tools.recipe({"name": "text.bag"}, name="odd", file=str(tmp_path / name))
    done = CliRunner().invoke(main, ["check", str(recipe), "--data"])
    assert done.exit_code == 2, done.output
    assert said in done.output


def test_predict_says_which_texts_were_cut_or_hold_nothing_known(finished, caplog):
    answers = finished.predict(["the cat", f"the {LONG} cat", "\u200b"])
    assert [answer.get("flags") for answer in answers] == [None, ["truncated"], ["without a known token"]]
    assert "1 of 3 inputs: truncated (the " in caplog.text
    assert "1 of 3 inputs: without a known token (" in caplog.text


def test_a_table_is_predicted_from_the_command_line(finished, tools):
    command = ["predict", str(finished.path), str(tools.folder / "texts.csv"), "--column", "text", "--json"]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.strip().splitlines()) == 80


def weights(run):
    return run.built.network.state_dict()


def test_a_seed_changes_the_weights_and_no_split(tools):
    recipe = tools.recipe({"name": "text.lstm", "embedding": 4, "width": 4})
    seeds = {"one": 1, "same": 1, "other": 2}
    one, same, other = (tools.run(recipe, f"seed={seed}", out=f"seed-{name}") for name, seed in seeds.items())
    assert one.manifest.data == other.manifest.data
    assert one.predictions()["id"] == other.predictions()["id"]
    assert all(torch.equal(value, weights(same)[name]) for name, value in weights(one).items())
    assert not torch.equal(weights(one)["embed.weight"], weights(other)["embed.weight"])


@pytest.mark.parametrize(
    "settings", [{"packed": True}, {"lora": {"rank": 2}}, {"freeze_layers": 1}, {"truncate": "head_tail"}]
)
def test_every_way_of_training_an_encoder_goes_from_end_to_end(tools, encoder_folder, settings):
    recipe = tools.recipe(transformer(encoder_folder(), **settings))
    run = tools.run(recipe, "optim.layer_decay=0.9", out=f"way-{next(iter(settings))}")
    assert run.status == "finished"
    (answer,) = run.predict(["the cat"])
    assert answer["prediction"] in ABOUT


def plain(run):
    """The weights of a run's encoder by the names that they have without adapters."""
    return lora.merged(run.built.network.encoder)


@pytest.mark.parametrize("donor", ["plain", "adapted"])
@pytest.mark.parametrize("adapters", [None, {"rank": 3}])
def test_a_run_begins_with_the_encoder_of_another(tools, encoder_folder, donor, adapters):
    out = tools.folder / f"donor-{donor}"
    if not out.exists():
        settings = {"lora": {"rank": 2}} if donor == "adapted" else {}
        tools.run(tools.recipe(transformer(encoder_folder(), overrides={"num_hidden_layers": 1}, **settings)), out=out)
    first = taskkit.load_run(out, plugins=tools.plugins)
    again = tools.run(
        tools.recipe(transformer(out, lora=adapters)),
        "optim.lr=1e-12",
        "trainer.max_epochs=1",
        out=f"again-{donor}-{bool(adapters)}",
    )
    assert again.built.processor.tokenizer.to_str() == first.built.processor.tokenizer.to_str()
    learnt, begun = plain(first), plain(again)
    assert begun.keys() == learnt.keys()
    assert all(torch.allclose(begun[name], value, atol=1e-6) for name, value in learnt.items())
    assert not torch.equal(again.built.network.head.linear.weight, first.built.network.head.linear.weight)
    assert str(out) in [origin["source"] for origin in again.manifest.data.origins]
    shape = tools.run(
        tools.recipe(transformer(out, pretrained=False)), "trainer.max_epochs=1", out=f"shape-{donor}-{bool(adapters)}"
    )
    assert shape.built.processor.encoder == first.built.processor.encoder


def test_a_run_of_another_model_or_shape_is_refused(tools, finished):
    other = tools.run(tools.recipe({"name": "text.bag", "min_count": 1}), "trainer.max_epochs=1", out="other")
    with pytest.raises(taskkit.CheckpointError, match=r"model\.weights: \S+ is a run of text\.bag"):
        tools.run(tools.recipe(transformer(other.path)), out="refused")
    wrong = {"num_hidden_layers": (3, "lack encoder.layer.2"), "intermediate_size": (12, "do not fit")}
    for name, (value, message) in wrong.items():
        with pytest.raises(taskkit.CheckpointError, match=f"its weights {message}.*model.overrides"):
            tools.run(tools.recipe(transformer(finished.path, overrides={name: value})), out=f"wrong-{name}")


@pytest.mark.parametrize("model", ["text.bag", "text.lstm", "text.transformer"])
def test_every_model_takes_pairs(tools, encoder_folder, model):
    section = transformer(encoder_folder()) if model == "text.transformer" else {"name": model}
    run = tools.run(tools.recipe(section, "pairs", pair_column="other"), out=f"pairs-{model}")
    (answer,) = run.predict(["the cat\ta dog"])
    assert answer["prediction"] in ABOUT


def test_a_bag_learns_which_words_decide(tools):
    run = tools.run(
        tools.recipe({"name": "text.bag", "min_count": 1, "ngrams": 1}),
        "trainer.max_epochs=10",
        "optim.lr=0.3",
        out="bag",
    )
    assert run.metrics["test/accuracy"] > 0.9
