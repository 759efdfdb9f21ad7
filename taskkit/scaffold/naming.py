"""The three names of a plugin: of its distribution, of its package, and the first word of its components."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from taskkit.errors import PluginError

LONGEST = 40
"""Longer names make lines of code that a formatter would break."""
_DISTRIBUTION = re.compile(r"[a-z0-9]|[a-z0-9][a-z0-9._-]*[a-z0-9]", re.IGNORECASE)
"""What a package index takes for a name (PEP 508)."""
_PACKAGE = re.compile(r"[a-z][a-z0-9_]*")
_PREFIX = "taskkit_"


@dataclass(frozen=True)
class Names:
    """`taskkit-foo`, `taskkit_foo` and `foo`."""

    distribution: str
    package: str
    modality: str

    @classmethod
    def of(cls, distribution: str) -> Names:
        """The names that follow from that of the distribution; raises PluginError for one that cannot be."""
        if not _DISTRIBUTION.fullmatch(distribution):
            raise _refused(distribution, "it is no name of a distribution: letters, digits and dashes were expected")
        package = re.sub(r"[-_.]+", "_", distribution).lower()
        modality = package.removeprefix(_PREFIX)
        if not _PACKAGE.fullmatch(modality) or keyword.iskeyword(package) or keyword.iskeyword(modality):
            raise _refused(distribution, f"neither a package nor components can be called {modality!r}")
        if package == "taskkit" or len(distribution) > LONGEST:
            raise _refused(distribution, f"a name of its own of at most {LONGEST} characters was expected")
        return cls(re.sub(r"[-_.]+", "-", distribution).lower(), package, modality)


def _refused(distribution: str, why: str) -> PluginError:
    return PluginError(f"{distribution!r}: {why}. Choose one such as taskkit-weather.")
