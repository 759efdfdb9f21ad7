"""Two runs that are trained once, and a server of both in a process of its own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from torchvision.io import write_png

WORDS = """
title: Words
seed: 1
task: {name: text.classification}
model: {name: text.bag, ngrams: 1}
data: {name: text.table, file: texts.csv}
loader: {batch_size: 32}
optim: {name: adamw, lr: 0.1}
trainer: {max_epochs: 2, accelerator: cpu}
"""
PICTURES = """
title: Pictures
seed: 1
task: {name: image.classification}
model: {name: image.mlp, widths: [8], image_size: 8}
data: {name: image.folder, root: shades}
loader: {batch_size: 16}
trainer: {max_epochs: 1, accelerator: cpu}
"""


@dataclass
class Server:
    """A process of `taskkit serve`, and the lines that it logs."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    listening: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)

    @classmethod
    def start(cls, *words: str, cwd: Path, **variables: str) -> Server:
        """Call the verb, and return when the server is ready."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TASKKIT_CACHE": str(cwd / "cache"), **variables}
        command = [sys.executable, "-m", "taskkit", "serve", "--port", "0", *words]
        made = cls(
            subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        )
        made.reader.start()
        assert made.listening.wait(120), made.lines
        made.line("Application startup complete.")
        return made

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(json.loads(line) if line.startswith("{") else {"event": line})
                self.changed.notify_all()
            if self.lines[-1]["event"] == "listening":
                self.url = self.lines[-1]["url"]
                self.listening.set()
        self.listening.set()

    def line(self, event: str, number: int = 1, **wanted: Any) -> dict[str, Any]:
        """The line of an event, the first one or a later one, once it is there."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.lines if {"event": event, **wanted}.items() <= each.items()]

        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= number, 60), (event, self.lines)
            return found()[number - 1]

    def stop(self) -> int:
        """Ask it to stop, and return how it ended."""
        self.process.terminate()
        self.reader.join(60)
        with self.process:
            return self.process.wait(60)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the runs `words` and `pictures`."""
    place = tmp_path_factory.mktemp("serving")
    chance = random.Random(1)
    kinds = {"good": ["fine", "lovely", "great", "nice"], "bad": ["awful", "poor", "sad", "ugly"]}
    rows = [(" ".join(chance.choices(kinds[kind], k=5)) + f" {n}", kind) for n in range(60) for kind in kinds]
    (place / "texts.csv").write_text("text,label\n" + "\n".join(map(",".join, rows)))
    for kind, shade in (("dark", 20), ("light", 220)):
        (place / "shades" / kind).mkdir(parents=True)
        for number in range(20):
            noise = torch.randint(0, 30, (3, 8, 8), generator=torch.Generator().manual_seed(number))
            write_png((noise + shade).to(torch.uint8), str(place / "shades" / kind / f"{number}.png"))
    for name, recipe in (("words", WORDS), ("pictures", PICTURES)):
        (place / f"{name}.yaml").write_text(recipe)
        run = [sys.executable, "-m", "taskkit", "run", f"{name}.yaml", "--out", name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TASKKIT_CACHE": str(place / "cache")}
        subprocess.run(run, cwd=place, env=environment, check=True, capture_output=True)
    return place


@pytest.fixture(scope="session")
def server(place: Path) -> Iterator[Server]:
    """A server of both runs, which takes one MiB and 50 inputs."""
    server = Server.start("words", "pictures", "--max-body", "1", "--max-inputs", "50", cwd=place)
    yield server
    server.stop()


@pytest.fixture
def ask(server: Server) -> Callable[..., httpx.Response]:
    """Ask a model of the server; other arguments are those of httpx."""

    def call(model: str, **what: Any) -> httpx.Response:
        return httpx.post(f"{server.url}/models/{model}/predict", timeout=60, **what)

    return call
