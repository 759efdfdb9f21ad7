"""A plugin that writes down when a run takes its steps: seconds of the CPU, of the process and those that ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit import hookimpl

if TYPE_CHECKING:
    from pytorch_lightning import Callback

taskkit_api = ">=0.2,<0.3"


@hookimpl
def taskkit_callbacks(recipe: Any) -> Iterable[Callback]:
    """What writes `marks.json` where the run was called: the seconds before the first step, and after each."""
    from pytorch_lightning import Callback

    class Marks(Callback):
        """Seconds of the CPU at each moment."""

        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_train_batch_start(self, *_: Any) -> None:
            if not self.seconds:
                self.seconds.append(_spent())

        def on_train_batch_end(self, *_: Any) -> None:
            self.seconds.append(_spent())

        def on_train_end(self, *_: Any) -> None:
            Path("marks.json").write_text(json.dumps(self.seconds))

    return [Marks()]


def _spent() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
