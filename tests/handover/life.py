"""`python -m tests.handover.life RUN…`: hand finished runs over in every way, and write docs/results/handover.md.

Each run is exported to torch and ONNX, asked as it is, as both folders and over HTTP, made smaller, and explained.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from taskkit import Attachment, LoadedRun, load_run
from taskkit.runs.record import cpu

HOME = Path(__file__).parents[2]
PAGE = HOME / "docs" / "results" / "handover.md"
CLOSE = 1e-3
"""How far probabilities of programs, and of runs in bf16, may be from each other."""
TEXT = """# Runs handed over

Each run through [export](../how-to/export.md), [serving](../how-to/serve.md), [compression](../how-to/compress.md) and
[explanation](../how-to/explain.md) ({date}, commit {commit}, {machine},
`python -m tests.handover.life RUN…`). `torch` and `onnx` are programs: the largest difference from the network on test
examples, in shares of the largest magnitude of an output, or of 1, and how many answers are others. `asked` says who
gave the same answer to one test input. `int8` is the headline before and after quantising to eight bits, and whether
the two can be told apart. `explained` is the first method that applies, and whether what it attributes adds up.

{table}
"""


@dataclass
class Life:
    """What came of a run."""

    run: Path
    cells: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        """Keep what does not hold."""
        if not holds:
            self.faults.append(f"{self.run}: {what}")


def live(path: Path, folder: Path) -> Life:
    """Hand one run over in every way; files are written into `folder`."""
    run, life = load_run(path), Life(path)
    words, request = asked(run, folder)
    plain = told(call("predict", str(path), *words, "--json"))[0]
    same = ["run"]
    for form in ("torch", "onnx"):
        ended = call("export", str(path), "-o", str(folder / form), "--to", form)
        record = json.loads((folder / form / "export.json").read_text()) if ended.returncode == 0 else None
        life.cells[form] = _program(record) if record else refusal(ended)
        if record is None:
            life.expect(ended.returncode == 2, f"export --to {form} ended with {ended.returncode}: {ended.stderr}")
            continue
        life.expect(all(each["holds"] for each in record["compared"]), f"{form} answers otherwise")
        answer = told(call("predict", str(folder / form), *words, "--json"))[0]
        life.expect(alike(plain, answer), f"{form} answers {answer}, the run {plain}")
        same.append(form)
    served = over_http(path, request)
    life.expect(alike(plain, served), f"over HTTP it answers {served}, the run {plain}")
    life.cells["asked"] = ", ".join([*same, "HTTP"])
    life.cells["int8"] = _smaller(life, path, folder / "small")
    explained = call("explain", str(path), *words, "--json")
    life.cells["explained"] = _explained(explained) if explained.returncode == 0 else refusal(explained)
    life.expect(explained.returncode in (0, 2), f"explain ended with {explained.returncode}: {explained.stderr}")
    return life


def asked(run: LoadedRun, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Words of the command line that ask about a test input as a person has it, and the same as a request."""
    from taskkit.engine import build
    from taskkit.engine.trainer import quiet

    takers = [name for options in run.predict_options for name in options.__dataclass_fields__]
    with quiet():
        example = build.prepare(build.data_module(run.built.recipe), run.built.recipe).examples("test")[0]  # type: ignore[index]
    if "user" in takers:
        user = str(example.group or example.id)
        return ["--user", user], {"json": {"options": {"user": user}}}
    shown = run.built.spec.input.show(example.input)
    attachment = next(
        (each for each in (shown.values() if isinstance(shown, Mapping) else [shown]) if isinstance(each, Attachment)),
        None,
    )
    if attachment is None:
        return [str(shown)], {"json": {"inputs": [str(shown)]}}
    path = folder / f"input{attachment.suffix}"
    path.write_bytes(attachment.content)
    return [str(path)], {"files": {"file": (path.name, attachment.content)}}


def over_http(run: Path, request: dict[str, Any]) -> Mapping[str, Any]:
    """The first answer of a server of a run."""
    with serving(run) as url:
        answer = httpx.post(f"{url}/predict", timeout=120, **request)
    answer.raise_for_status()
    found: Mapping[str, Any] = answer.json()["predictions"][0]
    return found


@contextmanager
def serving(run: Path) -> Iterator[str]:
    """The address of a server of a run, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taskkit", "serve", "--port", "0", f"model={run}"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith("{") and (url := json.loads(line).get("url")):
                yield url
                break
        else:
            raise AssertionError(f"{run}: the server ended with {process.wait()}")
    finally:
        process.terminate()
        process.communicate()


def alike(one: Any, other: Any) -> bool:
    """Whether two answers say the same; probabilities may be a little apart."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(
            alike(one[name], other[name]) for name in one.keys() & other.keys() if name not in ("input", "flags")
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return abs(one - other) <= CLOSE * max(1.0, abs(one)) * 10
    return bool(one == other)


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "taskkit", *words], capture_output=True, text=True, env=environment())


def environment() -> dict[str, str]:
    return {"OMP_NUM_THREADS": "1", **os.environ}


def told(ended: subprocess.CompletedProcess[str]) -> list[Any]:
    """The objects that a command printed; raises AssertionError where it failed."""
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The first sentence of why a command did nothing."""
    said = (ended.stderr.strip().splitlines() or ["no words"])[-1]
    return f"refused: {said.split('. ')[0]}"


def _program(record: Mapping[str, Any]) -> str:
    apart = max((each["largest"] for each in record["compared"] if each["largest"] is not None), default=0.0)
    rows = max(each["rows"] for each in record["compared"])
    changed = {name for each in record["compared"] for name in each["changed"]}
    return f"{apart:.1g}, {len(changed)} of {rows}"


def _smaller(life: Life, run: Path, out: Path) -> str:
    ended = call("compress", str(run), "--quantise", "int8", "-o", str(out))
    if ended.returncode:
        life.expect(ended.returncode == 2, f"compress ended with {ended.returncode}: {ended.stderr}")
        return refusal(ended)
    metric = "test/" + json.loads((run / "run.json").read_text())["protocol"]["headline"][0]
    before, after = (json.loads((each / "run.json").read_text())["metrics"][metric] for each in (run, out))
    found = json.loads(call("compare", str(run), str(out), "--json").stdout)
    apart = any(each["real"] for each in found["differences"])
    return f"{before:.4f} → {after:.4f}, {'' if apart else 'not '}told apart"


def _explained(ended: subprocess.CompletedProcess[str]) -> str:
    found = told(ended)[0]
    adds_up = "" if found["sum"] is None else ", adds up" if found["sum"]["holds"] else ", does not add up"
    return f"{found['method']}{adds_up}"


def page(lives: Sequence[Life]) -> str:
    """The page."""
    columns = ("torch", "onnx", "asked", "int8", "explained")
    lines = [f"| run | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {_name(each.run)} | {' | '.join(each.cells.get(name, '') for name in columns)} |" for each in lives]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    machine = f"Python {platform.python_version()}, {cpu()}"
    return TEXT.format(date=datetime.now(UTC).date(), commit=commit.strip(), machine=machine, table="\n".join(lines))


def _name(run: Path) -> str:
    recipe = json.loads((run / "run.json").read_text())["resolved"]
    return f"{recipe['model']['name']} on {recipe['data']['name']}"


def main() -> None:
    """Hand over the runs that the command line names."""
    lives = []
    for path in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            lives.append(live(path, Path(folder)))
        print(path, lives[-1].cells, *lives[-1].faults, sep="\n  ", flush=True)
    PAGE.write_text(page(lives))
    if any(each.faults for each in lives):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
