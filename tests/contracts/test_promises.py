"""Promises of the contracts that a stranger relies on, each kept or refused by name; every one was broken once."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import taskkit
from taskkit import Component, PluginError, RunFailedError, TaskkitError
from taskkit.contracts.hookspecs import hookimpl
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins

SERIES, FUTURE = "taskkit_series.sections:Series", "taskkit_series.sections:Future"
RECIPE = """\
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 80}
loader: {batch_size: 16}
trainer: {max_epochs: 2, accelerator: cpu, precision: 32-true}
"""
HEAD = """\
from typing import Any
import numpy as np
import torch
from torch import nn
from pathlib import Path
import taskkit
from taskkit import Classes, DataModule, DataSpec, Example, Model, Prepared, Processor, Step
from taskkit_series import sections
from taskkit_series.forecast import Forecast, Mlp, Network, Waves, Windows
"""

Odd = Callable[..., Plugins]
CLASSES = {"task": "Task", "model": "OddModel", "data": "Data"}
IMPLEMENTATIONS = {"task": "Forecast", "model": "Mlp", "data": "Waves"}


@pytest.fixture
def odd(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Odd:
    """Make a plugin of source text, whose `Task`, `OddModel` and `Data` are odd.task, odd.model and odd.data."""
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.syspath_prepend(str(tmp_path / "odd"))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)

    def make(source: str, *kinds: str, **fields: Any) -> Plugins:
        name = f"odd_{abs(hash(source))}"
        (tmp_path / "odd").mkdir(exist_ok=True)
        (tmp_path / "odd" / f"{name}.py").write_text(HEAD + source)

        class Plugin:
            @hookimpl
            def taskkit_components(self) -> Sequence[Component]:
                return [
                    Component(
                        **{
                            "kind": kind,
                            "name": f"odd.{kind}",
                            "summary": "an odd one",
                            "implementation": f"{name}:{CLASSES[kind]}",
                            "section": f"taskkit_series.sections:{IMPLEMENTATIONS[kind]}",
                            "input": "" if kind == "task" else SERIES,
                            "targets": (FUTURE,),
                            **fields,
                        }
                    )
                    for kind in kinds
                ]

        return discover({"series"}, extra={"odd": Plugin()})

    return make


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., taskkit.LoadedRun]:
    """Run the recipe with some changes."""
    (tmp_path / "waves.yaml").write_text(RECIPE)

    def run(plugins: Plugins, *changes: str, out: str = "run") -> taskkit.LoadedRun:
        return taskkit.run(tmp_path / "waves.yaml", changes, out=tmp_path / out, plugins=plugins)

    return run


Run = Callable[..., taskkit.LoadedRun]
VALUES = ",".join(["0.5"] * 12)


# 1. A run can be asked again and again, in any order, by several at once.


def test_predict_evaluate_predict_and_back_give_the_same_each_time(odd: Odd, run: Run) -> None:
    loaded = run(odd(""))
    first = loaded.predict(VALUES), loaded.evaluate().metrics, loaded.predict(VALUES)
    again = loaded.evaluate().metrics, loaded.predict(VALUES), loaded.evaluate().metrics
    assert first[0] == first[2] == again[1]
    assert first[1] == again[0] == again[2] == pytest.approx(loaded.metrics)


def test_two_predictions_with_other_options_may_be_under_way_at_once(odd: Odd, run: Run) -> None:
    loaded = run(odd(""))
    alone = {digits: loaded.predict(VALUES, digits=digits) for digits in (1, 3)}
    together: dict[int, list[Any]] = {1: [], 3: []}
    begin = threading.Barrier(2)

    def ask(digits: int) -> None:
        begin.wait()
        together[digits] = [loaded.predict(VALUES, digits=digits) for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(digits,)) for digits in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == alone[digits] for digits in (1, 3) for answer in together[digits])
    assert alone[1] != alone[3]


# 2. Public paths, and only these, are what declarations and checkpoints hold.


def test_a_public_fact_is_declared_by_its_public_name_and_saved_by_it(odd: Odd, run: Run) -> None:
    source = """
class Data(Waves):
    def prepare(self, target):
        prepared = super().prepare(target)
        spec = DataSpec(prepared.spec.input, Classes(("down", "up")), "odd")
        label = lambda e: Example(e.id, e.input, int(e.target[0] > e.input[-1]))
        return Prepared(spec, {split: [label(e) for e in examples] for split, examples in prepared.splits.items()})

