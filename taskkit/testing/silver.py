"""Silver: what the plugin brings learns, comes out alike where it must, and answers whoever asks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from taskkit.answering.asking import Requests
from taskkit.apart import of_numbers
from taskkit.contracts.classification import Classification
from taskkit.contracts.component import Component
from taskkit.contracts.facts import DataProblem
from taskkit.contracts.recipe import Recipe
from taskkit.engine import build
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.guard import calling
from taskkit.engine.trainer import quiet
from taskkit.errors import TaskkitError
from taskkit.loaded_run import LoadedRun
from taskkit.preflight.overfit import STEPS
from taskkit.testing import hostile as hostile_
from taskkit.testing.seen import NotDue, NotRun, Seen
from taskkit.testing.subject import Subject
from taskkit.testing.trial import Trial, counted
from taskkit.verify.finding import Proof
from taskkit.verify.judging import METRIC_LIMIT, evaluation
from taskkit.verify.lab import untrained
from taskkit.verify.proofs import prove
from taskkit.wording import on_one_line

WITHOUT_INTERVAL = ("calibration_error",)
"""Metrics of taskkit's own classification for which there is no honest interval: no plugin could mend that."""
ASKED = 8
"""Examples that a run is asked for answers on, several times."""


def exercised(subject: Subject, component: Component) -> Seen:
    """Whether a recipe that is tried names a component."""
    if by := [name for name, tried in subject.tried.items() if tried.names(component)]:
        return Seen(f"by {counted(by)}")
    return Seen(
        f"none of the recipes that are tried ({counted([*subject.tried]) or 'there are none'}) names it",
        "Add a recipe of it that takes seconds to `recipes` of conformance.yaml.",
    )


def inspect(subject: Subject, component: Component) -> Seen:
    """Whether the data module finds the faults that were planted in its data, and does not find them in good data."""
    planted = [(each.finds, subject.resolved(each.recipe).recipe) for each in subject.declared.faults]
    due = [(kind, recipe) for kind, recipe in planted if recipe.data.component == component]
    if not due:
        raise NotRun(
            "no faulty data are declared for it",
            "Name in `faults` of conformance.yaml a recipe whose data have a fault, such as the same example in two "
            "splits, and the kind of problem that `Prepared.inspect` must yield.",
        )
    good = [t.resolved.recipe for t in subject.tried.values() if t.resolved is not None and t.names(component)]
    always = {problem.kind for recipe in good[:1] for problem in _inspected(recipe)}
    missed = [kind for kind, recipe in due if kind not in {problem.kind for problem in _inspected(recipe)}]
    if missed:
        return Seen(
            f"not found: {', '.join(missed)}", "Let `Prepared.inspect` yield a DataProblem of this kind.", missed
        )
    if false := sorted({kind for kind, _ in due} & always):
        return Seen(
            f"{', '.join(false)} is also found in {good[0].title!r}, where nothing was planted",
            "Let `inspect` yield a problem where there is one, or declare as `recipes` data without it.",
            false,
        )
    return Seen(f"found: {', '.join(kind for kind, _ in due)}")


def trains(trial: Trial) -> Seen:
    """Whether the recipe trains and tests to its end."""
    if not isinstance(trial.ended, LoadedRun):
        return Seen(on_one_line(str(trial.ended)), "Mend what it says; `taskkit run` would say it too.")
    seconds = trial.ended.manifest.cost.train_seconds or 0.0
    scores = ", ".join(f"{name} {value:.4g}" for name, value in trial.ended.metrics.items())
    return Seen(f"trained for {seconds:.1f} s; {scores or 'it has no test'}")


def overfits(trial: Trial) -> Seen:
    """Whether one batch can be learnt by heart."""
    found = trial.learnt
    said = f"the loss of {trial.subject.samples} samples fell from {found.first:.4g} to {found.lowest:.4g} in "
    said += f"{found.steps} steps"
    if found.enough:
        return Seen(said)
    if found.late:
        raise NotRun(f"{said}; there was no time for {STEPS} steps", "Declare a recipe that takes less time.")
    return Seen(
        f"{said}; below {found.goal:.4g} was expected",
        "Look whether what the network answers depends on its inputs, whether the loss compares the right things, and "
        "at the recipe's optim section.",
    )


def moves(trial: Trial) -> Seen:
    """Whether every parameter that is trained moves: while a batch is learnt, or of phases in the run."""
    phases = trial.run.built.task.phases
    unmoved, steps = (_unmoved(trial), "the run's") if phases else (trial.learnt.unmoved, str(trial.learnt.steps))
    if unmoved:
        return Seen(
            f"after {steps} steps these are as they were: {counted(unmoved)}",
            "A parameter that the loss does not depend on is not learnt: use it, remove it, or freeze it by "
            "optim.freeze.",
            unmoved,
        )
    return Seen(f"all parameters moved in {steps} steps")


def _unmoved(trial: Trial) -> list[str]:
    """The parameters that are after the run what they were before it."""
    after = dict(trial.run.built.task.named_parameters())
    return [
        name
        for name, before in trial.untrained().task.named_parameters()
        if before.requires_grad and torch.equal(before, after[name])
    ]


def baseline(trial: Trial) -> Seen:
    """Whether the run is better than a trivial predictor, or than the network before training where none is known."""
    protocol = trial.run.manifest.protocol
    metric, direction = protocol.headline if protocol is not None else ("", "")
    name = f"test/{metric}"
    if name not in trial.run.metrics:
        raise NotRun("the run has no test score", "Declare a recipe of data with a test split.")
    trivial = (trial.run.manifest.baseline or {}).get(name)
    if trivial is not None:
        return _better(metric, direction, trial.run.metrics[name], trivial, "the trivial baseline")
    if untrained(trial.recipe):
        raise NotDue("this recipe takes no steps, and its task knows no baseline")
    judged = trial.more_judged
    before = evaluation(replace(judged, built=trial.untrained()), ASKED).numbers[metric]
    after = evaluation(judged, ASKED).numbers[metric]
    return _better(metric, direction, after, before, "the network before training (its task knows no baseline)")


