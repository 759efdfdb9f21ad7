"""The page in a real Chromium: it asks and shows, asks no other server, and nothing stands beyond a narrow screen."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.serving.conftest import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NARROW = 360
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: chromium)")


class Tab:
    """A tab of a headless Chromium, driven by its own protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=60))
            if said.get("id") == self._number:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def run(self, script: str) -> Any:
        """The value of an expression, once it is there."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition: str) -> Any:
        """Wait until an expression is true."""
        wait = f"""new Promise((done) => {{
          const look = () => {{ const found = {condition}; if (found) done(found); else setTimeout(look, 20); }};
          look();
        }})"""
        return self.run(wait)

    def go(self, url: str) -> None:
        """Open a page."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def give(self, path: Path) -> None:
        """Choose a file."""
        found = self.call("Runtime.evaluate", expression="document.getElementById('file')")
        self.call("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])

    def look(self, path: Path) -> None:
        """Take a picture of the whole page."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    ours = [f"--user-data-dir={tmp_path / 'profile'}", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    quiet = ["--no-first-run", "--disable-background-networking"]
    alone = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    sound = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    command = [str(CHROMIUM), "--headless=new", *ours, *quiet, *alone, *sound, "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = next(filter(None, (re.search(r"ws://([\w.:]+)/", line) for line in process.stderr)))
            pages = httpx.get(f"http://{found[1]}/json").json()
            address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            with connect(address, max_size=None) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
                    tab.call(f"{domain}.enable")
                yield tab
        finally:
            process.kill()
            process.communicate()


ASK = "document.getElementById('ask').click()"
ANSWERS = "[...document.querySelectorAll('article p')].map((each) => each.textContent)"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_texts_and_pictures_are_asked_about_and_explained(
    tab: Tab, server: Server, place: Path, tmp_path: Path
) -> None:
    tab.go(f"{server.url}/")
    tab.run("document.getElementById('text').value = 'fine nice <b>3</b>\\n{\"text\": \"sad poor\"}'")
    tab.run(ASK)
    tab.until("document.querySelectorAll('article').length === 2")
    assert tab.run(ANSWERS) == ["good", "bad"]
    assert tab.run("document.querySelector('article h2').textContent") == "fine nice <b>3</b>"
    assert tab.run("document.querySelectorAll('article .bar').length") == 4

    tab.run("document.getElementById('why').click()")
    tab.until("document.querySelectorAll('article .words').length === 2 && !document.getElementById('why').disabled")
    colours = tab.run(
        "[...document.querySelectorAll('.words span')].map((each) => [each.textContent, each.style.background])"
    )
    assert [word for word, _ in colours if word in ("fine", "nice", "sad", "poor")] == ["fine", "nice", "sad", "poor"]
    assert len({colour for _, colour in colours}) > 2
    tab.look(tmp_path / "why.png")

    tab.run("document.getElementById('option-column').value = 'nothing'")
    tab.run("document.getElementById('text').value = '{\"a\": \"b\"}'")
    tab.run(ASK)
    assert "nothing" in tab.until("document.getElementById('wrong').textContent")

    tab.run("const m = document.getElementById('model'); m.value = 'pictures'; m.dispatchEvent(new Event('change'))")
    tab.give(place / "shades" / "light" / "1.png")
    tab.until("document.querySelector('#seen img').naturalWidth === 8")
    tab.run(ASK)
    tab.until("document.querySelectorAll('article').length === 1")
    assert tab.run(ANSWERS)[0] in ("dark", "light")
    tab.run("document.getElementById('why').click()")
    tab.until("document.querySelector('article canvas') && !document.getElementById('why').disabled")
    assert tab.run("[document.querySelector('canvas').width, document.querySelector('canvas').height]") == [8, 8]
    drawn = "new Set(document.querySelector('canvas').getContext('2d').getImageData(0, 0, 8, 8).data).size"
    assert tab.run(drawn) > 4

    for width in (NARROW, 1000):
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        assert tab.run(WIDER) == 0
    # The policy refused nothing, and the one error is that of what was asked with a wrong column.
    logged = [each["params"]["entry"] for each in tab.events if each["method"] == "Log.entryAdded"]
    assert [each["text"] for each in logged if "422" not in each["text"]] == []
    asked = {each["params"]["request"]["url"] for each in tab.events if each["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith((server.url, "blob:", "data:"))} == set()


def test_a_sound_is_recorded_as_a_wav(tab: Tab, server: Server) -> None:
    """No model here takes sounds, so that the button is shown by hand; the microphone is Chromium's own, of beeps."""
    tab.go(f"{server.url}/")
    tab.run("document.getElementById('record').hidden = false; document.getElementById('record').click()")
    tab.until("recorder && recorder.state === 'recording'")
    tab.run("new Promise((done) => setTimeout(done, 600))")
    tab.run("document.getElementById('record').click()")
    name, head, size, loud = tab.until("files.length") and tab.run(
        """files[0].arrayBuffer().then((found) => [files[0].name, new TextDecoder().decode(found.slice(0, 4)),
        found.byteLength, Math.max(...new Int16Array(found.slice(44)))])"""
    )
    assert (name, head) == ("recording.wav", "RIFF")
    assert size > 44 + 2 * 16_000 * 0.3
    assert loud > 1000


def test_no_script_but_its_own_may_run(server: Server) -> None:
    found = httpx.get(server.url)
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=\"(?!data:)", found.text)
