"""The example of the tutorial: a stranger's distribution, installed from its wheel and tested by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskkit.scaffold.update import differences
from tests.conftest import install

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "taskkit-tabular"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where its wheel is installed."""
    folder = tmp_path_factory.mktemp("tabular")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(EXAMPLE)], check=True)
    (wheel,) = folder.glob("*.whl")
    return install(wheel, folder / "site")


def test_it_is_of_the_template_of_today() -> None:
    assert differences(EXAMPLE) == []


def test_its_own_tests_pass_with_what_is_in_its_wheel(
    site: Path, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(EXAMPLE / "pyproject.toml")],
        cwd=EXAMPLE,
        env=environment(site, TASKKIT_CACHE=str(tmp_path), PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