def _better(metric: str, direction: str, value: float, than: float, what: str) -> Seen:
    said = f"{metric} {value:.4g} against {than:.4g} of {what}"
    if value > than if direction == "max" else value < than:
        return Seen(said)
    return Seen(
        said,
        "Train longer, or on data from which something can be learnt; if other recipes learn, look at the network.",
    )


def proof(name: Proof) -> Callable[[Trial], Seen]:
    """The check that makes one of the proofs of `taskkit verify`."""

    def check(trial: Trial) -> Seen:
        found = prove(name, trial.bench)
        if found.outcome == "skipped":
            if found.avoidable:
                raise NotRun(found.compared, "Declare a recipe of which it can be made.")
            raise NotDue(found.compared)
        apart = "" if found.largest is None else f": {found.largest:.2g} apart{found.where and f' ({found.where})'}"
        said = f"{found.compared}{apart}"
        return Seen(said) if found.outcome == "pass" else Seen(said, found.advice or "Look at what differs.")

    return check


def predicts(trial: Trial) -> Seen:
    """Whether a run answers and is judged alike from its directory alone, in whatever order it is called."""
    _answers(trial)
    judged, one, other = trial.judged, trial.reopened(), trial.reopened()
    if not one.built.task.predicts_in_test:  # What it answers need not be asked in the form of its data.
        return _judged_alike(trial.run, [one.evaluate(judged.split), one.evaluate(judged.split)], 0)
    # With their targets, which no network sees: an example without one may be another question.
    asked = Requests(judged.examples[:ASKED], one.built.task.predict_options())
    folder = trial.lab.new_folder()
    answers = [one.answer(asked, folder)]
    found = [one.evaluate(judged.split)]
    answers.append(one.answer(asked, folder))
    found.append(other.evaluate(judged.split))
    answers.append(other.answer(asked, folder))
    if not build.same(answers[0], answers[1]):
        return Seen("predictions after an evaluation are others than before", _REMEMBERS)
    if not build.same(answers[1], answers[2]):
        return Seen("a run that was evaluated before it predicted answers otherwise", _REMEMBERS)
    return _judged_alike(trial.run, found, len(asked.examples))


_REMEMBERS = (
    "A task, processor or network keeps something from one call to the next: pass it on as an argument, in the batch "
    "or in the outputs."
)


def _judged_alike(run: LoadedRun, found: Sequence[Evaluation], answers: int) -> Seen:
    said = f"{answers} predictions, in two orders of calls, are the same"
    if not run.metrics:
        return Seen(said)
    apart = max((of_numbers(run.metrics, each.metrics, relative=True) for each in found), key=lambda each: each.size)
    if apart.size > METRIC_LIMIT:
        return Seen(
            f"judged again from its directory, the run scores otherwise: {apart.size:.2g} apart ({apart.where})",
            "What decides an answer must be in the weights, in the state of the processor or in what `conclude` keeps.",
        )
    return Seen(f"{said}, and the scores those of the test")


def _answers(trial: Trial) -> None:
    """Raise NotDue where a task answers nothing."""
    if not trial.run.built.task.predicts:
        raise NotDue(f"{trial.recipe.task.name} answers nothing that a person would read")


def intervals(trial: Trial) -> Seen:
    """Whether every metric of the test has its interval."""
    run = trial.run
    metrics = [name for name in run.metrics if name != "test/loss"]
    if not metrics:
        raise NotRun("the run has no test score", "Declare a recipe of data with a test split.")
    found = run.manifest.intervals
    lacking = [name.removeprefix("test/") for name in metrics if name not in found or found[name].low is None]
    if isinstance(run.built.task, Classification):
        lacking = [name for name in lacking if name not in WITHOUT_INTERVAL]
    if lacking:
        notes = {found[f"test/{name}"].note for name in lacking if f"test/{name}" in found} - {""}
        return Seen(
            f"none for {counted(lacking)}{''.join(f' ({note})' for note in sorted(notes))}",
            "Give one number an example in `Task.scores`, and say in `Task.statistics` how metrics follow from them.",
            lacking,
        )
    return Seen(f"all of {counted([name.removeprefix('test/') for name in metrics])}")


def hostile(trial: Trial) -> Seen:
    """Whether hostile inputs give a prediction or a clear error."""
    _answers(trial)
    folder = trial.lab.new_folder()
    folder.mkdir()
    run, wrong = trial.reopened(), dict[str, str]()
    given = hostile_.inputs(folder)
    for name, source in given.items():
        try:
            run.predict([source], out=folder)
        except TaskkitError as error:
            if error.exit_code != TaskkitError.exit_code:
                wrong[name] = on_one_line(str(error))
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {on_one_line(str(error))}"
    if wrong:
        first, said = next(iter(wrong.items()))
        return Seen(
            f"{len(wrong)} of {len(given)} end as a fault: {counted([*wrong])}; of {first} it says: {said}",
            "Let `Processor.read` or `encode` raise taskkit.DataError, which says where, what, what was expected and "
            "what to do.",
            [*wrong],
        )
    return Seen(f"{len(given)} inputs gave a prediction or a clear error")


def _inspected(recipe: Recipe) -> Sequence[DataProblem]:
    """What a recipe's data module finds wrong with its data."""
    with quiet():
        prepared = build.prepare(build.data_module(recipe), recipe)
    with calling(recipe.data, "inspect"):
        return [problem for problem in prepared.inspect() if problem.severity != "info"]
