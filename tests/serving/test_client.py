"""`taskkit.client` asks a server that is there, waits when it is told to, and knows the whole schema."""

from __future__ import annotations

import http.server
import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from taskkit import client as module
from taskkit.client import Answer, Client, Prediction, ServerError
from tests.serving.conftest import Server


def test_texts_rows_and_files_are_asked_about(server: Server, place: Path) -> None:
    with Client(server.url, model="words") as client:
        assert client.ready()
        assert client.models() == ("words", "pictures")
        found = client.predict(["fine nice", {"text": "sad poor"}])
        assert [each.prediction for each in found.predictions] == ["good", "bad"]
        assert found.predictions[0].more["probability"] > 0.5
        assert client.card()["name"] == "words"
        with pytest.raises(ServerError, match="colum") as caught:
            client.predict(["fine"], colum="x")
        assert caught.value.status == 422
    with Client(server.url, model="pictures") as client:
        shades = [place / "shades" / kind / "1.png" for kind in ("dark", "light")]
        assert [each.input for each in client.predict_files(shades).predictions] == ["1.png", "1.png"]


def test_the_client_knows_the_schema(server: Server) -> None:
    schema = httpx.get(f"{server.url}/openapi.json").json()
    types = schema["components"]["schemas"]
    assert set(types["WordsResponse"]["required"]) == {each.name for each in fields(Answer)}
    own = set(types["WordsPrediction"]["properties"])
    assert own == {each.name for each in fields(Prediction)} - {"more"}
    body = schema["paths"]["/models/words/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert set(body["application/json"]["schema"]["properties"]) == {"inputs", "options"}
    sent = inspect.getsource(Client)
    for path, ways in schema["paths"].items():
        if path.startswith("/v2"):
            continue
        ending = path.replace("/models/words", "").replace("/models/pictures", "")
        assert ending == "" or ending in sent or path in ("/health", "/metrics"), (path, ways)


class _Busy(http.server.BaseHTTPRequestHandler):
    """Loses a connection, is too busy once, then answers."""

    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        if self.asked == 1:
            self.close_connection = True
            return
        self.send_response(429 if self.asked == 2 else 200)
        self.send_header("Retry-After", "0")
        body = b'{"predictions": [{"input": "a", "prediction": 1, "flags": ["cut"]}], "warnings": [], "model": "m"}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[str]:
    _Busy.asked = 0
    with http.server.HTTPServer(("127.0.0.1", 0), _Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_question_is_asked_again_where_that_may_help(busy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    with Client(busy) as client:
        assert client.predict(["a"]) == Answer((Prediction("a", 1, ("cut",), {}),), (), "m")
    assert len(pauses) == 2
    _Busy.asked = 0
    with Client(busy, retries=1) as client, pytest.raises(ServerError) as caught:
        client.predict(["a"])
    assert caught.value.status == 429


def test_no_server_is_said(busy: str) -> None:
    with Client("http://127.0.0.1:9", retries=0) as client:
        assert not client.ready()
        with pytest.raises(ServerError, match="Is it served"):
            client.predict(["a"])


def test_it_imports_nothing_that_is_heavy() -> None:
    script = (
        "import sys, taskkit.client; print([m for m in ('torch', 'numpy', 'fastapi', 'pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
