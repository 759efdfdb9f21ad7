"""The example of the tutorial: a stranger's distribution, installed from its wheel and tested by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
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
    words = ["pytest", "-q", "-p", "no:cacheprovider", "tests/test_tabular.py"]
    ended = _call(words, EXAMPLE, environment(site, TASKKIT_CACHE=str(tmp_path), PYTHONDONTWRITEBYTECODE="1"))
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_it_reaches_gold(site: Path, environment: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    words = ["taskkit", "plugins", "check", "taskkit-tabular", "--level", "gold"]
    ended = _call(words, tmp_path, environment(site, TASKKIT_CACHE=str(tmp_path)))
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _call(words: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
