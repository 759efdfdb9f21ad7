"""What loading a plugin does and costs: `python -m taskkit.testing.alone DISTRIBUTION` prints it as JSON.

It is a process of its own: elsewhere torch may be there already, and what others imported before costs nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field

from taskkit.errors import PluginError, RunFailedError
from taskkit.plugins.compatibility import fact, section_of
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load  # noqa: F401 - what checks of recipes import is not the plugin's cost


@dataclass(frozen=True)
class Loaded:
    """What loading a plugin did and cost."""

    milliseconds: float
    """CPU time beyond what the host takes alone."""
    packages: list[str] = field(default_factory=list)
    """What was imported, from the standard library and taskkit apart."""
    faults: dict[str, str] = field(default_factory=dict)
    """Why it does not load, or its sections and facts do not, each with what to do."""


def loaded(distribution: str) -> Loaded:
    """Load a plugin in a process of its own; raises RunFailedError when that ends otherwise than it should."""
    words = [sys.executable, "-P", "-m", "taskkit.testing.alone", distribution]
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode != 0:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise RunFailedError(
            f"A process that loads {distribution} alone ended with the exit code {ended.returncode}; 0 was expected. "
            f"Mend what it says: {last}"
        )
    return Loaded(**json.loads(ended.stdout.splitlines()[-1]))


def _timed(allowed: Collection[str]) -> tuple[float, dict[str, str]]:
    """Milliseconds of CPU time in which what is allowed is found, with its sections and facts, and what is wrong."""
    began = time.process_time()
    faults = dict(_faults(discover(allowed)))
    return (time.process_time() - began) * 1000, faults


def _faults(plugins: Plugins) -> Iterator[tuple[str, str]]:
    for problem in plugins.problems:
        if problem.stage != "clash":
            yield problem.reason, problem.hint
    for component in plugins.components:
        owner = plugins.owner(component)
        try:
            section_of(component, owner)
            for reference in filter(None, (component.input, *component.targets)):
                fact(component, reference, owner)
        except PluginError as error:
            yield str(error), "Mend the section or the fact."


def _measured(distribution: str) -> Loaded:
    _timed(())  # The metadata of all that are installed are read from the disk.
    host, before = _timed(())[0], set(sys.modules)
    own, faults = _timed([distribution])
    new = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - {"taskkit"}
    return Loaded(max(0.0, own - host), sorted(new), faults)


if __name__ == "__main__":
    print(json.dumps(asdict(_measured(*sys.argv[1:]))))