class OddModel(Mlp):
    def network(self, spec, processor):
        return Network(spec.input.length, len(spec.target), self.config.width, self.config.dropout)

class Task(taskkit.Classification):
    pass
"""
    section = "taskkit:ClassificationSection"
    plugins = odd(source, "data", "model", targets=("taskkit:Classes",))
    tasks = odd(source, "task", targets=("taskkit:Classes",), section=section)
    both = _both(plugins, tasks)
    loaded = run(both, "task.name=odd.task", "model.name=odd.model", "data.name=odd.data")
    assert loaded.status == "finished"
    saved = torch.load(loaded.checkpoint, weights_only=True)["taskkit"]["spec"]
    assert saved["target"]["type"] == "taskkit:Classes"
    assert loaded.evaluate().metrics == pytest.approx(loaded.metrics)


def _both(one: Plugins, other: Plugins) -> Plugins:
    """What two plugins declare together."""

    class Plugin:
        @hookimpl
        def taskkit_components(self) -> Sequence[Component]:
            return [each for each in (*one.components, *other.components) if each.name.startswith("odd.")]

    return discover({"series"}, extra={"odd": Plugin()})


# 3. A task's own parameters are trained, saved and taken back.


OWN = """
class Task(Forecast):
    def __init__(self, config, network, processor, spec):
        super().__init__(config, network, processor, spec)
        self.gain = nn.Parameter(torch.ones(()))
        self.matrix = nn.Parameter(torch.eye(3))

    def forward(self, batch):
        return super().forward(batch) @ self.matrix * self.gain
"""


def test_a_parameter_of_the_task_is_trained_saved_and_read_back(odd: Odd, run: Run) -> None:
    loaded = run(odd(OWN, "task"), "task.name=odd.task", "optim.lr=0.05")
    task = loaded.built.task
    assert task.gain.item() != 1.0
    assert loaded.evaluate().metrics == pytest.approx(loaded.metrics)


def test_a_parameter_of_the_task_is_frozen_by_its_name(odd: Odd, run: Run) -> None:
    loaded = run(odd(OWN, "task"), "task.name=odd.task", "optim.lr=0.05", "optim.freeze={task.gain: null}")
    assert loaded.built.task.gain.item() == 1.0
    assert not torch.equal(loaded.built.task.matrix, torch.eye(3))


# 4. Nothing that an author writes is ignored, and a run in which nothing moved is not finished.


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("automatic_optimization = False", r"Task\.automatic_optimization would never be read.*`phases`"),
        ("def training_step(self, batch, i): ...", r"Task\.training_step would never be called.*`step\(batch\)`"),
        ("def on_train_epoch_end(self): ...", r"Task\.on_train_epoch_end would never be called.*taskkit_callbacks"),
        ("def configure_optimizers(self): ...", r"Task\.configure_optimizers would never be called.*`optim` section"),
        ("def log(self, name, value): ...", r"Task\.log would never be called.*scalars"),
    ],
)
def test_what_nobody_would_call_is_refused_by_name(odd: Odd, run: Run, written: str, why: str) -> None:
    plugins = odd(f"class Task(Forecast):\n    {written}\n", "task")
    with pytest.raises(PluginError, match=why):
        run(plugins, "task.name=odd.task")


def test_a_loader_of_an_authors_own_is_refused_by_name(odd: Odd, run: Run) -> None:
    plugins = odd("class Data(Waves):\n    def train_dataloader(self): ...\n", "data")
    with pytest.raises(PluginError, match=r"Data\.train_dataloader would never be called.*`loader` section"):
        run(plugins, "data.name=odd.data")


def test_manual_optimisation_set_in_the_making_is_refused_too(odd: Odd, run: Run) -> None:
    source = """
class Task(Forecast):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.automatic_optimization = False
"""
    with pytest.raises(RunFailedError, match=r"automatic_optimization would never be read"):
        run(odd(source, "task"), "task.name=odd.task")


def test_a_run_in_which_no_parameter_moved_is_not_finished(odd: Odd, run: Run) -> None:
    source = """
class Task(Forecast):
    def step(self, batch):
        step = super().step(batch)
        return Step(step.loss * 0, step.count, outputs=step.outputs, scored=step.scored)
"""
    with pytest.raises(RunFailedError, match=r"odd\.task.*none of 4 parameters moved in 8 steps"):
        run(odd(source, "task"), "task.name=odd.task", "optim.name=sgd")
    assert taskkit.load_run("run").status == "failed"


def test_a_loss_without_a_gradient_is_refused_at_the_first_step(odd: Odd, run: Run) -> None:
    source = """
