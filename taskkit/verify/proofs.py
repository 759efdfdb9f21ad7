"""The proofs: each does a thing twice, in two ways that must come out alike, and says how far apart they came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from taskkit.contracts.recipe import Recipe
from taskkit.engine.machine import in_words
from taskkit.loaded_run import LoadedRun
from taskkit.plugins.registry import Plugins
from taskkit.runs.record import now
from taskkit.verify import exported, judging, steps, trainings
from taskkit.verify.bench import Bench, Skipped
from taskkit.verify.finding import Finding, Proof
from taskkit.verify.lab import Bounds, lab
from taskkit.verify.workshop import Workshop


def verify(
    recipe: Recipe,
    plugins: Plugins,
    proofs: Sequence[Proof],
    bounds: Bounds,
    *,
    run: LoadedRun | None = None,
    tolerance: float | None = None,
    ready: tuple[Workshop, Workshop] | None = None,
) -> Iterator[Finding]:
    """Make the proofs of a recipe one by one, in a temporary directory; `run` gives trained weights.

    `ready` are workshops that have imported what is needed; without them they are begun here.

    Raises RunFailedError where a training fails, and DataError where the data cannot be used.
    """
    with lab(recipe, plugins, bounds, ready) as place:
        bench = Bench(place, run, tolerance)
        for proof in proofs:
            yield prove(proof, bench)


def prove(proof: Proof, bench: Bench) -> Finding:
    """Make one proof; raises RunFailedError where a training fails, and DataError where the data cannot be used."""
    try:
        with in_words():
            return replace(_PROOFS[proof](bench), ended=now())
    except Skipped as reason:
        return Finding(proof, "skipped", str(reason), ended=now(), avoidable=reason.avoidable)


_PROOFS: Mapping[Proof, Callable[[Bench], Finding]] = {
    "resume": trainings.resume,
    "accumulate": steps.accumulate,
    "determinism": trainings.determinism,
    "precision": trainings.precision,
    "devices": steps.devices,
    "batch-size": judging.batch_size,
    "order": judging.order,
    "processes": judging.processes,
    "export": exported.export,
    "onnx": exported.onnx,
}
