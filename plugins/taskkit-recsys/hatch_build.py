"""Puts this plugin's recipes, which live beside all others in the repository, into its archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Recipes(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the files that `recipes` names in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them, unless this is an editable install, or a build from an sdist, which holds them already."""
        home = (Path(self.root) / "../../recipes").resolve()
        if version == "editable" or not home.is_dir():
            return
        folder = "src/taskkit_recsys/recipes" if self.target_name == "sdist" else "taskkit_recsys/recipes"
        for name in self.config["recipes"]:
            build_data["force_include"][str(home / name)] = f"{folder}/{name}"
