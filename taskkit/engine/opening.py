"""A run's task, from its directory: which checkpoint speaks for it, and what it is rebuilt to."""

from __future__ import annotations

from pathlib import Path

from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.quantise import quantise
from taskkit.errors import CheckpointError
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.runs import checkpoint, since
from taskkit.runs.manifest import Manifest
from taskkit.wording import quoted


def checkpoint_of(path: Path, manifest: Manifest) -> Path:
    """The best checkpoint, or the last where none is best; raises CheckpointError when there is none."""
    for name in ("best.ckpt", "last.ckpt"):
        if (found := path / "checkpoints" / name).exists():
            return found
    if any(each["file"].startswith("checkpoints/") for call in manifest.scrubbed for each in call["removed"]):
        raise CheckpointError(
            f"{path}: its checkpoints were removed by taskkit scrub. It can be compared, or run "
            f"again: taskkit run {quoted(path)}/recipe.yaml"
        )
    if manifest.derived is not None:
        raise CheckpointError(
            f"{path}: it was made of other runs ({manifest.derived.kind}) and has no checkpoint. Name "
            f"one of its members, such as {manifest.derived.where(path)}"
        )
    raise CheckpointError(
        f"{path}: no checkpoint was written before the run ended ({manifest.status}). "
        f"Go on with it first: taskkit run --resume {quoted(path)}"
    )


def opened(path: Path, manifest: Manifest, plugins: Plugins) -> Built:
    """The task of a run with its network and processor, rebuilt from the checkpoint alone."""
    since.check_plugins(path, manifest, plugins)
    saved = checkpoint.read(checkpoint_of(path, manifest))
    built = build.rebuild(saved, recipes.from_plain(saved.recipe, plugins), plugins.components)
    small = manifest.compressed
    if small is not None and "quantise" in small.settings:
        quantise(built.network.eval(), small.settings["quantise"])
    return built
