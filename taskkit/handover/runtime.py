"""A program in ONNX, asked by onnxruntime with NumPy's arrays, without torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from taskkit.contracts.arrays import Arrays
from taskkit.errors import RunFailedError, TaskkitError

ALSO = "_out"
"""Ends the name of an output that an input has too, for ONNX has one name for one thing."""


def load(path: Path, threads: int = 0) -> Callable[[Arrays], Arrays]:
    """A program ready to be asked on the CPU by so many threads, 0: as many as there are cores.

    Raises TaskkitError where onnxruntime is not installed, and RunFailedError where it cannot read the file.
    """
    if find_spec("onnxruntime") is None:
        raise TaskkitError(f"{path}: onnxruntime is not installed. Install it: pip install 'taskkit-ml[onnx]'")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each of its codes, and no common one
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise RunFailedError(
            f"{path}: onnxruntime cannot read it: {said}. Write `Model.exportable`, or index with int64 where it says "
            "int32."
        ) from error
    outputs = [each.name for each in session.get_outputs()]
    taken = {each.name for each in session.get_inputs()}
    names = [name.removesuffix(ALSO) if name.removesuffix(ALSO) in taken else name for name in outputs]

    def ask(inputs: Arrays) -> Arrays:
        found = session.run(outputs, {name: values for name, values in inputs.items() if name in taken})
        return dict(zip(names, found, strict=True))

    return ask
