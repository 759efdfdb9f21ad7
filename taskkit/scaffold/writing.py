"""A new plugin on disk: the folder is there with all of its files, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from taskkit.errors import PluginError
from taskkit.scaffold.answers import Answers
from taskkit.scaffold.record import FILE, Record
from taskkit.scaffold.rendering import render


def write(answers: Answers, parent: Path) -> list[Path]:
    """Write a plugin into a folder of its name below `parent`, and give the paths of its files.

    Raises PluginError where there is something of that name, or where nothing can be written.
    """
    folder = parent / answers.names.distribution
    if folder.exists() or folder.is_symlink():
        raise PluginError(f"{folder}: this is there already, and nothing is overwritten. Choose another name or place.")
    files = render(answers)
    files[FILE] = Record.of(answers, files).text()
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent))
        try:
            for name, text in files.items():
                path = made / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            made.chmod(0o755)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made)
            raise
    except OSError as error:
        raise PluginError(
            f"{folder}: it cannot be written: {error.strerror}. Free some space, or choose another place."
        ) from None
    return [folder / name for name in files]
