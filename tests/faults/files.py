"""Damaged and odd files, by modality: each works, is named and counted, or is refused with exit code 2.

A file of each kind is damaged at random: cut, changed, spliced, mislabelled, or given claims that are not true; odd
kinds of files and names come beside. What is anything else fails: a traceback, a hang, more memory than a bound, and a
file that vanishes from the counts without a word.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.children import WARM, become
from tests.faults.report import Line

SECONDS = 60.0
"""A file may take no longer; a thousand times what a sound one takes."""
MEMORY = 512 * 2**20
"""Bytes that a file of some kilobytes may take beyond what a sound one takes."""
MARK = "odd"
"""Is in the name of each odd file, so that one can see whether it is named."""

Write = Callable[[Path], object]


@dataclass(frozen=True)
class Odd:
    """An odd file: what is odd, what it is called and how it is written."""

    what: str
    name: str
    write: Write


@dataclass(frozen=True)
class Modality:
    """How files of a modality lie beside sound ones, and how many examples there should be."""

    name: str
    recipe: str
    place: Callable[[Path, Odd], int | None]
    """Writes the sound files and the odd one into a folder; returns how many examples there are, if the odd one gives
    all that it seems to hold, or None where nobody can tell."""
    odd: Callable[[random.Random], Iterator[Odd]]
    """Without an end."""
    sound: Odd


@dataclass(frozen=True)
class Came:
    """What came of one file."""

    code: int | None
    """None: it hung."""
    said: str
    examples: int
    peak: int


def damaged(kinds: Mapping[str, bytes], rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    """Files of these kinds, by name, with random damage: what it is, a name and the content; without an end."""
    names = [*kinds]
    while True:
        for how, damage in DAMAGES.items():
            for name in names:
                whole, other = kinds[name], kinds[rng.choice(names)]
                yield f"{name}: {how}", f"{MARK}-{name}", damage(whole, other, rng)


def _cut(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    return whole[: rng.randrange(len(whole))]


def _cut_near_the_end(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    return whole[: -rng.randint(1, max(1, len(whole) // 20))]


def _flipped(count: int) -> Callable[[bytes, bytes, random.Random], bytes]:
    def flip(whole: bytes, other: bytes, rng: random.Random) -> bytes:
        changed = bytearray(whole)
        for _ in range(count):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)

    return flip


def _span(fill: Callable[[int, random.Random], bytes], longest: int) -> Callable[[bytes, bytes, random.Random], bytes]:
    def change(whole: bytes, other: bytes, rng: random.Random) -> bytes:
        start, size = rng.randrange(len(whole)), rng.randint(1, longest)
        return whole[:start] + fill(size, rng) + whole[start + size :]

    return change


def _header(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    size = rng.randint(1, 16)
    return rng.randbytes(size) + whole[size:]


def _claim(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(min(len(whole), 64))
    return whole[:at] + rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")) + whole[at + 4 :]


def _inserted(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(whole))
    return whole[:at] + rng.randbytes(rng.randint(1, 64)) + whole[at:]


DAMAGES: Mapping[str, Callable[[bytes, bytes, random.Random], bytes]] = {
    "cut anywhere": _cut,
    "cut near its end": _cut_near_the_end,
    "one byte changed": _flipped(1),
    "20 bytes changed": _flipped(20),
    "another beginning": _header,
    "a claim in its header": _claim,
    "zeros in it": _span(lambda size, rng: bytes(size), 200),
    "noise in it": _span(lambda size, rng: rng.randbytes(size), 200),
    "noise put between": _inserted,
    "half of another kind": lambda whole, other, rng: whole[: len(whole) // 2] + other[len(other) // 2 :],
    "another kind by its content": lambda whole, other, rng: other,
    "twice": lambda whole, other, rng: whole + whole,
}


def special(suffix: str, whole: bytes) -> Iterator[Odd]:
    """Files that are none, and names that are odd, of a sound content."""

    def content(path: Path) -> None:
        path.write_bytes(whole)

    def linked(path: Path) -> None:
        path.with_name(f"behind{suffix}.kept").write_bytes(whole)
        path.symlink_to(f"behind{suffix}.kept")

    kinds: dict[str, Write] = {
        "nothing in it": lambda path: path.write_bytes(b""),
        "a folder": lambda path: path.mkdir(),
        "a FIFO": lambda path: os.mkfifo(path),
        "a device": lambda path: path.symlink_to("/dev/zero"),
        "a link that leads nowhere": lambda path: path.symlink_to("none"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link": linked,
        "a hole of a gigabyte": _hole,
    }
    for what, write in kinds.items():
        yield Odd(what, f"{MARK}{suffix}", write)
    for what, name in {
        "blanks in its name": f"{MARK} a  b {suffix}",
        "a line break in its name": f"{MARK}\n{suffix}",
        "an escape in its name": f"{MARK}\x1b[2J{suffix}",
        "emoji and Arabic in its name": f"{MARK}😀مرحبا{suffix}",
        "a name of 200 characters": f"{MARK}{'x' * (200 - len(suffix) - len(MARK))}{suffix}",
        "a name that is not UTF-8": f"{MARK}{os.fsdecode(bytes([0xE9]))}{suffix}",
        "a comma and quotes in its name": f"{MARK},'\"{suffix}",
        "a name like an option": f"--{MARK}{suffix}",
    }.items():
        yield Odd(what, name, content)


def _hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def files(modality: Modality, count: int, seed: int, place: Path) -> Iterator[Line]:
    """Judge so many odd files of a modality, and yield the line of what came of them."""
    came, wrong = Counter[str](), list[str]()
    rng = random.Random(f"{seed} {modality.name}")
    usual = _read(modality, modality.sound, place)[1]
    if usual.code != 0:
        raise RuntimeError(f"{modality.name}: a sound file is refused: {usual.said}")
    for _, odd in zip(range(count), modality.odd(rng), strict=False):
        expected, found = _read(modality, odd, place)
        outcome = judged(found, expected, usual.peak)
        came[outcome] += 1
        if outcome not in GOOD:
            wrong.append(f"{modality.name}: {odd.what}: {outcome}: {found.said.strip()[-400:]}")
    yield Line(
        f"files: {modality.name}", count, ", ".join(f"{came[name]} {name}" for name in GOOD if came[name]), wrong
    )


GOOD = ("worked", "named and counted", "refused by name")


def judged(came: Came, expected: int | None, usual: int) -> str:
    """Which of the three it is, or in words what it should not be."""
    if came.code is None:
        return f"hung for {SECONDS:.0f} s"
    if "Traceback" in came.said or came.code not in (0, 2):
        return f"exit code {came.code}"
    if came.peak > usual + MEMORY:
        return f"took {(came.peak - usual) >> 20} MB more than a sound one"
    if came.code == 2:
        return GOOD[2] if MARK in came.said else "refused without its name"
    if expected is None or came.examples == expected:
        return GOOD[0]
    return GOOD[1] if MARK in came.said else f"{came.examples} examples of {expected} without a word"


def _read(modality: Modality, odd: Odd, place: Path) -> tuple[int | None, Came]:
    """Prepare and encode data with an odd file, in a child; return how many examples were due, and what came."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        (Path(folder) / "r.yaml").write_text(modality.recipe)
        expected = modality.place(Path(folder), odd)
        process = WARM.Process(target=_prepare, args=(folder,))
        process.start()
        process.join(SECONDS)
        hung = process.exitcode is None
        if hung:
            process.kill()
            process.join()
        said = "".join(
            Path(folder, name).read_text(errors="replace")
            for name in (".said", ".errors")
            if Path(folder, name).exists()
        )
        result = Path(folder, ".came")
        examples, peak = json.loads(result.read_text()) if result.exists() else (0, 0)
        if process.exitcode == -signal.SIGKILL and not hung:
            said += "killed by the system"
        return expected, Came(None if hung else process.exitcode, said, examples, peak)


