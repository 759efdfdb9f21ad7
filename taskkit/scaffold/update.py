"""What a template has learnt since a plugin was written by it: of packaging and continuous integration alone.

A three-way difference: what was written then, what stands there now, and what would be written today.
"""

from __future__ import annotations

import difflib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from taskkit.errors import PluginError
from taskkit.scaffold.record import FILE, Record, read
from taskkit.scaffold.rendering import TEMPLATES, is_packaging, render

State = Literal["new", "changed", "both", "gone"]
"""A file that the template had not then; that it changed and the author did not; that both changed; that it has no
more."""


@dataclass(frozen=True)
class Difference:
    """One file that the template writes otherwise today; an empty text: it is not there."""

    path: str
    then: str
    yours: str
    now: str

    @property
    def state(self) -> State:
        """What to do about it follows from who changed it."""
        if not self.now:
            return "gone"
        if not self.then and not self.yours:
            return "new"
        return "changed" if self.yours == self.then else "both"

    def shown(self) -> Iterator[str]:
        """The lines of the difference: what the template changed, and what the author did where both did."""
        yield from _unified(self.then, self.now, f"{self.path} as it was written", f"{self.path} as it would be now")
        if self.state in ("both", "gone") and self.yours != self.then:
            yield from _unified(self.then, self.yours, f"{self.path} as it was written", f"{self.path} as you have it")

    def merged(self) -> tuple[str, int]:
        """The text with both changes, and in how many places they contradict each other; these are marked as git does.

        Raises PluginError where there is no git.
        """
        if self.state != "both":
            return self.now, 0
        return _merge(self.yours, self.then, self.now)


def differences(folder: Path, templates: Path = TEMPLATES) -> list[Difference]:
    """The files of a plugin in a folder that are to be looked at; raises PluginError where it is none of ours."""
    record = read(folder)
    now = {path: text for path, text in render(record.answers, templates).items() if is_packaging(path)}
    found = []
    for path in sorted({*now, *record.packaging}):
        each = Difference(path, record.packaging.get(path, ""), _text(folder / path), now.get(path, ""))
        if each.then != each.now and each.yours != each.now:
            found.append(each)
    return found


def apply(folder: Path, templates: Path = TEMPLATES) -> list[tuple[Difference, int]]:
    """Write what the template has learnt, and give each file with the number of places to be resolved by hand.

    A file that the template no longer has stays. Raises PluginError as `differences` does, and where there is no git.
    """
    merged = [(each, *each.merged()) for each in differences(folder, templates) if each.now]
    for each, text, _ in merged:
        path = folder / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    answers = read(folder).answers
    (folder / FILE).write_text(Record.of(answers, render(answers, templates)).text(), encoding="utf-8", newline="\n")
    return [(each, conflicts) for each, _, conflicts in merged]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise PluginError(f"{path}: it cannot be read: {error}. A text file was expected.") from None


def _unified(before: str, after: str, name: str, other: str) -> Iterator[str]:
    return difflib.unified_diff(before.splitlines(), after.splitlines(), name, other, lineterm="")


def _merge(yours: str, then: str, now: str) -> tuple[str, int]:
    """Three texts merged by git, which everybody has who publishes; Python's library merges no three texts."""
    git = shutil.which("git")
    if git is None:
        raise PluginError("A file was changed by you and by the template, and git merges the two. Install git.")
    with tempfile.TemporaryDirectory() as scratch:
        texts = {"yours": yours, "then": then, "now": now}
        for name, text in texts.items():
            Path(scratch, name).write_text(text, encoding="utf-8", newline="\n")
        labels = ["-L", "as you have it", "-L", "as it was written", "-L", "as it would be now"]
        command = [git, "merge-file", "-p", "--diff3", *labels, *texts]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, encoding="utf-8")
    # Its exit code is the number of conflicts; 255 is an error.
    if not 0 <= done.returncode < 128:
        raise PluginError(f"git merge-file failed: {done.stderr.strip()}. Change the file by hand.")
    return done.stdout, done.returncode
