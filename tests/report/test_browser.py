"""A report in a real browser: it asks nothing of any network, nothing fails, nothing stands beyond a narrow screen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from taskkit.plugins.registry import Plugins
from taskkit.report.make import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MakeRun = Callable[..., Path]
NARROW = 360
PAPER = 688
"""The width of a page of A4 between its margins, in pixels of CSS."""
MANY = 16
CONTROL = "http://taskkit.invalid/control"
"""What the page around the reports asks for, to see that asking is seen."""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: chromium)")

FRAMES = """<!doctype html><body>
<iframe id="one" src="one.html" width="{narrow}" height="900"></iframe>
<iframe id="several" src="several.html" width="{narrow}" height="900"></iframe>
<iframe id="many" src="many.html" width="{paper}" height="900"></iframe>
<img src="{control}"><pre id="said"></pre>
<script>
addEventListener("load", () => {{
  const said = {{}};
  const paper = document.getElementById("many").contentDocument;
  paper.querySelectorAll("details").forEach((each) => {{ each.open = true; }});
  for (const rule of [...paper.styleSheets].flatMap((sheet) => [...sheet.cssRules])) {{
    if (rule.media && rule.media.mediaText === "print") rule.media.mediaText = "all";
  }}
  const cells = [...paper.querySelectorAll("th, td")];
  said.paper = {{
    columns: Math.max(...[...paper.querySelectorAll("thead tr")].map((row) => row.cells.length)),
    beyond: cells.filter((cell) => cell.getBoundingClientRect().right > paper.documentElement.clientWidth + 1).length,
    cut: cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent),
  }};
  for (const frame of document.querySelectorAll("iframe:not(#many)")) {{
    const page = frame.contentDocument;
    const sorted = [...page.querySelectorAll("table.sortable")].pop();
    const buttons = sorted.querySelectorAll("thead button");
    buttons[buttons.length - 1].click();
    said[frame.id] = {{
      wider: page.documentElement.scrollWidth - page.documentElement.clientWidth,
      order: [...sorted.tBodies[0].rows].map((row) => row.cells[row.cells.length - 1].textContent),
      sort: [...sorted.tHead.rows[0].cells].map((cell) => cell.getAttribute("aria-sort")),
      unnamed: [...page.querySelectorAll("svg.chart")].filter((svg) => !svg.getAttribute("aria-label")).length,
      ran: page.defaultView.harmed === true,
    }};
  }}
  document.getElementById("said").textContent = JSON.stringify(said);
}});
</script>"""


def chromium(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call a headless Chromium with a profile of its own."""
    ours = [f"--user-data-dir={home / 'profile'}", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    quiet = ["--no-first-run", "--disable-sync", "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [str(CHROMIUM), "--headless=new", *ours, *quiet, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def pages(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of one run and of several, whose names and texts are markup, or long."""
    folder = tmp_path_factory.mktemp("pages")
    evil = '"><script>harmed=true</script><img src="http://taskkit.invalid/x" onerror="harmed=true">'
    for number in range(3):
        run = make_run(folder / "runs" / f"{'long' * 50}{number}", 0.6 + number / 10, draw=number)
        said = json.loads((run / "run.json").read_text())
        said["recipe"]["title"] = said["command"] = said["data"]["name"] = evil
        (run / "run.json").write_text(json.dumps(said))
    (folder / "one.html").write_text(report([str(run)], Plugins(()), data=False))
    (folder / "several.html").write_text(report([str(folder / "runs")], Plugins(()), data=False))
    for number in range(MANY):
        make_run(folder / "many" / f"a_rather_long_name_of_a_run_{number:02}", 0.3 + number / 25, draw=number)
    (folder / "many.html").write_text(report([str(folder / "many")], Plugins(()), data=False))
    (folder / "frames.html").write_text(FRAMES.format(narrow=NARROW, paper=PAPER, control=CONTROL))
    return folder


def test_it_fits_a_telephone_and_paper_sorts_its_tables_and_runs_no_script_but_its_own(pages: Path) -> None:
    address = (pages / "frames.html").as_uri()
    ended = chromium(
        pages, "--allow-file-access-from-files", f"--log-net-log={pages / 'net.json'}", "--dump-dom", address
    )
    found = re.search(r'<pre id="said">(.*?)</pre>', ended.stdout)
    assert found is not None, ended.stderr
    said = json.loads(found[1])
    for page in ("one", "several"):
        assert said[page]["wider"] == 0
        assert said[page]["unnamed"] == 0
        assert said[page]["ran"] is False
        assert said[page]["order"] == sorted(said[page]["order"], reverse=True)
        assert said[page]["sort"][-1] == "descending"
    # What does not fit onto paper cannot be scrolled to.
    assert said["paper"] == {"columns": MANY + 1, "beyond": 0, "cut": []}
    assert [line for line in ended.stderr.splitlines() if "CONSOLE" in line and CONTROL not in line] == []
    asked = re.findall(r'"url":"(https?:.*?)"', (pages / "net.json").read_text())
    # A Chromium asks for news of itself.
    assert {url for url in asked if not re.match(r"https?://[\w.-]*google(apis)?\.com/", url)} == {CONTROL}


def test_it_prints(pages: Path) -> None:
    chromium(pages, f"--print-to-pdf={pages / 'one.pdf'}", (pages / "one.html").as_uri())
    printed = (pages / "one.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
