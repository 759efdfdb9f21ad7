"""Exported folders are served as the runs are from which they were made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.serving.conftest import Server

pytest.importorskip("onnxruntime")


def taskkit(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call taskkit beside the runs."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TASKKIT_CACHE": str(place / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "taskkit", *words], cwd=place, env=environment, capture_output=True, text=True
    )


def test_a_program_in_onnx_is_served_without_torch_and_told_of_as_its_run(place: Path, server: Server) -> None:
    exported = taskkit(place, "export", "pictures", "--to", "onnx", "-o", "pictures-onnx")
    assert exported.returncode == 0, exported.stderr
    alone = Server.start("pictures-onnx", cwd=place)
    try:
        for kind in ("dark", "light"):
            file = place / "shades" / kind / "3.png"
            answers = [
                httpx.post(f"{url}/predict", files={"file": (file.name, file.read_bytes())}, timeout=60).json()
                for url in (alone.url, f"{server.url}/models/pictures")
            ]
            assert answers[0]["model"] == answers[1]["model"]
            one, other = (answer["predictions"][0] for answer in answers)
            assert one["prediction"] == other["prediction"] == kind
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)
        told, known = (httpx.get(f"{url}/model{s}").json() for url, s in ((alone.url, ""), (server.url, "s/pictures")))
        assert {**told, "name": ""} == {**known, "name": ""}
        assert "libtorch" not in Path(f"/proc/{alone.process.pid}/maps").read_text()
        refused = httpx.post(f"{alone.url}/explain", files={"file": (file.name, file.read_bytes())}, timeout=60)
        assert refused.status_code == 422
        assert "an exported folder, and its answers cannot be explained" in refused.json()["detail"]
        schema = httpx.get(f"{alone.url}/openapi.json").json()
        assert '"light"' in json.dumps(schema["components"]["schemas"])
    finally:
        alone.stop()


def test_a_folder_that_was_changed_is_refused(place: Path) -> None:
    exported = taskkit(place, "export", "words", "--to", "torch", "-o", "words-torch")
    assert exported.returncode == 0, exported.stderr
    with (place / "words-torch" / "program.pt2").open("ab") as file:
        file.write(b"!")
    refused = taskkit(place, "serve", "words-torch", "--port", "0")
    assert refused.returncode == 2
    assert "program.pt2" in refused.stderr
    assert "Traceback" not in refused.stderr
