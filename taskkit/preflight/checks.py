"""`taskkit check --deep`: a recipe is tried on a small scale, and what that says of the whole run is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch

from taskkit.contracts.recipe import Recipe
from taskkit.engine import build
from taskkit.engine.chance import far_off, in_words
from taskkit.engine.placement import alone
from taskkit.engine.trainer import make_trainer, quiet
from taskkit.errors import OutOfMemoryError
from taskkit.plugins.registry import Plugins
from taskkit.preflight import estimate, overfit
from taskkit.preflight.finding import Finding
from taskkit.preflight.fitting import fitting
from taskkit.preflight.overfit import LEARNT, STEPS, USUAL, CannotSay, Learnt, Subject
from taskkit.preflight.short import tried
from taskkit.recipe.load import Resolved


def preflight(resolved: Resolved, plugins: Plugins) -> Iterator[Finding]:
    """Look ahead, one thing after another; raises what a run would raise where the recipe does not run in short."""
    recipe = resolved.recipe
    try:
        timed = tried(resolved)
    except OutOfMemoryError as error:
        raise OutOfMemoryError(f"{error} {fitting(resolved)}") from error
    yield from learning(recipe, plugins)
    for found in estimate.findings(timed, recipe, Path.cwd(), _processes(recipe)):
        scarce = found.kind == "memory" and found.severity == "warning"
        yield replace(found, message=f"{found.message} {fitting(resolved)}") if scarce else found


def learning(recipe: Recipe, plugins: Plugins) -> Iterator[Finding]:
    """The first loss beside chance, and whether one batch can be learnt by heart."""
    with quiet():
        pl.seed_everything(recipe.seed, workers=True, verbose=False)
        prepared = build.prepare(build.data_module(recipe), recipe, plugins.components)
        built = build.build(recipe, prepared)
        here = replace(recipe, trainer=alone(recipe.trainer))
        try:
            subject = overfit.subject(built, prepared, make_trainer(here, []).strategy.root_device)
            yield _first_loss(subject)
            yield _one_batch(subject)
        except CannotSay as reason:
            yield Finding("info", "one batch", f"not tried, since {reason}.")


def _first_loss(subject: Subject) -> Finding:
    loss, chance = float(subject.loss().detach()), subject.chance
    remark = far_off(loss, chance, pretrained=bool(subject.built.origins))
    said = in_words(loss, chance)
    message = f"{said}." if remark is None else f"{said}. {remark}"
    return Finding("info" if remark is None else "warning", "first loss", message, {"loss": loss, "chance": chance})


def _one_batch(subject: Subject) -> Finding:
    section = subject.built.recipe.optim
    found = subject.learnt(section)
    numbers: dict[str, float | None] = {"first": found.first, "lowest": found.lowest, "steps": found.steps}
    said = f"{subject.samples} samples: {_fell(found)}"
    if found.enough:
        well = "it can be learnt by heart" if found.goal == LEARNT * found.first else "something can be learnt"
        return Finding("info", "one batch", f"{said}: {well}.", numbers)
    if found.late:
        return Finding("info", "one batch", f"{said}; there was no time for {STEPS} steps.", numbers)
    wanted = f"Below {found.goal:.4g} was expected."
    other = subject.learnt(USUAL)
    if other.enough:
        return Finding(
            "warning",
            "one batch",
            f"{said} with {section.name} at optim.lr={section.lr:g}. {wanted} With adamw at 0.001 {_fell(other)}: look "
            "at the optim section.",
            numbers,
        )
    return Finding(
        "warning",
        "one batch",
        f"{said}. {wanted} Look whether what the network answers depends on its inputs, whether the loss compares the "
        "right things, and whether inputs that are the same have different targets.",
        numbers,
    )


def _fell(found: Learnt) -> str:
    return f"the loss fell from {found.first:.4g} to {found.lowest:.4g} in {found.steps} steps"


def _processes(recipe: Recipe) -> int:
    devices = recipe.trainer.devices
    here = torch.cuda.device_count() or 1 if devices == "auto" else devices
    return here * recipe.trainer.num_nodes
