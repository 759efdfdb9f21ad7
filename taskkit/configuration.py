"""What a person set for all of their runs on a machine, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from taskkit.errors import TaskkitError
from taskkit.wording import did_you_mean, path_text, shown

SIZE = 100_000
"""The most bytes of the file."""


@dataclass(frozen=True)
class Configuration:
    """Which plugins may be used, and which are preferred where several declare one thing."""

    allow: tuple[str, ...] | None = None
    """Distributions or entry points; None: all that are installed."""
    prefer: tuple[str, ...] = ()
    """Distributions or entry points, the first one first."""


def configuration_file() -> Path:
    """Where the file is read from, whether there is one or not: `$XDG_CONFIG_HOME/taskkit/config.yaml` on Linux."""
    return platformdirs.user_config_path("taskkit") / "config.yaml"


def read_configuration() -> Configuration:
    """Read the file; without one nothing is set. Raises TaskkitError that names it and what is wrong in it."""
    path = configuration_file()
    try:
        with path.open("rb") as file:
            content = file.read(SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Configuration()
    except OSError as error:
        raise TaskkitError(f"{path_text(path)}: it cannot be read ({error.strerror}). Mend or remove it.") from None
    for fault in _faults(found := _parsed(content, path)):
        raise TaskkitError(f"{path_text(path)}: {fault}")
    chosen = (found or {}).get("plugins") or {}
    allow = chosen.get("allow")
    return Configuration(None if allow is None else tuple(allow), tuple(chosen.get("prefer") or ()))


def _parsed(content: bytes, path: Path) -> Any:
    import yaml

    if len(content) > SIZE:
        raise TaskkitError(
            f"{path_text(path)}: it has more than {SIZE:,} bytes. A few lines were expected. Shorten it."
        )
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise TaskkitError(f"{path_text(path)}: it is no YAML ({said}). Mend or remove it.") from None


def _faults(found: Any) -> Iterator[str]:
    """What is wrong with the values of the file."""
    if found is None:
        return
    yield from _unknown(found, ("plugins",), "")
    plugins = found.get("plugins")
    if plugins is None:
        return
    yield from _unknown(plugins, ("allow", "prefer"), "plugins")
    for name, names in plugins.items():
        if names is not None and not (isinstance(names, list) and all(isinstance(each, str) for each in names)):
            yield (
                f"plugins.{name} is {shown(names)}. A list of plugins was expected, by distribution or entry point: "
                f"`plugins: {{{name}: [taskkit-image]}}`."
            )


def _unknown(found: Any, known: tuple[str, ...], where: str) -> Iterator[str]:
    if not isinstance(found, Mapping):
        what = f"{where} is {shown(found)}" if where else f"it holds {shown(found)}"
        yield f"{what}. A mapping of {' and '.join(known)} was expected."
        return
    for name in found:
        if name not in known:
            key = f"{where}.{name}" if where else str(name)
            yield f"{key} is no setting.{did_you_mean(str(name), known) or ' There is ' + ' and '.join(known) + '.'}"
