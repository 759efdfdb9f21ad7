"""An exported program as ONNX, and asked by onnxruntime."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from taskkit.errors import RunFailedError
from taskkit.handover import recurrent, runtime
from taskkit.handover.asking import Ask, Inputs, reason
from taskkit.handover.export import Program, unheard

HALVES = (torch.float16, torch.bfloat16)
NEEDED = ("onnx", "onnxscript", "onnxruntime")


def missing() -> list[str]:
    """The packages that ONNX needs and that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def save(program: Program, path: Path) -> Path:
    """Write a program as ONNX, with its own names of inputs and outputs; raises RunFailedError where that fails.

    The program is of no use afterwards: torch changes it as it converts it.
    """
    try:
        # Of a fused kernel of attention torch.onnx knows the sums and not how the results lie in memory.
        with unheard(), recurrent.whole(), sdpa_kernel(SDPBackend.MATH):
            made = torch.onnx.export(
                program.exported,
                dynamo=True,
                # Else weights that are kept in 16 bits would be made 32 in the file.
                optimize=not any(each.dtype in HALVES for each in program.exported.state_dict.values()),
                verbose=False,
                input_names=list(program.inputs),
                output_names=[f"{name}{runtime.ALSO}" if name in program.inputs else name for name in program.outputs],
            )
            assert made is not None
            made.save(path)
    except OSError:
        raise  # of a disk that is full, and no fault of the network's
    except Exception as error:  # whatever the converter's many passes run into
        raise RunFailedError(
            f"torch.onnx cannot convert the exported program: {reason(error)} Its operations must be among those of "
            "ONNX. Write `Model.exportable`, which gives a network of such that answers alike."
        ) from error
    return path


def read(path: Path) -> Ask:
    """A program that was saved as ONNX, ready to be asked on the CPU; raises RunFailedError where it cannot be read."""
    program = runtime.load(path, torch.get_num_threads())

    def ask(inputs: Inputs) -> dict[str, torch.Tensor]:
        found = program({name: x.numpy() for name, x in inputs.items()})
        return {name: torch.from_numpy(values) for name, values in found.items()}

    return ask
