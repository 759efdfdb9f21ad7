"""What a file of torch.export may hold, looked at before torch reads it.

`torch.export.load` unpickles what an archive says is pickled, evaluates the expressions of sizes as Python, and calls
whatever attribute of torch a graph names. A network needs none of these: operators of ATen, Python's operators and
arithmetic of sizes are all that is let through.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskkit.errors import CheckpointError

_MEMBERS = re.compile(
    r"[^/]+/(data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|version"
    r"|\.data/(version|serialization_id)|\.format_version|\.storage_alignment)"
)
_OPERATORS = re.compile(r"torch\.ops\.(aten|prims|higher_order)(\.\w+)+|_operator\.\w+|math\.\w+|torch\.sym_\w+")
_REFUSED = re.compile(r"torch\.ops\.aten\.(from_file|_print)\b.*|.*\b__\w*")
_WORDS = re.compile(r"[A-Za-z_]\w*")
_FUNCTIONS = re.compile(
    r"Abs|Add|And|BooleanFalse|BooleanTrue|CeilDiv|CeilToInt|CleanDiv|Eq|Equality|False|Float|FloatPow"
    r"|FloatTrueDiv|FloorDiv|FloorToInt|Ge|GreaterThan|Gt|Half|Identity|Infinity|IntTrueDiv|Integer"
    r"|IsNonOverlappingAndDenseIndicator|LShift|Le|LessThan|Lt|Max|Min|Mod|ModularIndexing|Mul|Ne"
    r"|NegativeInfinity|NegativeOne|Not|One|Or|Piecewise|Pow|PowByNatural|PythonMod|RShift|Rational"
    r"|RoundDecimal|RoundToInt|StrictGreaterThan|StrictLessThan|ToFloat|True|TruncToFloat|TruncToInt|Unequality"
    r"|Where|Zero|ceiling|floor|int_oo|oo"
)
"""Numbers, relations and arithmetic of sympy, and those that torch adds, by the names of classes and functions."""
_SYMBOL = re.compile(r"(s|u|z|zf|uf)\d+")
_DECLARED = re.compile(r"Symbol\('((?:s|u|z|zf|uf)\d+)'(?:, \w+=(?:True|False))*\)")
_ARITHMETIC = re.compile(r"[\w\s+\-*/(),<>=!&|~.]*")


def check(path: Path) -> None:
    """Raise CheckpointError for an archive in which there is something that torch would run."""
    try:
        with zipfile.ZipFile(path) as archive:
            strange = next(_strange(archive), None)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). What torch.export saved was expected.") from None
    if strange is not None:
        raise CheckpointError(
            f"{path}: refused, since it holds {strange}, which torch could run. Nothing in it was run. A program of "
            "operators and weights alone was expected, as `taskkit export --to torch` writes it."
        )


def _strange(archive: zipfile.ZipFile) -> Iterator[str]:
    names = archive.namelist()
    if len({name.casefold() for name in names}) < len(names):
        yield "two members of one name"
    for name in names:
        if not _MEMBERS.fullmatch(name):
            yield f"{name!r}"
        elif name.endswith("sample_inputs/model.pt") and archive.getinfo(name).file_size:
            yield "pickled example inputs"
        elif name.endswith(".json"):
            yield from _strange_values(json.loads(archive.read(name)))


def _strange_values(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _strange_values(item)
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name == "use_pickle" and item:
            yield "a pickle"
        elif (
            name == "target" and isinstance(item, str) and (_REFUSED.fullmatch(item) or not _OPERATORS.fullmatch(item))
        ):
            yield f"a call of {item[:60]!r}"
        elif name == "expr_str" and not _is_size(item):
            yield f"the expression {str(item)[:60]!r}"
        elif name == "range_constraints" and not all(map(_is_size, item)):
            yield "a strange name of a size"
        else:
            yield from _strange_values(item)


def _is_size(expression: Any) -> bool:
    """Whether it is arithmetic of sizes, such as `2*s77 + 1` or `Max(1, Symbol('s0', integer=True))`."""
    if not isinstance(expression, str):
        return False
    plain = _DECLARED.sub(r"\1", expression)
    known = all(_FUNCTIONS.fullmatch(word) or _SYMBOL.fullmatch(word) for word in _WORDS.findall(plain))
    return known and bool(_ARITHMETIC.fullmatch(plain))
