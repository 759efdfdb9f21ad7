"""Requests that a generator makes of our own schema: none fails the server, and each answer is as the schema says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from tests.serving.conftest import Server


def test_no_request_of_the_schema_or_beside_it_fails_the_server(server: Server, tmp_path: Path) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    own = ["--checks", checks, "--max-examples", "20", "--phases", "examples,coverage,fuzzing", "--seed", "1"]
    # Reloading takes long, and other tests need the models as they are.
    left = ["--exclude-path-regex", "reload", "--no-color", "--generation-database", "none"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", *own, *left]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stdout + found.stderr
    assert httpx.get(f"{server.url}/ready").status_code == 200