class Task(Forecast):
    def step(self, batch):
        step = super().step(batch)
        return Step(step.loss.detach(), step.count, outputs=step.outputs, scored=step.scored)
"""
    with pytest.raises(RunFailedError, match=r"in training `step` gave a loss that no parameter has a part in"):
        run(odd(source, "task"), "task.name=odd.task")


# 5. Tensors have the names that the facts promise.


def test_a_processor_that_makes_other_names_than_the_facts_promise_is_refused_before_any_work(
    odd: Odd, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
class OddModel(Mlp):
    def processor(self, spec):
        return Other()

class Other(Windows):
    def encode(self, example):
        return [{"values": sample["past"]} for sample in super().encode(example)]
"""
    from taskkit_series.sections import Series

    monkeypatch.setattr(Series, "tensors", lambda self: {"past": f"float (batch, {self.length})"})
    wanted = r"odd\.model.*its processor makes `values`: float32 \(1, 12\).*Series.*`past`: float \(batch, 12\)"
    with pytest.raises(RunFailedError, match=wanted):
        run(odd(source, "model"), "model.name=odd.model")


def test_an_encode_that_is_random_is_refused(odd: Odd, run: Run) -> None:
    source = """
class OddModel(Mlp):
    def processor(self, spec):
        return Noisy()

class Noisy(Windows):
    def encode(self, example):
        return [{**sample, "past": sample["past"] + torch.randn(())} for sample in super().encode(example)]
"""
    with pytest.raises(RunFailedError, match=r"odd\.model.*`encode` made something else of the same example.*`draw`"):
        run(odd(source, "model"), "model.name=odd.model")


# 7. What is abstract is enforced, and what returns nothing is named.


@pytest.mark.parametrize(
    ("source", "kind", "why"),
    [
        ("class Data(DataModule):\n    pass", "data", r"odd\.data.*Data has no `prepare`"),
        (
            "class Data(Waves):\n    def prepare(self, target): ...",
            "data",
            r"`prepare` returned nothing. A taskkit.Prep",
        ),
        ("class OddModel(Mlp):\n    def network(self, spec, processor): ...", "model", r"`network` returned nothing"),
        ("class OddModel(Mlp):\n    def processor(self, spec): ...", "model", r"`processor` returned nothing"),
        ("class OddModel(nn.Module):\n    pass", "model", r"OddModel is not a taskkit\.Model"),
        ("class Task(taskkit.Task):\n    pass", "task", r"Task has no `metrics`, `step`"),
    ],
)
def test_a_method_that_is_missing_or_returns_nothing_is_named(
    odd: Odd, run: Run, source: str, kind: str, why: str
) -> None:
    with pytest.raises(RunFailedError, match=why):
        run(odd(source, kind), f"{kind}.name=odd.{kind}")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return super().step(batch).loss", r"`step` returned a Tensor. A taskkit\.Step was expected"),
        ('return batch["label"]', r"`step` raised KeyError: 'label'\. The batch has past, target, example"),
        (
            'self.log("lr", 1.0)',
            r"`step` raised AttributeError: a task has no `log`\. .*Step\(…, scalars=\{'name': value\}\)",
        ),
        ("return Step(super().step(batch).loss, 1)", r"the metric 'mae' takes preds, target; `step` scored nothing"),
    ],
)
def test_a_step_that_is_wrong_is_named_with_what_was_expected(odd: Odd, run: Run, body: str, why: str) -> None:
    plugins = odd(f"class Task(Forecast):\n    def step(self, batch):\n        {body}\n", "task")
    with pytest.raises(RunFailedError, match=why):
        run(plugins, "task.name=odd.task")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return [{'prediction': 1}]", r"`predict` returned 1 predictions for 8 samples"),
        ("return outputs", r"`predict` returned a Tensor of predictions|returned a Tensor"),
        ("return [{'prediction': row} for row in outputs]", r"`predict` returned a tensor as a prediction"),
        ("return [1 for _ in examples]", r"`predict` returned a int for a sample"),
        ("return [{'prediction': [{1}]} for _ in examples]", r"`predict` returned a prediction that holds a set"),
        ("return [{'prediction': {2: 'a'}} for _ in examples]", r"that holds a key of type int"),
    ],
)
def test_predictions_of_another_number_or_kind_are_named(odd: Odd, run: Run, body: str, why: str) -> None:
    plugins = odd(
        f"class Task(Forecast):\n    def predict(self, batch, outputs, examples, options):\n        {body}\n", "task"
    )
    with pytest.raises(RunFailedError, match=why):
        run(plugins, "task.name=odd.task")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("{'may': 0.5}", r"`baseline` gave 'may', which is no metric of it\. .*Did you mean 'mae'\?"),
        ("{'mae': float('nan')}", r"`baseline` gave nan for mae\. A number was expected"),
        ("{'mae': 'x'}", r"`baseline` gave 'x' for mae"),
    ],
)
def test_a_baseline_that_is_no_metric_or_no_number_is_refused_before_training(
    odd: Odd, run: Run, tmp_path: Path, given: str, why: str
) -> None:
    plugins = odd(f"class Task(Forecast):\n    def baseline(self, train, test):\n        return {given}\n", "task")
    with pytest.raises(RunFailedError, match=why):
        run(plugins, "task.name=odd.task")
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_an_answer_that_is_no_number_is_an_error_of_its_input_alone(odd: Odd, run: Run, tmp_path: Path) -> None:
    trained = run(discover({"series"}))
    huge = ",".join(["1e308"] * 12)
    with pytest.raises(taskkit.DataError, match=r"the prediction of its answer is -?(nan|inf), no number"):
        trained.predict([huge])
    trained.predict_into([VALUES, huge, VALUES], tmp_path / "answers.jsonl")
    first, second, third = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert first["prediction"] == third["prediction"]
    assert "no number" in second["error"]


