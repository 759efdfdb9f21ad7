"""A report as one HTML file that asks nothing of any network: styles, script, pictures and sounds are inside it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from taskkit.report.document import Page
from taskkit.wording import printable

MARK = '<meta name="generator" content="taskkit report">'
"""What the head of every report holds."""


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("taskkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: object) -> object:
    """Control characters, and those that turn the direction of writing, as escapes; what is HTML already as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render(page: Page) -> str:
    """The whole file; whatever stands in names, texts and data, the page's own script is the only one that runs."""
    environment = _templates()
    script = _source(environment, "report.js")
    return environment.get_template("report.html").render(
        page=page,
        style=Markup(_source(environment, "report.css")),
        script=Markup(script),
        mark=Markup(MARK),
        # What a browser compares the script with before it runs it.
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
