"""Explain answers of a run: the door of this room."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from taskkit.answering.asking import Requests
from taskkit.answering.network import NetworkAnswerer
from taskkit.contracts.facts import Example
from taskkit.engine import build, machine
from taskkit.engine.build import Built
from taskkit.engine.guard import blaming
from taskkit.engine.trainer import quiet
from taskkit.errors import TaskkitError
from taskkit.explanation.methods import METHODS, Attributed, Inapplicable
from taskkit.explanation.neighbours import Training
from taskkit.explanation.parts import part
from taskkit.explanation.question import Question
from taskkit.explanation.value import Explanation, in_words
from taskkit.loaded_run import LoadedRun
from taskkit.wording import did_you_mean

NEIGHBOURS = "neighbours"
EVERY = (*METHODS, NEIGHBOURS)
"""The names of all methods."""
USUAL = ("integrated-gradients", "shap", "occlusion")
"""What is tried, in this order, where no method is named."""


def explain(
    run: LoadedRun,
    inputs: str | Path | Sequence[str] = (),
    *,
    method: str | None = None,
    target: str | None = None,
    **options: object,
) -> list[Explanation]:
    """Explain a run's answers to paths or texts, which are read as `LoadedRun.predict` does.

    `method` is one of `integrated-gradients`, `occlusion`, `shap`, `grad-cam`, `attention-rollout` and `neighbours`; by
    default the first that applies and whose attributions add up. `target` is the answer that is explained, by default
    the one that is given. An input of several windows has an explanation for each. Raises TaskkitError for a method
    that says nothing of the run's network, with those that do, for an unknown target, and DataError as `predict` does.
    """
    return explain_requests(run, run.requests(inputs, **options), method=method, target=target)


def explain_requests(
    run: LoadedRun, requests: Requests, *, method: str | None = None, target: str | None = None
) -> list[Explanation]:
    """The explanations of what was read; see `explain`."""
    check_method(method)
    training = training_of(run) if method == NEIGHBOURS else None
    return explain_examples(
        run.answerer, requests.examples, requests.options, method=method, target=target, training=training
    )


def check_method(method: str | None) -> None:
    """Raise TaskkitError for a method that there is not."""
    if method is not None and method not in EVERY:
        raise TaskkitError(f"{method!r} is no method.{did_you_mean(method, EVERY)} There are {', '.join(EVERY)}.")


def training_of(run: LoadedRun) -> Training:
    """What a run's network makes of its training examples, whose data are prepared again for it.

    Raises TaskkitError where these are others now, or a stream.
    """
    built = run.built
    with quiet(), machine.in_words(), blaming(built.recipe.chosen().values()):
        prepared = build.prepare(build.data_module(built.recipe), built.recipe)
        if prepared.spec.fingerprint != built.spec.fingerprint:
            raise TaskkitError(
                f"{run.path}: its data are others now than when it was trained, so that none of them can be named as "
                "neighbours. Choose another method."
            )
        return Training(exact(run.answerer), prepared, run.answerer.device)


def explain_examples(
    answerer: NetworkAnswerer,
    examples: Sequence[Example],
    options: Any,
    *,
    method: str | None = None,
    target: str | None = None,
    training: Training | None = None,
) -> list[Explanation]:
    """Explain answers to examples that were read; see `explain`.

    `options` are the task's own, by which the answers are given. `training` is what `neighbours` needs; see
    `training_of`. One thread at a time may ask about a network.
    """
    check_method(method)
    built = exact(answerer)
    found: list[Explanation] = []
    with quiet(), machine.in_words(), blaming(built.recipe.chosen().values()), _any_backward():
        for example in examples:
            samples = answerer.encode(example)
            for number, sample in enumerate(samples, 1):
                question = Question.of(built, example, sample, answerer.device, options, target)
                name = example.id if len(samples) == 1 else f"{example.id}, window {number} of {len(samples)}"
                found.append(_explained(question, name, method, training))
    return found


def exact(answerer: NetworkAnswerer) -> Built:
    """The task in single precision, since small differences are what is looked for; a copy where it was in half."""
    built = answerer.built
    if all(tensor.dtype not in (torch.float16, torch.bfloat16) for tensor in built.task.state_dict().values()):
        return built
    task = copy.deepcopy(built.task).float()
    return replace(built, task=task, network=task.network, processor=task.processor)


def _explained(question: Question, name: str, method: str | None, training: Training | None) -> Explanation:
    with torch.no_grad():
        score = float(question.explained.score(question.answer(question.alone)))
    explained = question.explained
    made = Explanation(
        name,
        explained.answer,
        explained.quantity,
        score,
        method or "",
        words=tuple(explained.words),
        seconds=_seconds(question),
    )
    if method == NEIGHBOURS:
        if training is None:
            raise TaskkitError("Neighbours are looked for among training examples, of which none were given.")
        return replace(made, neighbours=tuple(training.nearest(question)))
    chosen, attributed = _attributed(question, method)
    return replace(
        made,
        method=chosen,
        parts=tuple(part(question, each, values) for each, values in attributed.by_input.items()),
        sum=attributed.sum,
        baseline=attributed.baseline,
        settings=attributed.settings,
    )


def _attributed(question: Question, method: str | None) -> tuple[str, Attributed]:
    """What the method attributes; raises TaskkitError, with those that apply, for one that does not."""
    model = question.built.recipe.model.name
    if method is None:
        return _first(question, model)
    try:
        return method, METHODS[method](question)
    except Inapplicable as error:
        others = [*(name for name in METHODS if name != method and _applies(question, name)), NEIGHBOURS]
        raise TaskkitError(f"{model}: {method} says nothing of it: {error}. Try {' or '.join(others)}.") from None


def _first(question: Question, model: str) -> tuple[str, Attributed]:
    """What the first method attributes that applies and, where it promises a sum, keeps it."""
    refused: list[str] = []
    for name in USUAL:
        try:
            found = METHODS[name](question)
        except Inapplicable as error:
            refused.append(f"{name}: {error}")
            continue
        if found.sum is None or found.sum.holds:
            said = {"instead of": "; ".join(refused)} if refused else {}
            return name, replace(found, settings={**found.settings, **said})
        refused.append(f"{name}: {in_words(found.sum)}")
    raise TaskkitError(f"{model}: no method attributes its answers: {'; '.join(refused)}. Try --method {NEIGHBOURS}.")


def _applies(question: Question, method: str) -> bool:
    try:
        METHODS[method](question)
    except TaskkitError:
        return False
    return True


def _seconds(question: Question) -> float | None:
    processor = question.built.processor
    if "second" not in processor.unit.name:
        return None
    return processor.length(question.sample) / processor.unit.scale


@contextmanager
def _any_backward() -> Iterator[None]:
    """Without cuDNN, whose recurrent layers have no gradient in evaluation mode."""
    with torch.backends.cudnn.flags(enabled=False):
        yield