# A run that could not be read back is refused before its first step, not after its last.


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("{'mean': np.float64(1)}", r"state_dict`\['mean'\] is a numpy\.float64, which a checkpoint cannot give back"),
        ("{'file': Path('x')}", r"state_dict`\['file'\] is a pathlib\.\w+, which a checkpoint cannot give back"),
        ("{'mean': 1.5}", r"`Processor\.load_state_dict` does not take back mean"),
    ],
)
def test_a_state_that_could_not_be_read_back_is_refused_at_the_start(odd: Odd, run: Run, state: str, why: str) -> None:
    source = f"""
class OddModel(Mlp):
    def processor(self, spec):
        return Other()

class Other(Windows):
    learnt = False

    def fit(self, examples):
        self.learnt = True

    def state_dict(self):
        return {state} if self.learnt else {{}}
"""
    with pytest.raises(RunFailedError, match=why):
        run(odd(source, "model"), "model.name=odd.model")


def test_a_fact_that_could_not_be_read_back_is_refused_at_the_start(odd: Odd, run: Run) -> None:
    source = """
class Data(Waves):
    def prepare(self, target):
        prepared = super().prepare(target)
        spec = DataSpec(sections.Series(np.int64(12)), prepared.spec.target, "odd")
        return Prepared(spec, prepared.splits)
"""
    with pytest.raises(RunFailedError, match=r"odd\.data.*Series\.length is a numpy\.int64"):
        run(odd(source, "data"), "data.name=odd.data")


# 8. Samples are found again by what decides them, and by nothing else.


def test_the_width_of_a_network_does_not_encode_anything_again(odd: Odd, run: Run, tmp_path: Path) -> None:
    plugins = odd("")
    run(plugins)
    entries = {path.name for path in (tmp_path / "cache" / "samples").iterdir() if path.is_dir()}
    assert len(entries) == 3
    run(plugins, "model.width=8", out="wider")
    assert {path.name for path in (tmp_path / "cache" / "samples").iterdir() if path.is_dir()} == entries


def test_a_task_that_has_no_answer_to_read_says_so(odd: Odd, run: Run) -> None:
    plugins = odd("class Task(Forecast):\n    predict = taskkit.Task.predict\n", "task")
    loaded = run(plugins, "task.name=odd.task")
    with pytest.raises(TaskkitError, match="answers nothing that could be predicted"):
        loaded.predict(VALUES)


def test_a_fact_inside_a_record_that_nothing_declares_is_refused_at_the_start(odd: Odd, run: Run) -> None:
    source = """
class Pair(taskkit.Record):
    pass

class Hidden(taskkit.Fact):
    pass

class Data(Waves):
    def prepare(self, target):
        prepared = super().prepare(target)
        nested = sections.Series(taskkit.Record({"one": Hidden()}))
        return Prepared(DataSpec(nested, prepared.spec.target, "odd"), prepared.splits)
"""
    with pytest.raises(RunFailedError, match=r"odd\.data.*`prepare` stated odd_\w+:Hidden inside a Record"):
        run(odd(source, "data"), "data.name=odd.data")


