"""What answers rest on, asked over HTTP."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from taskkit.client import Client, ServerError
from taskkit.explanation.methods import METHODS
from taskkit.explanation.value import MethodName
from taskkit.plugins.discovery import from_environment
from taskkit.serving.explaining import Explained, Explaining, Why
from taskkit.serving.inputs import Asked
from taskkit.serving.limits import Limits
from taskkit.serving.refused import Refused
from tests.serving.conftest import Server

pytest.importorskip("captum")


def test_the_methods_of_a_request_are_all_that_attribute() -> None:
    assert get_args(MethodName) == tuple(METHODS)


def test_texts_and_pictures_are_explained_as_taskkit_explain_does(server: Server, place: Path) -> None:
    with Client(server.url, model="words") as client:
        first, second = client.explain(["a fine day", "awful, just awful"], method="occlusion")
    assert (first["input"], first["answer"], first["method"]) == ("a fine day", "good", "occlusion")
    (part,) = first["parts"]
    assert part["names"], part
    by_word = dict(zip(map(str.strip, part["names"]), part["values"], strict=True))
    assert max(by_word, key=by_word.__getitem__) == "fine"
    assert second["answer"] == "bad"
    with Client(server.url, model="pictures") as client:
        (found,) = client.explain_files([place / "shades" / "dark" / "1.png"], target="light")
    assert (found["input"], found["answer"]) == ("1.png", "light")
    assert found["sum"]["holds"]
    (part,) = found["parts"]
    assert (part["kind"], len(part["values"]), len(part["values"][0])) == ("picture", 8, 8)


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        ("words", {"inputs": ["a"], "method": "neighbours"}, "method: Input should be"),
        ("words", {"inputs": ["a"], "method": "grad-cam"}, "grad-cam says nothing of it"),
        ("words", {"inputs": ["unheard"], "method": "occlusion"}, "is given nothing"),
        ("words", {"inputs": ["a"], "target": "ugly"}, "ugly"),
        ("words", {"inputs": ["a"], "why": 1}, "why: Extra inputs are not permitted"),
        ("words", {"inputs": ["a"] * 9}, "more than 8 inputs"),
        ("pictures", {"inputs": ["a.png"]}, "inputs.0: objects that are rows of a table were expected"),
    ],
)
def test_what_cannot_be_explained_is_said(server: Server, model: str, asked: dict[str, Any], said: str) -> None:
    found = httpx.post(f"{server.url}/models/{model}/explain", json=asked, timeout=60)
    assert found.status_code in (413, 422)
    assert said in found.json()["detail"]
    assert "/tmp" not in found.text


def test_what_a_person_should_know_of_an_input_is_in_the_answer_and_in_no_log(server: Server) -> None:
    lines = {"file": ("t.txt", b"fine day\n\nawful\n")}
    explained, predicted = (
        httpx.post(f"{server.url}/models/words/{verb}", files=lines, timeout=60) for verb in ("explain", "predict")
    )
    assert explained.status_code == 200, explained.text
    (warning,) = explained.json()["warnings"]
    assert warning == "1.txt: 1 of 3 lines are blank and left out, the first is line 2"
    assert explained.json()["warnings"] == predicted.json()["warnings"]
    assert not any("fine day" in str(line) or "are blank" in str(line) for line in server.lines)


def test_a_client_is_told_what_the_server_says(server: Server) -> None:
    with Client(server.url, model="words") as client, pytest.raises(ServerError, match="grad-cam says nothing") as told:
        client.explain(["a"], method="grad-cam")
    assert told.value.status == 422


def test_too_many_and_too_slow_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explaining = Explaining(place / "words", from_environment(), Limits(explained=1, timeout=0.2))
    goes_on = threading.Event()
    monkeypatch.setattr(Explaining, "_explained", lambda *_: goes_on.wait(60) and Explained([], []))

    async def ask() -> list[int]:
        found = await asyncio.gather(
            *(explaining.ask(Why(Asked(["a"])), texts=True) for _ in range(2)), return_exceptions=True
        )
        return [each.status for each in found if isinstance(each, Refused)]

    assert asyncio.run(ask()) == [504, 429]
    goes_on.set()
    explaining.close()
    with pytest.raises(Refused, match="being replaced or stopped"):
        asyncio.run(explaining.ask(Why(Asked(["a"])), texts=True))
