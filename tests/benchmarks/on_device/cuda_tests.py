"""Runs the tests that need a CUDA device."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from on_device.kept import ROOT, Kept

MARK = "pytest.mark.cuda"
WORDS = ("-m", "cuda", "-p", "no:cacheprovider", "--import-mode=importlib", "-q")


def run(kept: Kept, folder: Path, until: float) -> None:
    """Run them, a row each; raises SystemExit where one failed or none was found."""
    files = [str(path.relative_to(ROOT)) for path in _files()]
    found = folder / "tests.xml"
    # The options of pyproject.toml spread tests over processes, and want a plugin of pytest that may not be here.
    words = [sys.executable, "-m", "pytest", "-o", "addopts=", *WORDS, f"--junitxml={found}", *files]
    try:
        code = subprocess.run(words, cwd=ROOT, timeout=max(1.0, until - time.time())).returncode
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"pytest was not over after {error.timeout:.0f} s.") from None
    if not found.exists():
        raise SystemExit(f"pytest ended with {code} and left no results.")
    rows = list(_rows(found))
    kept.put(rows=rows)
    if bad := [row["test"] for row in rows if row["state"] == "failed"] or ([] if rows else ["none was found"]):
        raise SystemExit(f"{len(bad)} of {len(rows)} failed: {', '.join(bad)}")


def _files() -> Iterator[Path]:
    for place in (ROOT / "tests", *sorted(ROOT.glob("plugins/*/tests"))):
        yield from (path for path in sorted(place.rglob("test_*.py")) if f"@{MARK}" in path.read_text())


def _rows(found: Path) -> Iterator[dict[str, Any]]:
    for case in ElementTree.parse(found).getroot().iter("testcase"):
        name, state, reason = f"{case.get('classname')}::{case.get('name')}", "passed", None
        for kind, means in (("skipped", "skipped"), ("failure", "failed"), ("error", "failed")):
            if (told := case.find(kind)) is not None:
                state, reason = means, (told.get("message") or "").strip()[:300]
        yield {"test": name, "state": state, "reason": reason}