# 9. Whatever a method raises, and wherever the host calls it, plugin and method are named.

RAISES = "raise KeyError('target')"
METHODS = {
    "prepare": ("data", "Data", "Waves", "prepare(self, target)"),
    "augment": ("data", "Data", "Waves", "augment(self, batch)"),
    "processor": ("model", "OddModel", "Mlp", "processor(self, spec)"),
    "network": ("model", "OddModel", "Mlp", "network(self, spec, processor)"),
    "blocks": ("model", "OddModel", "Mlp", "blocks(self, network)"),
    "step": ("task", "Task", "Forecast", "step(self, batch)"),
    "metrics": ("task", "Task", "Forecast", "metrics(self)"),
    "scores": ("task", "Task", "Forecast", "scores(self, batch, step)"),
    "predict": ("task", "Task", "Forecast", "predict(self, batch, outputs, examples, options)"),
    "baseline": ("task", "Task", "Forecast", "baseline(self, train, test)"),
    "conclude": ("task", "Task", "Forecast", "conclude(self, batches, ids)"),
    "protocol": ("task", "Task", "Forecast", "protocol(self)"),
    "remarks": ("task", "Task", "Forecast", "remarks(self, results, earlier)"),
    "tables": ("task", "Task", "Forecast", "tables(self, results)"),
}
PROCESSOR = {
    "fit": "fit(self, examples)",
    "encode": "encode(self, example)",
    "draw": "draw(self, sample, random)",
    "collate": "collate(self, samples)",
    "padded_size": "padded_size(self, batch)",
    "settings": "settings(self)",
    "state_dict": "state_dict(self)",
}


def assert_named(odd: Odd, run: Run, tmp_path: Path, source: str, kind: str, method: str) -> None:
    with pytest.raises(RunFailedError) as caught:
        run(odd(source, kind), f"{kind}.name=odd.{kind}", "loader.workers=0", "optim.layer_decay=0.9")
    said = str(caught.value)
    assert said.startswith(f"odd.{kind} (odd): `"), said
    assert method in said
    assert "raised KeyError: 'target'." in said
    assert "\n" not in said
    assert "Traceback (most recent call last)" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_raises_is_named(odd: Odd, run: Run, tmp_path: Path, method: str) -> None:
    kind, name, base, signature = METHODS[method]
    assert_named(odd, run, tmp_path, f"class {name}({base}):\n    def {signature}: {RAISES}\n", kind, method)


@pytest.mark.parametrize("method", PROCESSOR)
def test_a_method_of_a_processor_that_raises_is_named(odd: Odd, run: Run, tmp_path: Path, method: str) -> None:
    way_in = f"class Odd(Windows):\n    def {PROCESSOR[method]}: {RAISES}\n"
    model = "class OddModel(Mlp):\n    def processor(self, spec): return Odd()\n"
    assert_named(odd, run, tmp_path, way_in + model, "model", method)


WORKING = """
import os
from pathlib import Path

class Odd(Windows):
    def collate(self, samples):
        if torch.utils.data.get_worker_info() and Path("do").exists():
            match Path("do").read_text():
                case "code":
                    raise KeyError("target")
                case "data":
                    raise taskkit.DataError("mend it")
                case "kill":
                    os.kill(os.getpid(), 9)
        return super().collate(samples)

class OddModel(Mlp):
    def processor(self, spec): return Odd()
"""


def test_what_happens_in_a_process_that_reads_is_told_by_an_evaluation(odd: Odd, run: Run, tmp_path: Path) -> None:
    loaded = run(odd(WORKING, "model"), "model.name=odd.model", "loader.resident=no", "loader.workers=1")
    raised = r"odd\.model \(odd\): `Odd\.collate` raised KeyError: 'target'\..* That was in odd_\w+\.py:\d+;"
    lost = r"A process that reads samples ended before its time"
    for act, why in (("code", raised), ("data", r"^mend it"), ("kill", lost)):
        (tmp_path / "do").write_text(act)
        with pytest.raises(TaskkitError, match=why) as told:
            loaded.evaluate()
        assert told.value.exit_code == (2 if act == "data" else 1)
    (tmp_path / "do").unlink()
    assert loaded.evaluate().metrics == pytest.approx(loaded.metrics, rel=1e-4)
