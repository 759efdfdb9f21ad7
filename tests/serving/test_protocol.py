"""The Open Inference Protocol: another client asks as it asks Triton or KServe."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server


def _infer(server: Server, model: str, kind: str | None, data: list[str], **more: Any) -> httpx.Response:
    parameters = {} if kind is None else {"parameters": {"content_type": kind}}
    tensor = {"name": "inputs", "shape": [len(data)], "datatype": "BYTES", "data": data, **parameters}
    return httpx.post(f"{server.url}/v2/models/{model}/infer", json={"id": "7", "inputs": [tensor], **more})


def test_texts_rows_and_files_are_elements(server: Server, place: Path) -> None:
    found = _infer(server, "words", None, ["fine nice", "sad poor"]).json()
    assert (found["model_name"], found["id"]) == ("words", "7")
    assert found["outputs"][0] == {
        "name": "prediction",
        "shape": [2],
        "datatype": "BYTES",
        "data": ["good", "bad"],
    }
    assert json.loads(found["outputs"][1]["data"][0])["probability"] > 0.5
    row = _infer(server, "words", "application/json", ['{"said": "sad poor"}'], parameters={"column": "said"}).json()
    assert row["outputs"][0]["data"] == ["bad"]
    picture = base64.b64encode((place / "shades" / "dark" / "1.png").read_bytes()).decode()
    shade = _infer(server, "pictures", "image/png", [picture]).json()
    assert shade["outputs"][0]["data"][0] in ("dark", "light")


@pytest.mark.parametrize(
    ("kind", "data", "more", "status"),
    [
        (None, ["a"], {"inputs": []}, 400),
        ("image/png", ["no base64!"], {}, 400),
        ("application/json", ["[1]"], {}, 400),
        ("what/ever", ["a"], {}, 400),
        (None, ["fine"], {"parameters": {"colum": "x"}}, 422),
    ],
)
def test_what_does_not_fit_is_an_error(
    server: Server, kind: str | None, data: list[str], more: dict[str, Any], status: int
) -> None:
    found = _infer(server, "words", kind, data, **more)
    assert (found.status_code, list(found.json())) == (status, ["error"])


def test_the_server_and_its_models_are_described(server: Server) -> None:
    get = lambda path: httpx.get(f"{server.url}/v2{path}").json()  # noqa: E731 - four times below
    assert get("")["name"] == "taskkit"
    assert (get("/health/live"), get("/health/ready")) == ({"live": True}, {"ready": True})
    assert get("/models/words")["inputs"][0]["datatype"] == "BYTES"
    assert get("/models/words/ready")["ready"]
