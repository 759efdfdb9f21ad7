"""`taskkit serve`: what is asked over HTTP is answered as `predict` does, and nothing of the server can be read."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

import taskkit
from taskkit.answering.answerer import Answerer
from taskkit.contracts.facts import Prediction
from taskkit.loaded_run import load_run
from taskkit.serving import app as apps
from taskkit.serving.batcher import Batcher, Job, Waiting
from taskkit.serving.inputs import Asked
from taskkit.serving.keys import Keys, new_key
from taskkit.serving.limits import Limits
from taskkit.serving.measured import Measured
from taskkit.serving.models import Models, Served
from taskkit.serving.refused import Refused
from tests.serving.conftest import Server

Ask = Callable[..., httpx.Response]
SECRET = "xylophone-47"


def test_answers_are_those_of_predict(ask: Ask, place: Path) -> None:
    texts = ["fine lovely 3", "awful sad great", "a nice one"]
    found = ask("words", json={"inputs": texts}).json()
    expected = load_run(place / "words").predict([taskkit.TextLine(text) for text in texts])
    assert [each["input"] for each in found["predictions"]] == texts
    for answer, known in zip(found["predictions"], expected, strict=True):
        assert answer["prediction"] == known["prediction"]
        assert answer["probability"] == pytest.approx(known["probability"], abs=1e-6)
    assert found["model"] == load_run(place / "words").manifest.id


def test_files_are_sent_as_they_are(ask: Ask, place: Path) -> None:
    pictures = [place / "shades" / kind / "3.png" for kind in ("dark", "light")]
    files = [("file", (f"../../{path.parent.name}.png", path.read_bytes())) for path in pictures]
    found = ask("pictures", files=files).json()["predictions"]
    expected = load_run(place / "pictures").predict([str(path) for path in pictures])
    assert [each["prediction"] for each in found] == [each["prediction"] for each in expected]
    assert found[0]["input"] == "../../dark.png"


def test_a_table_and_rows_have_an_answer_for_each_row(ask: Ask) -> None:
    table = ask("words", files={"file": ("t.csv", b"said;n\nfine nice;1\nsad poor;2\n")}, data={"column": "said"})
    rows = ask("words", json={"inputs": [{"said": "fine nice"}, {"said": "sad poor"}], "options": {"column": "said"}})
    kinds = [[each["prediction"] for each in found.json()["predictions"]] for found in (table, rows)]
    assert kinds[0] == kinds[1] == ["good", "bad"]


def test_no_file_of_the_server_is_read(ask: Ask, place: Path) -> None:
    (place / "secret.txt").write_text(f"fine {SECRET}\n")
    secret, picture = str(place / "secret.txt"), str(place / "shades" / "dark" / "3.png")
    assert SECRET not in ask("words", json={"inputs": [f"{secret}", f"fine {secret}"]}).text
    answers = [
        ask("pictures", json={"inputs": [picture]}),
        ask("pictures", json={"inputs": [{"path": picture}]}),
        ask("pictures", files={"file": ("t.csv", f"path\n{picture}\n".encode())}),
        ask("words", json={"inputs": ["fine"], "options": {"column": secret}}),
    ]
    assert [each.status_code for each in answers] == [422] * 4
    for each in answers:
        assert "predictions" not in each.json()


@pytest.mark.parametrize(
    ("status", "words", "what"),
    [
        (400, "no JSON", {"content": b"{", "headers": {"content-type": "application/json"}}),
        (400, "no JSON", {"content": b'{"inputs": [NaN]}', "headers": {"content-type": "application/json"}}),
        (400, "form", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
        (415, "content type", {"content": b"fine", "headers": {"content-type": "text/plain"}}),
        (422, "nothing to answer", {"json": {"inputs": []}}),
        (422, "options.colum", {"json": {"inputs": ["a"], "options": {"colum": "x"}}}),
        (422, "must end", {"files": {"file": ("nothing", b"fine")}}),
        (422, "`file`", {"files": {"picture": ("a.txt", b"fine")}}),
        (413, "more than 50", {"files": {"file": ("t.txt", b"fine\n" * 51)}}),
        (413, "1,048,576 bytes", {"content": b" " * (2**20 + 1), "headers": {"content-type": "application/json"}}),
    ],
)
def test_what_does_not_fit_is_refused(ask: Ask, status: int, words: str, what: dict[str, Any]) -> None:
    found = ask("words", **what)
    assert (found.status_code, words in found.json()["detail"]) == (status, True), found.text


def test_a_body_without_a_length_is_counted(server: Server) -> None:
    def parts() -> Any:
        for _ in range(40):
            yield b" " * 2**15

    found = httpx.post(
        f"{server.url}/models/words/predict", content=parts(), headers={"content-type": "application/json"}
    )
    assert found.status_code == 413


def test_a_bad_file_fails_alone_and_is_named(ask: Ask, place: Path) -> None:
    good = (place / "shades" / "dark" / "3.png").read_bytes()

    def send(content: bytes) -> httpx.Response:
        return ask("pictures", files={"file": ("mine.png", content)})

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(send, [good, b"no picture"] * 8))
    assert [each.status_code for each in found] == [200, 422] * 8
    assert "mine.png" in found[1].json()["detail"]
    assert "/" not in found[1].json()["detail"].replace("PNG/", "")


def test_what_is_known_of_a_model_and_of_the_server(server: Server, place: Path) -> None:
    card = httpx.get(f"{server.url}/models/words").json()
    kept = json.loads((place / "words" / "run.json").read_text())
    assert card["metrics"] == kept["metrics"]
    assert card["intervals"]["test/accuracy"]["low"] == kept["intervals"]["test/accuracy"]["low"]
    assert httpx.get(f"{server.url}/ready").json()["models"] == {"words": {"warm": True}, "pictures": {"warm": True}}
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    schema = httpx.get(f"{server.url}/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    for verb in ("predict", "explain"):
        bodies = schema["paths"][f"/models/words/{verb}"]["post"]["requestBody"]["content"]
        assert bodies["application/json"]["example"] == {"inputs": ["a text"]}
    ids = pq.read_table(place / "words" / "predictions.parquet")["id"].to_pylist()
    assert not [each for each in ids if f'"{each}"' in json.dumps(schema)]
    answer = schema["components"]["schemas"]["WordsPrediction"]["properties"]["prediction"]
    assert sorted(answer["enum"]) == ["bad", "good"]


def test_requests_are_counted_and_logged_without_inputs(server: Server, ask: Ask) -> None:
    number = ask("words", json={"inputs": [f"fine {SECRET}"]}).headers["x-request-id"]
    assert server.line("request", request=number)["inputs"] == 1
    assert SECRET not in json.dumps(server.lines)
    counted = httpx.get(f"{server.url}/metrics").text
    assert 'taskkit_requests_total{model="words",route="/models/words/predict",status="200"}' in counted
    assert 'taskkit_batch_samples_count{model="words"}' in counted


def test_a_model_is_replaced_without_a_lost_request(server: Server, ask: Ask) -> None:
    done = threading.Event()

    def always() -> list[int]:
        statuses = []
        while not done.is_set():
            statuses.append(ask("words", json={"inputs": ["fine"]}).status_code)
        return statuses

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(always) for _ in range(2)]
        reloaded = httpx.post(f"{server.url}/models/words/reload", timeout=60)
        server.process.send_signal(signal.SIGHUP)
        server.line("reloaded", 2, model="words")
        server.line("reloaded", model="pictures")
        done.set()
        statuses = [status for each in asking for status in each.result()]
    assert reloaded.status_code == 200
    assert statuses
    assert set(statuses) == {200}


def test_a_directory_that_is_gone_is_told_and_its_model_answers_on(server: Server, ask: Ask, place: Path) -> None:
    away = (place / "words").rename(place / "away")
    try:
        refused = httpx.post(f"{server.url}/models/words/reload", timeout=60)
    finally:
        away.rename(place / "words")
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith(
        "words was not opened again, and answers as before. words: there is no such"
    )
    assert "there is no such directory" in server.line("not reloaded", model="words")["fault"]
    assert ask("words", json={"inputs": ["fine"]}).status_code == 200


def test_keys_are_asked_for_and_kept_as_hashes(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    made = [sys.executable, "-m", "taskkit", "serve", "--api-key-file", str(file), "--new-key", "laptop"]
    key = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    keys = Keys.read(file)
    assert (keys.owner(key), keys.owner(key[:-1]), keys.owner("")) == ("laptop", None, None)
    with pytest.raises(taskkit.DataError, match="already"):
        new_key(file, "laptop")

    async def statuses() -> list[int]:
        models = Models([_served(load_run(place / "words").answerer, Limits())])
        app = apps.app(models, Limits(), keys, Measured())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            body = {"json": {"inputs": ["fine"]}}
            found = [
                await client.post("/predict", **body),
                await client.post("/predict", headers={"authorization": "Bearer x"}, **body),
                await client.post("/predict", headers={"authorization": f"Bearer {key}"}, **body),
                await client.get("/metrics"),
                await client.get("/health"),
            ]
        models.close()
        return [each.status_code for each in found]

    assert asyncio.run(statuses()) == [401, 401, 200, 401, 200]


class _Slow:
    """Answers once it is let, with nothing."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.batches: list[list[int]] = []

    def answer(self, examples: Sequence[Any], samples: Any, options: Any) -> list[Prediction]:
        assert self.let.wait(60)
        self.batches.append(list(examples))
        if "bad" in examples:
            raise taskkit.DataError("bad")
        return [{"prediction": example} for example in examples]


