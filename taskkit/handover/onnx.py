"""An exported program as ONNX, and asked by onnxruntime."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from taskkit.errors import RunFailedError
from taskkit.handover.asking import Ask, Inputs, reason
from taskkit.handover.export import Program, unheard

NEEDED = ("onnx", "onnxscript", "onnxruntime")
ALSO = "_out"
"""Ends the name of an output that an input has too, for ONNX has one name for one thing."""


def missing() -> list[str]:
    """The packages that ONNX needs and that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def save(program: Program, path: Path) -> Path:
    """Write a program as ONNX, with its own names of inputs and outputs; raises RunFailedError where that fails."""
    try:
        # Of a fused kernel of attention torch.onnx knows the sums and not how the results lie in memory.
        with unheard(), sdpa_kernel(SDPBackend.MATH):
            made = torch.onnx.export(
                program.exported,
                dynamo=True,
                verbose=False,
                input_names=list(program.inputs),
                output_names=[f"{name}{ALSO}" if name in program.inputs else name for name in program.outputs],
            )
            assert made is not None
            made.save(path)
    except Exception as error:  # whatever the converter's many passes run into
        raise RunFailedError(
            f"torch.onnx cannot convert the exported program: {reason(error)} Its operations must be among those of "
            "ONNX. Write `Model.exportable`, which gives a network of such that answers alike."
        ) from error
    return path


def read(path: Path) -> Ask:
    """A program that was saved as ONNX, ready to be asked on the CPU; raises RunFailedError where it cannot be read."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each of its codes, and no common one
        raise RunFailedError(
            f"onnxruntime cannot read what torch.onnx wrote: {reason(error)} Write `Model.exportable`, or index with "
            "int64 where it says int32."
        ) from error
    outputs = [each.name for each in session.get_outputs()]
    taken = {each.name for each in session.get_inputs()}
    names = [name.removesuffix(ALSO) if name.removesuffix(ALSO) in taken else name for name in outputs]

    def ask(inputs: Inputs) -> dict[str, torch.Tensor]:
        found = session.run(outputs, {name: x.numpy() for name, x in inputs.items() if name in taken})
        return {name: torch.from_numpy(values) for name, values in zip(names, found, strict=True)}

    return ask
