"""Proofs by programs: what a network answers once it is exported, written to a file and read back."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from taskkit.batches.encode import samples_of
from taskkit.errors import RunFailedError
from taskkit.handover import export as programs
from taskkit.handover import onnx as as_onnx
from taskkit.handover.asking import Ask
from taskkit.handover.export import Program
from taskkit.handover.parity import LIMIT, SIZES, Parity, parity
from taskkit.verify.bench import Bench, Lacking, concluded, failed, here
from taskkit.verify.finding import Finding, Proof

SOME = 3
"""Examples whose answers changed that are named."""


def export(bench: Bench) -> Finding:
    """Compare the network with its program of torch.export, read back from its file, in shapes that it never saw."""

    def written(program: Program) -> Ask:
        return programs.read(program.save(_file(bench, "program.pt2")))

    return _compared("export", bench, "torch.export", written, here())


def onnx(bench: Bench) -> Finding:
    """Compare the network with its program in ONNX, which onnxruntime reads."""
    if missing := as_onnx.missing():
        raise Lacking(f"needs {' and '.join(missing)}: pip install 'taskkit-ml[onnx]'")

    def written(program: Program) -> Ask:
        return as_onnx.read(as_onnx.save(program, _file(bench, "program.onnx")))

    packages = {name: version(name) for name in as_onnx.NEEDED}
    return _compared("onnx", bench, "ONNX", written, {**here(), **packages})


def _compared(
    proof: Proof, bench: Bench, form: str, written: Callable[[Program], Ask], environment: dict[str, Any]
) -> Finding:
    judged = bench.judged
    what = f"what the network answers on {judged.said} and what its program of {form}, read back from its file, does"
    pairs = [(each, sample) for each in judged.examples for sample in samples_of(each, judged.built.processor)]
    try:
        program = bench.program
        found = parity(judged.built, program.used, written(program), [e for e, _ in pairs], [s for _, s in pairs])
    except RunFailedError as error:
        return failed(proof, bench, what, str(error), environment)
    compared = f"{what}, in batches of {', '.join(map(str, SIZES[:-1]))} and {SIZES[-1]} samples; {_said(found)}"
    advice = f"{_free(program)} What else decides an answer than the inputs and the weights is not in a program."
    return concluded(proof, bench, compared, found.apart, LIMIT, advice, environment, holds=found.holds)


def _said(found: Parity) -> str:
    """What became of the predictions, for a reader."""
    if found.answers is None:
        return "its predictions are not compared, since a test of this task makes none"
    if not found.changed:
        return f"all {found.answers} predictions are the same"
    names = ", ".join(found.changed[:SOME]) + (", …" if len(found.changed) > SOME else "")
    return f"{len(found.changed)} predictions are others ({names})"


def _free(program: Program) -> str:
    """Of which inputs what may have any size, for a reader."""
    forms = (
        f"{name} ({', '.join('any' if size is None else str(size) for size in shape)})"
        for name, shape in program.inputs.items()
    )
    return f"It takes {'; '.join(forms)}: what is a number was the same in all examples; --examples takes more."


def _file(bench: Bench, name: str) -> Path:
    folder = bench.lab.new_folder()
    folder.mkdir()
    return folder / name
