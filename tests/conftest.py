"""Shared fixtures: the command line in a process of its own, and packages that are really installed."""

import atexit
import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

collect_ignore = ["packages"]
"""Tests of packages are run where these are installed."""
PACKAGES = Path(__file__).parent / "packages"


def pytest_configure() -> None:
    """Hear SIGINT: a shell that starts tests in the background has it ignored, by all that the tests start too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Runs that must come out alike must not compute with as many threads as happen to be free.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # What a person allows and prefers on this machine is not what tests are about, nor are keys to be left there.
    home = os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="taskkit-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)


@dataclass(frozen=True)
class Site:
    """A directory of installed packages, to be put on a path."""

    path: Path

    def add(
        self,
        name: str,
        entry_points: Mapping[str, str] | str,
        modules: Mapping[str, str],
        version: str = "0.1",
    ) -> None:
        """Install a distribution as a wheel lies once it is unpacked.

        `entry_points` are those of the group `taskkit`, or the whole text of entry_points.txt; `modules` are
        sources by file name.
        """
        if not isinstance(entry_points, str):
            lines = [f"{key} = {value}" for key, value in entry_points.items()]
            entry_points = "\n".join(["[taskkit]", *lines, ""])
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        files = {
            **modules,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": entry_points,
        }
        for file, text in files.items():
            (self.path / file).parent.mkdir(parents=True, exist_ok=True)
            (self.path / file).write_text(text)
        record = [f"{file},{_hash(text)},{len(text.encode())}" for file, text in files.items()]
        (self.path / info / "RECORD").write_text("\n".join([*record, f"{info}/RECORD,,", ""]))


def _hash(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty directory to install packages into."""
    return Site(tmp_path / "site")


@pytest.fixture
def points(site: Site) -> Path:
    """Where the plugin `taskkit-points` is installed, which has two moons to tell apart."""
    source = PACKAGES / "taskkit-points" / "src" / "taskkit_points"
    files = {f"taskkit_points/{path.name}": path.read_text() for path in source.iterdir() if path.is_file()}
    site.add("taskkit-points", {"points": "taskkit_points.plugin"}, files)
    return site.path


def install(source: Path, target: Path) -> Path:
    """Let pip install a source folder or a wheel into a directory, without its dependencies."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, str(source)], check=True)
    return target


@pytest.fixture(scope="session")
def sound_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip installed the plugin `taskkit-sound` 1.2.3, with which nothing is wrong."""
    return install(PACKAGES / "taskkit-sound", tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="session")
def series_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip installed the plugin `taskkit-series`: a whole modality by a stranger, which trains in a second."""
    return install(PACKAGES / "taskkit-series", tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="session")
def tabular_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip installed `taskkit-tabular`, the example of the tutorial."""
    return install(PACKAGES / "taskkit-tabular", tmp_path_factory.mktemp("tabular"))


@pytest.fixture
def environment() -> Callable[..., dict[str, str]]:
    """Make an environment for a process that finds what is installed in these directories."""

    def make(*sites: Path, **variables: str) -> dict[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("TASKKIT_")}
        # Tiny networks gain nothing from threads, and tests that run side by side lose much by them.
        return {**ours, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, sites)), **variables}

    return make


@pytest.fixture
def taskkit(
    tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call `python -m taskkit` with what is installed in `sites` too, in an empty directory."""

    def call(*arguments: str, sites: tuple[Path, ...] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "taskkit", *arguments],
            cwd=tmp_path,
            env=environment(*sites, **variables),
            capture_output=True,
            text=True,
        )

    return call