def _prepare(folder: str) -> None:
    """What `taskkit run` does with data before it trains, with its words and exit codes."""
    become(folder, {"OMP_NUM_THREADS": "1", "TASKKIT_CACHE": str(Path(folder, "cache"))})
    import logging
    import resource

    from taskkit.engine import build
    from taskkit.engine.describe import flagged_in, sizes_of
    from taskkit.engine.loaders import make_loaders
    from taskkit.errors import TaskkitError
    from taskkit.plugins.discovery import from_environment
    from taskkit.recipe.load import load

    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    examples, code = 0, 0
    try:
        plugins = from_environment()
        recipe = load(["r.yaml"], [], plugins).recipe
        prepared = build.prepare(build.data_module(recipe), recipe, plugins.components)
        built = build.build(recipe, prepared)
        loaders = make_loaders(built, prepared, lambda split: None)
        examples = sum(size or 0 for size in sizes_of(loaders).values())
        print(flagged_in(loaders))
    except TaskkitError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path(".came").write_text(json.dumps([examples, peak]))
    sys.exit(code)


def among(odds: Sequence[Odd], rng: random.Random, others: Iterator[Odd]) -> Iterator[Odd]:
    """The special ones first, in random order, each followed by four of the others; then the others alone."""
    for odd in rng.sample(odds, len(odds)):
        yield odd
        for _ in range(4):
            yield next(others)
    yield from others
