"""Installs taskkit and its plugins from a folder of wheels, beside what the calling Python has, without a network."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from on_device.kept import Kept

HOST = "taskkit-ml"
BESIDE = ("accelerate", "hatchling", "pytest", "pytest-timeout")
"""What this benchmark needs and taskkit does not; without one of them a row or a stage fails, and the rest does not."""


def install(kept: Kept, wheels: Path, home: Path) -> None:
    """Make an environment above the calling one, and install every wheel of the folder that is of this project.

    What they need is taken from the folder too, where it is not there already. Raises SystemExit with pip's words.
    """
    began = time.monotonic()
    venv.create(home, with_pip=False, clear=True)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    # Not by its `system_site_packages`: where the calling Python is of an environment itself, that would pass it over.
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "calling.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in sorted(own)))
    wanted = list(_ours(wheels))
    pip = [sys.executable, "-P", "-m", "pip", "--python", str(python), "install", "--no-index", "-f", str(wheels)]
    # Also where the calling Python has the project installed, of which this would then be another commit.
    for options in (["--no-deps", "--force-reinstall"], []):
        if code := subprocess.run([*pip, *options, *map(str, wanted)]).returncode:
            raise SystemExit(f"pip ended with {code}: look at what it said above.")
    for name in BESIDE:
        kept.row(package=name, installed=subprocess.run([*pip, name]).returncode == 0)
    for path in wanted:
        kept.row(package=path.name, installed=True)
    kept.put(interpreter=str(python), seconds=time.monotonic() - began)


def _ours(wheels: Path) -> Iterator[Path]:
    found = sorted(wheels.glob("taskkit*.whl"))
    if not any(path.name.startswith(HOST.replace("-", "_")) for path in found):
        raise SystemExit(
            f"--wheels {wheels}: it holds no wheel of {HOST}. Expected those of taskkit and its plugins, as "
            "`pip wheel --no-deps -w FOLDER . plugins/*` makes them."
        )
    yield from found
