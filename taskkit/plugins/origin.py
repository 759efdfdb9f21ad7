"""Where a plugin came from, which decides who can mend it."""

from __future__ import annotations

import json
from importlib import metadata

EDITABLE = "editable "


def origin(dist: metadata.Distribution) -> str:
    """Where a distribution was installed from: `editable FOLDER`, a URL with its commit, or `index`."""
    try:
        direct = json.loads(dist.read_text("direct_url.json") or "null")
    except ValueError:
        return "direct_url.json cannot be read"
    if not isinstance(direct, dict):
        return "index"
    url = str(direct.get("url", ""))
    if direct.get("dir_info", {}).get("editable"):
        return f"{EDITABLE}{url.removeprefix('file://')}"
    commit = direct.get("vcs_info", {}).get("commit_id")
    return f"{url}@{commit}" if commit else url


def own_folder(distribution: str) -> str:
    """Where a distribution is edited, so that who runs it is its author; empty: it is not, or not installed."""
    try:
        place = origin(metadata.distribution(distribution))
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    return place.removeprefix(EDITABLE) if place.startswith(EDITABLE) else ""


def remedy(distribution: str) -> str:
    """What to do about a fault of a plugin: its author mends it, and others tell them."""
    if distribution.endswith(".py"):
        return "Mend the file."
    if folder := own_folder(distribution):
        return f"Mend it in {folder}."
    return f"Tell the authors of {distribution}, or: pip uninstall {distribution}"
