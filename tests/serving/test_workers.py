"""Several processes behind TLS: one that is killed is started again, and each question has an answer."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from taskkit.client import Client
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
            _wait(lambda: len(answers) >= 20)
            os.kill(first.pop(), 9)
            # Of the process that takes its place.
            server.line("Application startup complete.", 3)
            before = len(answers)
            _wait(lambda: len(answers) >= before + 20)
            stop.set()
            for thread in threads:
                thread.join()
            found = httpx.get(f"{server.url}/metrics", verify=ssl.create_default_context(cafile=certificate)).text
    finally:
        stop.set()
        server.stop()
    assert set(answers) == {"good"}
    assert len(_counted(found)) == 1


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
