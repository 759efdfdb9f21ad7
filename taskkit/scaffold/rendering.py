"""From answers to files: each template is the file that it becomes, with `<< name >>` where plugins differ."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from taskkit.contracts import hookspecs
from taskkit.scaffold.answers import Answers

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".jinja"
OF_A_KIND = {"task.py": "task", "model.py": "model", "data.py": "data", "examples.py": "data"}
"""Files that are there only with a component of their kind."""
PACKAGING = ("pyproject.toml", ".gitignore", ".gitlab-ci.yml", ".github/")
"""What is the template's business for good: these files, and those in these folders; all else is its author's."""


def render(answers: Answers, templates: Path = TEMPLATES) -> dict[str, str]:
    """The text of each file of the plugin by its path, in the order of paths."""
    environment = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        # Double braces and brackets mean something in workflows, TOML and Python.
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    values = _values(answers)
    names = {"PACKAGE": answers.names.package, "MODALITY": answers.names.modality}
    files: dict[str, str] = {}
    for folder in ("common", answers.like):
        for path in (templates / folder).rglob(f"*{SUFFIX}"):
            kind = OF_A_KIND.get(path.name.removesuffix(SUFFIX))
            if kind is not None and kind not in answers.kinds:
                continue
            place = path.relative_to(templates / folder).as_posix().removesuffix(SUFFIX)
            for name, own in names.items():
                place = place.replace(name, own)
            files[place] = environment.get_template(path.relative_to(templates).as_posix()).render(values)
    return dict(sorted(files.items()))


def is_packaging(path: str) -> bool:
    """Whether a file of a plugin says how it is built, tested and published, and not what it does."""
    return any(path == name or (name.endswith("/") and path.startswith(name)) for name in PACKAGING)


def _values(answers: Answers) -> Mapping[str, Any]:
    names, look = answers.names, answers.look
    return {
        "distribution": names.distribution,
        "package": names.package,
        "modality": names.modality,
        "kinds": answers.kinds,
        "like": answers.like,
        "thing": look.thing,
        "input": look.input.format(package=names.package),
        "model": look.model,
        "data": look.data,
        "base": look.base,
        "bounds": _series(metadata.version("taskkit-ml")),
        "api": _series(hookspecs.API_VERSION),
    }


def _series(version: str) -> str:
    """The versions whose contracts are the same: before 1.0 those of one minor version."""
    major, minor = version.split(".")[:2]
    return f">={major}.{minor},<{major}.{int(minor) + 1}"
