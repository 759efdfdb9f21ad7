"""A page on which a person asks the models by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

from taskkit.contracts.settings import settings, to_plain
from taskkit.serving.models import Models, Served
from taskkit.serving.schema import offered, takes_text

TEMPLATE = Path(__file__).with_name("page.html")


class Page:
    """The page, which asks nothing of any other server, and the policy that browsers hold it to."""

    def __init__(self) -> None:
        self._template = TEMPLATE.read_text("utf-8")
        script, style = (_hashed(self._template, tag) for tag in ("script", "style"))
        self.policy = (
            f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src blob: data:; media-src blob:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def text(self, models: Models, locked: bool) -> str:
        """The page for these models; `locked`: a key is wanted."""
        known = json.dumps({"locked": locked, "models": [_known(each) for each in models]})
        return self._template.replace("@KNOWN@", known.replace("<", "\\u003c"))


def _hashed(template: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    assert found is not None
    return f"sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}"


def _known(served: Served) -> dict[str, object]:
    return {
        "name": served.name,
        "texts": served.taken.texts,
        "pictures": served.taken.pictures,
        "sounds": served.taken.sounds,
        "explains": served.explaining is not None,
        "options": [
            {
                "name": setting.name,
                "doc": setting.doc,
                "text": takes_text(setting.type),
                "default": "" if setting.required or setting.default is None else str(to_plain(setting.default)),
            }
            for taker in served.answerer.predict_options
            for setting in settings(taker)
            if offered(setting)
        ],
    }
