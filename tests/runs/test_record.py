"""What a run's record asks of the machine that it is made on."""

import subprocess
from pathlib import Path

import pytest

from taskkit.runs.record import git_state


def test_the_state_of_a_checkout_runs_no_program_that_the_checkout_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o700)
    who = ["-c", "user.name=one", "-c", "user.email=one@example.org"]
    for words in (
        ["init", "--quiet"],
        ["add", "program.sh"],
        [*who, "commit", "--quiet", "--message", "x"],
        ["config", "core.fsmonitor", str(program)],
    ):
        subprocess.run(["git", *words], check=True)
    state = git_state()
    assert state is not None
    assert state["dirty"] is False
    assert not (tmp_path / "ran").exists()
