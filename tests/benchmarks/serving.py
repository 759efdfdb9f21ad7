"""How much a server answers beside `predict` itself, how long that takes, and what it does under load and faults.

    python tests/benchmarks/serving.py RUN TEXTS [--seconds 5]

RUN is a run of a model of texts, TEXTS a file of one a line. Clients are threads of one other process, each with one
connection, all on this machine: server and clients share its cores.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from taskkit import TextLine
from taskkit.client import Client, ServerError
from taskkit.loaded_run import load_run


@contextmanager
def served(run: str, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own: its address, and the process."""
    command = [sys.executable, "-m", "taskkit", "serve", f"model={run}", "--port", "0", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = (json.loads(line) for line in process.stderr if line.startswith("{"))
        url = next(line["url"] for line in said if line["event"] == "listening")
        # A pipe that nobody reads would stop the server once it is full.
        threading.Thread(target=lambda: sum(1 for _ in said), daemon=True).start()
        httpx.get(f"{url}/ready", timeout=120).raise_for_status()
        try:
            yield url, process
        finally:
            process.terminate()
            process.wait(60)


def direct(run: str, texts: Sequence[str], seconds: float) -> float:
    """Texts that `predict` answers in a second, all at once."""
    loaded = load_run(run)
    lines = [TextLine(text) for text in texts]
    loaded.predict(lines)
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        number += len(loaded.predict(lines))
    return number / (time.perf_counter() - began)


def load(url: str, texts: Sequence[str], clients: int, each: int, seconds: float) -> dict[str, Any]:
    """Clients that ask about `each` texts a request, one request after the other."""
    address = urlsplit(url)
    until = time.perf_counter() + seconds

    def ask(number: int) -> tuple[list[float], Counter[int]]:
        took, statuses = [], Counter[int]()
        turns = itertools.count(number)
        # httpx would take more of the machine than the server does.
        client = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        while time.perf_counter() < until:
            at = next(turns) * each % (len(texts) - each)
            body = json.dumps({"inputs": texts[at : at + each]})
            began = time.perf_counter()
            client.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = client.getresponse()
            answer.read()
            took.append(1000 * (time.perf_counter() - began))
            statuses[answer.status] += 1
        client.close()
        return took, statuses

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(ask, range(clients)))
    wall = time.perf_counter() - began
    took = sorted(ms for times, _ in found for ms in times)
    statuses = sum((each for _, each in found), Counter[int]())
    cuts = statistics.quantiles(took, n=100)
    return {
        "clients": clients,
        "texts a request": each,
        "texts a second": round(statuses[200] * each / wall, 1),
        "p50 ms": round(cuts[49], 1),
        "p99 ms": round(cuts[98], 1),
        "statuses": dict(statuses),
    }


def slow_clients(url: str, texts: Sequence[str], number: int, seconds: float) -> dict[str, Any]:
    """Others ask while clients send no more than the beginning of a body; None of the latter is answered."""
    address = urlsplit(url)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    sockets = [socket.create_connection((address.hostname, address.port)) for _ in range(number)]
    for each in sockets:
        each.sendall(head)
    found = load(url, texts, 8, 1, seconds)
    for each in sockets:
        each.close()
    return {"slow clients": number, **found}


def working(parent: psutil.Process) -> set[int]:
    """The processes of a server that answer."""
    found = set()
    for each in parent.children():
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(each.cmdline()):
                found.add(each.pid)
    return found


def killed(run: str, texts: Sequence[str]) -> dict[str, Any]:
    """A process of two is killed while `taskkit.client` asks: which questions have no answer."""
    with served(run, "--workers", "2") as (url, process), Client(url) as client:
        parent = psutil.Process(process.pid)
        first = working(parent)
        stop, done, lost = threading.Event(), Counter[str](), []

        def ask() -> None:
            while not stop.is_set():
                try:
                    client.predict(texts[:1])
                    done["answered"] += 1
                except ServerError as error:
                    lost.append(str(error))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        os.kill(min(first), signal.SIGKILL)
        began = time.perf_counter()
        while len(working(parent)) < 2 or working(parent) == first:
            time.sleep(0.05)
        again = time.perf_counter() - began
        time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join()
    return {"answered": done["answered"], "lost": len(lost), "a new process after s": round(again, 2)}


def main() -> None:
    """Measure, and print a line of JSON for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("texts", type=Path)
    parser.add_argument("--seconds", type=float, default=5)
    given = parser.parse_args()
    texts = given.texts.read_text().splitlines()[:1024]
    print(json.dumps({"direct, texts a second": round(direct(given.run, texts, given.seconds), 1)}), flush=True)
    with served(given.run) as (url, _):
        load(url, texts, 8, 1, 1)
        for clients, each in ((1, 1), (8, 1), (64, 1), (1, 256), (2, 256)):
            print(json.dumps(load(url, texts, clients, each, given.seconds)), flush=True)
        print(json.dumps(slow_clients(url, texts, 200, given.seconds)), flush=True)
    with served(given.run, "--queue", "256", "--timeout", "5") as (url, _):
        print(json.dumps({"queue": 256, **load(url, texts, 64, 64, given.seconds)}), flush=True)
    print(json.dumps(killed(given.run, texts)), flush=True)


if __name__ == "__main__":
    main()
