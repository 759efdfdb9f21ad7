"""What loading a plugin costs: `python -m taskkit.testing.alone DISTRIBUTION` prints it as JSON.

It is a process of its own, since what another test imported would cost nothing here.
"""

from __future__ import annotations

import json
import sys
import time

from taskkit.errors import PluginError
from taskkit.plugins.compatibility import fact, section_of
from taskkit.plugins.discovery import discover
from taskkit.recipe import load  # noqa: F401 - what checks of recipes import is not the plugin's cost


def _timed(distribution: str | None) -> float:
    """Milliseconds of CPU time in which plugins are found, with the sections and facts of what is allowed."""
    began = time.process_time()
    plugins = discover(() if distribution is None else [distribution])
    for component in plugins.components:
        owner = plugins.owner(component)
        try:
            section_of(component, owner)
            for reference in filter(None, (component.input, *component.targets)):
                fact(component, reference, owner)
        except PluginError:
            continue  # Another check tells of it.
    return (time.process_time() - began) * 1000


def _main(distribution: str) -> None:
    _timed(None)  # The metadata of all that is installed are read from the disk.
    host, before = _timed(None), set(sys.modules)
    own = _timed(distribution) - host
    new = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - {"taskkit"}
    print(json.dumps({"ms": max(0.0, own), "packages": sorted(new)}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
