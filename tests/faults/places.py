"""Full disks, places that cannot be written, odd names, and runs that are moved or linked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.faults.children import Child, Ended, read_only, taskkit, tmpfs
from tests.faults.report import Line
from tests.faults.runs import RECIPE, broken, differences, outcome

SIZES = ("32k", "64k", "96k", "128k", "160k")
"""Of disks: smaller than a run, of which the first fits next to nothing and the last all but its end."""
ROOMY = "64m"
NAMES = {
    "blanks and quotes": '  it\'s a "run"  ',
    "Unicode": "naïve 😀 مرحبا 实验",
    "200 characters": "x" * 200,
    "a line break": "two\nlines",
    "signs of a shell": "$HOME;`ls` * ? [a] = # %s {x}",
    "no UTF-8": os.fsdecode(b"caf\xe9"),
}
Result = Mapping[str, Any]


def places(place: Path, expected: Result) -> Iterator[Line]:
    """Every fault of places; those that need mounts only where this process may mount."""
    if may_mount(place):
        yield _line("a full disk for the run, then room", full_run, place, expected, len(SIZES))
        yield _line("a full disk for the cache, then room", full_cache, place, expected, len(SIZES))
        yield _line("a full disk for temporary files", full_temporary, place, expected, 1)
        yield _line("places that cannot be written", unwritable, place, expected, 3)
    else:
        yield Line("full disks and places that cannot be written", 0, "skipped: mounting takes root")
    yield _line("odd names of folders", odd_names, place, expected, len(NAMES))
    yield _line("a killed run moved, or reached by a link", moved, place, expected, 2)


def full_run(place: Path, expected: Result, sizes: Sequence[str] = SIZES) -> Iterator[str]:
    """A disk that fills while the run goes on, and has room when it is gone on with."""
    for size in sizes:
        folder = begun(place)
        with tmpfs(folder / "disk", size) as disk:
            ended = taskkit(["run", "r.yaml", "--out", "disk/run"], folder, _cache(folder))
            yield from _refused(f"a disk of {size}", ended)
            yield from broken(disk / "run", folder / "cache")
            subprocess.run(["mount", "-o", f"remount,size={ROOMY}", disk], check=True)
            yield from ends(folder, disk / "run", _cache(folder), expected)


def full_cache(place: Path, expected: Result) -> Iterator[str]:
    """The same of the cache."""
    for size in SIZES:
        folder = begun(place)
        with tmpfs(folder / "cache", size) as disk:
            ended = taskkit(["run", "r.yaml", "--out", "run"], folder, _cache(folder))
            yield from _refused(f"a cache of {size}", ended)
            yield from broken(folder / "run", disk)
            subprocess.run(["mount", "-o", f"remount,size={ROOMY}", disk], check=True)
            yield from ends(folder, folder / "run", _cache(folder), expected)


def full_temporary(place: Path, expected: Result) -> Iterator[str]:
    """No room for temporary files: a run needs none, with workers neither."""
    folder = begun(place)
    with tmpfs(folder / "tmp", "4k") as disk:
        (disk / "full").write_bytes(bytes(4096))
        yield from ends(folder, folder / "run", {**_cache(folder), "TMPDIR": str(disk)}, expected)


def unwritable(place: Path, expected: Result) -> Iterator[str]:
    """A run and a cache where nobody may write are refused; data where nobody may write are all right."""
    folder = begun(place)
    (folder / "closed").mkdir()
    with read_only(folder / "closed"):
        for what, words, variables in (
            ("a run", ["--out", "closed/run"], _cache(folder)),
            ("a cache", ["--out", "run"], {"TASKKIT_CACHE": str(folder / "closed" / "cache")}),
        ):
            ended = taskkit(["run", "r.yaml", *words], folder, variables)
            yield from _refused(f"{what} that cannot be written", ended, codes=(2,))
    yield from ends(folder, folder / "run", _cache(folder), expected)
    with read_only(folder / "run"):
        yield from _called("eval of a run that cannot be written", ["eval", "run"], folder)


def odd_names(place: Path, expected: Result) -> Iterator[str]:
    """A folder, a run and a cache by an odd name; it is trained, judged again and asked."""
    for what, name in NAMES.items():
        folder = begun(place) / name
        folder.mkdir()
        shutil.copy(folder.parent / "r.yaml", folder)
        out, variables = folder / f"{name[:100]} run", {"TASKKIT_CACHE": str(folder / f"{name[:100]} cache")}
        for problem in ends(folder, out, variables, expected):
            yield f"{what}: {problem}"
        for words in (["eval", out.name], ["predict", out.name, _picture(folder)]):
            yield from _called(what, words, folder)


def moved(place: Path, expected: Result) -> Iterator[str]:
    """A run is killed, moved or linked, gone on with there, then judged, compared and asked."""
    for how, reach in (("moved", _move), ("linked", _link)):
        folder = begun(place)
        child = Child(["run", "r.yaml", "--out", "run"], folder, _cache(folder))
        last = folder / "run" / "checkpoints" / "last.ckpt"
        while child.goes_on and not last.exists():
            continue
        child.send(9)
        child.end()
        there = reach(folder / "run", folder)
        for problem in ends(folder, there, _cache(folder), expected):
            yield f"{how}: {problem}"
        for words in (
            ["eval", str(there)],
            ["compare", str(there), str(there.resolve())],
            ["predict", str(there), _picture(folder)],
            ["runs", "--root", str(there.parent)],
        ):
            yield from _called(how, words, folder)


def begun(place: Path) -> Path:
    """A new folder with the recipe in it."""
    number = len([*place.iterdir()])
    folder = place / f"place-{number}"
    folder.mkdir()
    (folder / "r.yaml").write_text(RECIPE)
    return folder


def ends(
    folder: Path, run: Path, variables: Mapping[str, str], expected: Result, *changes: str, fresh: bool = False
) -> Iterator[str]:
    """Begin a run, or go on with it, to its end; what is wrong with that."""
    words = ["--resume", str(run)] if (run / "run.json").exists() else ["r.yaml", "--out", str(run), *changes]
    ended = taskkit(["run", *words], folder, variables, fresh=fresh)
    if ended.code:
        yield f"{' '.join(words)} ended with {ended.code}: {ended.errors.strip()[-400:]}"
        return
    yield from (f"another {what}" for what in differences(expected, outcome(run)))
    yield from broken(run, Path(variables["TASKKIT_CACHE"]))


def _refused(what: str, ended: Ended, codes: tuple[int, ...] = (1, 2)) -> Iterator[str]:
    """What is wrong with how a run ended that could not go on; one that had room after all is none."""
    if ended.code not in {0, *codes} or "Traceback" in ended.errors or (ended.code and not ended.errors.strip()):
        yield f"{what} ended with {ended.code}: {ended.errors.strip()[-400:]}"
    elif ended.code and ended.errors.startswith(("OSError", "RuntimeError", "ArrowException")):
        yield f"{what} is told in words of others: {ended.errors.strip()[-400:]}"


def _called(what: str, words: list[str], folder: Path) -> Iterator[str]:
    ended = taskkit(words, folder, {"TASKKIT_CACHE": str(folder / "cache")})
    if ended.code or "Traceback" in ended.errors:
        yield f"{what}: {words[0]} ended with {ended.code}: {ended.errors.strip()[-400:]}"


def _picture(folder: Path) -> str:
    Image.new("L", (8, 8), 100).save(folder / "picture.png")
    return "picture.png"


def _move(run: Path, folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    return run.rename(folder / "elsewhere" / "other name")


def _link(run: Path, folder: Path) -> Path:
    link = folder / "link"
    link.symlink_to(_move(run, folder))
    return link


def _line(
    what: str, faults: Callable[[Path, Result], Iterator[str]], place: Path, expected: Result, times: int
) -> Line:
    wrong = [f"{what}: {problem}" for problem in faults(place, expected)]
    return Line(what, times, "ended as an undisturbed run", wrong)


def _cache(folder: Path) -> dict[str, str]:
    return {"TASKKIT_CACHE": str(folder / "cache")}


def may_mount(place: Path) -> bool:
    """Whether this process may mount disks of its own."""
    try:
        with tmpfs(place / "mounted", "4k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
