"""What a person sees while a run goes on, on terminals of every width, and while they are resized."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskkit.engine.progress import Length, LiveProgress, Progress, StatusLine

DRAIN = {"step": 50, "epoch": 1, "train/loss": 2.2328, "lr": 3.75e-4, "units_per_second": 969.0, "seconds": 10.0}


def line_at_step_50() -> StatusLine:
    from rich.console import Console

    live = LiveProgress(Console(), lambda text: None, "accuracy", "images")
    live.length = Length(1350, 50)
    live.advance(50, 1)
    live.drained(DRAIN)
    live.line.score = "val/accuracy 0.9920"
    return live.line


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_the_line_fits_and_keeps_what_tells_most(width: int) -> None:
    text = line_at_step_50().text(width)
    assert len(text) < width
    assert "50/1350" in text
    assert ("4:20 left" in text) == (width >= 40)
    assert ("epoch 2/50" in text) == (width >= 40)
    assert ("val/accuracy 0.9920" in text) == (width >= 80)
    assert ("so far" in text) == (width >= 120)
    assert ("━" in text) == (width >= 120)


def test_a_line_elsewhere_says_of_how_many_epochs() -> None:
    said: list[str] = []
    progress = Progress(said.append, "accuracy", "images")
    progress.begin(0, Length(1350, 50))
    progress.drained(DRAIN)
    progress.begin(0, Length(1350))
    progress.drained(DRAIN)
    assert said == [
        "step   50/1350  epoch 2/50  loss 2.2328  lr 3.75e-04  969 images/s  4:20 left",
        "step   50/1350  epoch 2  loss 2.2328  lr 3.75e-04  969 images/s  4:20 left",
    ]


SCRIPT = """
import sys
from rich.console import Console
from taskkit.engine.progress import Length, LiveProgress

console = Console()
live = LiveProgress(console, lambda text: console.print(text), "accuracy", "images")
live.begin(0, Length(9, 3))
print("begun", file=sys.stderr)
for step, word in enumerate(sys.stdin, 1):
    live.drained({"step": step, "epoch": 0, "train/loss": 1.5, "lr": 0.1, "units_per_second": 969.0, "seconds": 1.0})
    live.advance(step, 0)
    if word == "validate\\n":
        live.evaluated(step, 0, {"val/accuracy": 0.5})
    if word == "end\\n":
        break
live.end()
console.print("over")
sys.stdin.read()
"""


class Terminal:
    """A real one, of tmux, in which the script waits for words on its standard input."""

    def __init__(self, folder: Path) -> None:
        self.words = folder / "words"
        self.words.touch()
        (folder / "script.py").write_text(SCRIPT)
        self.tmux = ["tmux", "-S", str(folder / "socket")]
        follow = f"tail -n +1 -f {self.words} | {sys.executable} {folder / 'script.py'}"
        start = [*self.tmux, "-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "20", follow]
        # readline, which pytest loads, sets COLUMNS behind Python's back for all processes below it.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        subprocess.run(start, env=environment, check=True)

    def say(self, word: str) -> None:
        with self.words.open("a") as words:
            words.write(f"{word}\n")

    def resize(self, width: int) -> None:
        subprocess.run([*self.tmux, "resize-window", "-x", str(width)], check=True)

    def shows(self, *wanted: str) -> None:
        """Wait until the screen is these lines, `…` standing for whatever follows."""
        until = time.monotonic() + 60
        while not self._like(seen := self._screen(), wanted):
            assert time.monotonic() < until, "\n".join(seen)

    def _screen(self) -> list[str]:
        shown = subprocess.run([*self.tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout
        return [line for line in shown.splitlines() if line and line != "begun"]

    def _like(self, seen: list[str], wanted: tuple[str, ...]) -> bool:
        return len(seen) == len(wanted) and all(
            line.startswith(start.removesuffix("…")) if start.endswith("…") else line == start
            for line, start in zip(seen, wanted, strict=True)
        )


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux, a real terminal")
    made = Terminal(tmp_path)
    yield made
    subprocess.run([*made.tmux, "kill-server"], check=True)


def test_a_terminal_that_is_resized_keeps_one_line(terminal: Terminal) -> None:
    wide = f"{'━' * 4}{'╌' * 36}  epoch 1/3  step 1/9  loss 1.5000  969 images/s  0:…"
    terminal.say("go")
    terminal.shows(wide)
    terminal.resize(60)
    terminal.shows("epoch 1/3  step 1/9  loss 1.5000  969 images/s  0:08 left")
    terminal.resize(40)
    terminal.shows("epoch 1/3  step 1/9  0:08 left")
    terminal.resize(200)
    terminal.shows(wide)
    terminal.say("validate")
    validated = "step 2/9  epoch 1/3  val/accuracy 0.5000"
    terminal.shows(
        validated, "━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  epoch 1/3  step 2/9  loss 1.5000  val/accuracy 0.5000…"
    )
    terminal.say("end")
    terminal.shows(validated, "over")
