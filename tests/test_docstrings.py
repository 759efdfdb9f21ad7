"""What public docstrings say beyond their first sentence: the errors that are raised, and the shapes of tensors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("taskkit/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
SHAPE = re.compile(r"\([^()]*(,|\w\))|scalar|number|shape|tensor|batch")
OURS = re.compile(r"(Taskkit|RunFailed|Source|Data|Plugin|Checkpoint|Recipe)Error$")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The public functions of a module, and the public methods of its public classes, that have a docstring."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        for each in inside:
            if isinstance(each, Function) and not each.name.startswith("_") and ast.get_docstring(each):
                yield (f"{node.name}.{each.name}" if isinstance(node, ast.ClassDef) else each.name), each


def raised(function: Function) -> set[str]:
    """The errors for a person that stand in `raise` statements of the function itself."""
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func)
            if OURS.search(name):
                names.add(name)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_public_docstring_names_the_errors_and_the_shapes(path: Path) -> None:
    silent = []
    for name, function in public(ast.parse(path.read_text())):
        text = ast.get_docstring(function) or ""
        if lacking := sorted(error for error in raised(function) if error not in text):
            silent.append(f"{name} raises {', '.join(lacking)}")
        annotations = [argument.annotation for argument in function.args.args] + [function.returns]
        tensors = any(each is not None and ast.unparse(each) == "Tensor" for each in annotations)
        if tensors and not SHAPE.search(text):
            silent.append(f"{name} takes or gives tensors of some shape")
    assert silent == []
