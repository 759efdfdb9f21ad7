"""Several processes behind TLS: one that is killed is started again, and each question has an answer."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from uvicorn.supervisors.multiprocess import SIGNALS

from taskkit.client import Client
from taskkit.serving.server import HEALTHY, Processes
from tests.serving.conftest import Server


def _certificate(folder: Path) -> tuple[str, str]:
    """A certificate of this machine, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = made.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(private)
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_no_question_is_lost_when_a_process_is_killed(place: Path, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    server = Server.start("words", "--workers", "2", "--tls-cert", certificate, "--tls-key", key, cwd=place)
    server.line("Application startup complete.", 2)
    parent = psutil.Process(server.process.pid)
    first = _workers(parent)
    assert len(first) == 2
    stop = threading.Event()
    answers: list[str] = []
    try:
        with Client(server.url, verify=ssl.create_default_context(cafile=certificate), retries=8) as client:

            def ask() -> None:
                while not stop.is_set():
                    answers.append(client.predict(["fine nice"]).predictions[0].prediction)

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                _wait(lambda: len(answers) >= 20)
                os.kill(first.pop(), 9)
                # Of the process that takes its place.
                server.line("Application startup complete.", 3)
                before = len(answers)
                _wait(lambda: len(answers) >= before + 20)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            found = httpx.get(f"{server.url}/metrics", verify=ssl.create_default_context(cafile=certificate)).text
    finally:
        server.stop()
    assert set(answers) == {"good"}
    assert len(_counted(found)) == 1


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers nothing."""


def test_of_a_process_that_dies_while_it_is_asked_the_end_is_heard_at_once(signals: None) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        processes = Processes(uvicorn.Config(nothing, lifespan="off", log_config=None, workers=1), [bound])
        processes.init_processes()
        (process,) = processes.processes
        try:
            processes.keep_subprocess_alive()
            assert processes.processes == [process]
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            began = time.monotonic()
            assert not process.ping(HEALTHY)
            assert time.monotonic() - began < HEALTHY / 2
            processes.keep_subprocess_alive()
            assert [each.pid for each in processes.processes] != [process.pid]
        finally:
            processes.terminate_all()
            processes.join_all()


@pytest.fixture
def signals() -> Iterator[None]:
    """Signals of this process are its own again after the test."""
    found = {name: signal.getsignal(name) for name in SIGNALS}
    yield
    for name, handler in found.items():
        signal.signal(name, handler)


def _wait(there: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what threads do; fails where it does not come, as when all of them ended."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


def _workers(parent: psutil.Process) -> list[int]:
    return [child.pid for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]


def _counted(metrics: str) -> list[str]:
    """The lines that count answered requests: one, of all processes."""
    return [line for line in metrics.splitlines() if line.startswith("taskkit_requests_total") and "200" in line]
