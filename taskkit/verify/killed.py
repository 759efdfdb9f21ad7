"""`python -m taskkit.verify.killed N VERB …`: taskkit, which kills itself by SIGKILL after N optimiser steps.

It dies inside the step, before anything of it is saved or logged, at the same place each time: a parent that watched
would come too late where steps take a millisecond.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook


def kill_after(steps: int) -> None:
    """Let this process kill itself once optimisers took so many steps."""
    taken = 0

    def count(optimiser: Any, args: Any, kwargs: Any) -> None:
        nonlocal taken
        taken += 1
        if taken == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_post_hook(count)


if __name__ == "__main__":
    kill_after(int(sys.argv.pop(1)))
    runpy.run_module("taskkit", run_name="__main__", alter_sys=True)