def _job(example: Any, options: Any = None, length: int = 1) -> Job:
    return Job(example, [{}], options, length, Waiting(1), 0)


def test_inputs_of_many_requests_are_answered_together_when_they_go_well_together() -> None:
    answerer: Any = _Slow()
    batcher = Batcher(answerer, Limits(), lambda _: None)
    first, *jobs = [
        _job(0),
        _job(1, length=10),
        _job(2, length=300),
        _job(3, length=11),
        _job(4, options="other"),
        _job(5, length=12),
    ]
    batcher.submit([first])
    while batcher.waiting:
        pass
    batcher.submit(jobs)
    jobs[-1].request.future.cancel()
    answerer.let.set()
    batcher.close()
    assert answerer.batches == [[0], [2], [3, 1], [4]]
    assert [job.request.future.result()[0]["prediction"] for job in jobs[:4]] == [1, 2, 3, 4]


def test_an_input_that_fails_does_not_fail_those_beside_it() -> None:
    answerer: Any = _Slow()
    answerer.let.set()
    batcher = Batcher(answerer, Limits(batch_ms=100), lambda _: None)
    jobs = [_job("good"), _job("bad"), _job("fine")]
    batcher.submit(jobs)
    batcher.close()
    assert [job.request.future.exception() is None for job in jobs] == [True, False, True]


