"""`python -m tests.testing.table`: all checks of the kit for each plugin of this repository, half an hour.

It writes docs/results/conformance.md, and the levels that were computed into taskkit/plugins/index.json.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taskkit.runs.record import cpu
from taskkit.wording import some
from tests.conftest import install

HOME = Path(__file__).parents[2]
PAGE = Path("docs/results/conformance.md")
INDEX = Path("taskkit/plugins/index.json")
PLUGINS = ("plugins/taskkit-image", "plugins/taskkit-recsys", "plugins/taskkit-speech", "plugins/taskkit-text")
EXAMPLES = ("docs/examples/taskkit-tabular",)
TEXT = """# Levels of plugins

What `taskkit plugins check` says of the plugins of this repository ({date}, commit {commit}, {machine},
`make conformance`). [Check a plugin](../how-to/conformance.md) says what each check is.

{table}

{reasons}
"""


def found(folder: str) -> Mapping[str, Any]:
    """What the kit says of a plugin's source folder, and the `minutes` that it took."""
    words = [sys.executable, "-m", "taskkit", "plugins", "check", folder, "--json"]
    begun = time.monotonic()
    ended = subprocess.run(words, capture_output=True, text=True, cwd=HOME)
    if not ended.stdout:
        raise SystemExit(ended.stderr)
    report: dict[str, Any] = json.loads(ended.stdout)
    return report | {"minutes": (time.monotonic() - begun) / 60}


def page(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, with what did not pass below its table, and why."""
    lines = [
        "| plugin | level | checks due | passed | failed | exempt | not run | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in reports.values():
        name = f"{each['distribution']} {each['version']}"
        counts = " | ".join(str(each[count]) for count in ("due", "pass", "fail", "exempt", "not_run"))
        lines.append(f"| {name} | {(each['level'] or 'none').capitalize()} | {counts} | {each['minutes']:.0f} |")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    return TEXT.format(
        date=datetime.now(UTC).date(),
        commit=commit.strip(),
        machine=f"Python {platform.python_version()}, {cpu()}",
        table="\n".join(lines),
        reasons="\n".join(_reasons(reports)),
    )


def _reasons(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    together: dict[tuple[str, str, str, str], list[str]] = {}
    for each in reports.values():
        for finding in each["findings"]:
            if finding["outcome"] in ("fail", "exempt", "not run"):
                why = finding["exemption"] or f"{finding['found']} {finding['cure']}"
                key = (each["distribution"], finding["check"], finding["outcome"], why)
                together.setdefault(key, []).append(finding["of"])
    for (plugin, check, outcome, why), of in together.items():
        yield f"- {plugin}, `{check}` of {some(of)}: {outcome}. {why}"


def main() -> None:
    with tempfile.TemporaryDirectory() as site:
        for folder in EXAMPLES:
            install(HOME / folder, Path(site))
        os.environ["PYTHONPATH"] = site
        reports = {folder: found(folder) for folder in (*PLUGINS, *EXAMPLES)}
    (HOME / PAGE).write_text(page(reports))
    index = json.loads((HOME / INDEX).read_text())
    levels = {reports[folder]["distribution"]: reports[folder]["level"] for folder in PLUGINS}
    for entry in index["plugins"]:
        if entry["name"] in levels:
            level = levels[entry["name"]]
            entry |= {"level": level, "run": None if level is None else str(PAGE)}
    (HOME / INDEX).write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