def test_a_request_has_its_answers_in_order_and_waits_no_longer_once_an_input_failed() -> None:
    answerer: Any = _Slow()
    batcher = Batcher(answerer, Limits(batch_ms=100), lambda _: None)
    whole, failing = Waiting(3), Waiting(3)
    lengths = {"a": 30, "b": 1, "c": 10}
    batcher.submit(
        [Job(example, [{}], None, length, whole, number) for number, (example, length) in enumerate(lengths.items())]
    )
    while batcher.waiting:
        pass
    batcher.submit(
        [Job(example, [{}], None, 1, failing, number) for number, example in enumerate(("fine", "bad", "bad"))]
    )
    answerer.let.set()
    batcher.close()
    assert [each["prediction"] for each in whole.future.result()] == ["a", "b", "c"]
    assert isinstance(failing.future.exception(), taskkit.DataError)
    assert failing.failed == 1


def test_a_full_queue_and_a_slow_answer_are_said(place: Path) -> None:
    answerer = load_run(place / "words").answerer
    let = threading.Event()
    quick = answerer.answer
    served = _served(answerer, Limits(queue=2, timeout=0.2))

    def slow(*words: Any) -> list[Prediction]:
        assert let.wait(60)
        return quick(*words)

    answerer.answer = slow  # type: ignore[method-assign]

    async def statuses() -> list[tuple[int, int | None]]:
        found = await asyncio.gather(*(served.ask(Asked(["fine"])) for _ in range(8)), return_exceptions=True)
        assert all(isinstance(each, Refused) for each in found), found
        return sorted({(each.status, each.again) for each in found if isinstance(each, Refused)})

    try:
        assert asyncio.run(statuses()) == [(429, 1), (504, 1)]
    finally:
        let.set()
        served.close()


def _served(answerer: Answerer, limits: Limits) -> Served:
    return Served("words", answerer, {"id": "words"}, limits, Measured())


def test_a_stopped_server_answers_what_it_was_asked(place: Path) -> None:
    server = Server.start("words", "--batch-ms", "1500", cwd=place)
    with ThreadPoolExecutor(1) as pool:
        url = httpx.URL(server.url)
        body = b'{"inputs": ["fine"]}'
        lines = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        with socket.create_connection((url.host, url.port)) as client:
            client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            # What comes after it in another connection is answered first, so that the server has it.
            httpx.get(f"{server.url}/health")
            ended = pool.submit(server.stop)
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert ended.result() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere"),
        (["words", "words"], "same name"),
        (["words", "--tls-cert", "words.yaml"], "need each other"),
        (["words", "--api-key-file", "nothing"], "--new-key"),
        (["pictures", "--warm-up", "fine"], "--warm-up"),
    ],
)
def test_what_cannot_be_served_is_said(place: Path, words: list[str], said: str) -> None:
    call = [sys.executable, "-m", "taskkit", "serve", "--port", "0", *words]
    found = subprocess.run(call, cwd=place, capture_output=True, text=True, timeout=60)
    assert (found.returncode, said in found.stderr) == (2, True), found.stderr


def test_what_is_asked_wrongly_is_told_how_to_ask(server: Server) -> None:
    for path in ("/predict", "/models/nobody/predict"):
        found = httpx.post(f"{server.url}{path}", json={"inputs": ["fine"]})
        assert found.status_code == 404
        assert "/models/NAME/predict, where NAME is one of words" in found.json()["detail"]
    wrong = httpx.post(f"{server.url}/models/words/predict", json={"inputs": ["fine", 5, {"said": None}]})
    assert wrong.status_code == 422
    assert wrong.json()["detail"] == (
        "inputs.1: texts, or objects that are rows of a table were expected. Files are sent as a form"
    )
