"""Why an utterance cannot be learnt from, and what becomes of it."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from taskkit import DataError
from taskkit_speech.alphabet import frames_needed
from taskkit_speech.audio import Clip, impossible_rate, impossible_samples, too_long
from taskkit_speech.probe import AudioStats

log = logging.getLogger("taskkit")

SILENT = 0.001
"""The swing of a recording without sound: -60 dB of full scale."""
FRAME = 0.02
"""Seconds that one frame of a Wav2Vec2-like network stands for; CTC writes at most one character in each."""
NAMED = 5
"""So many faulty recordings are named in one message."""


class Fault(NamedTuple):
    """What is wrong with one utterance."""

    kind: str
    message: str


def fault(clip: Clip, stats: AudioStats, target: str | int | None) -> Fault | None:
    """What keeps an utterance from being used, whatever the network; `target` is its transcript or its class."""
    if stats.error:
        return Fault("unreadable" if stats.file else "missing", stats.error)
    if flaw := impossible_rate(stats.sample_rate):
        return Fault("sample rate", flaw)
    if flaw := too_long(stats.seconds, clip.max_seconds):
        return Fault("too long", flaw)
    if flaw := impossible_samples(math.isfinite(stats.swing)):
        return Fault("not a number", flaw)
    if stats.swing < SILENT:
        return Fault("silent", f"nothing is to be heard: its samples swing by {stats.swing:.4f} of full scale.")
    if not isinstance(target, str):
        return None
    if not target:
        return Fault("empty transcript", "nothing is left of its transcript once it is normalised.")
    frames, needed = int(stats.seconds / FRAME), frames_needed([ord(character) for character in target])
    if needed > frames:
        return Fault(
            "transcript too long",
            f"{len(target)} characters in {stats.seconds:.2f} s need {needed} frames of CTC, and there "
            f"are {frames}, of {FRAME * 1000:g} ms each. Nobody speaks that fast: look whether they belong together.",
        )
    return None


def leave_out(
    faults: Mapping[str, Fault], unusable: Literal["error", "skip"], where: str, total: int, root: Path
) -> Counter[str]:
    """Count and name faulty utterances, which are left out, or refuse them; `faults` are by where each one stands.

    `root` is the folder that their paths are relative to. Raises DataError, which names the first ones, unless they are
    to be skipped and others are left.
    """
    kinds = Counter(one.kind for one in faults.values())
    if not faults:
        return kinds
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    lines = "".join(f"\n  {place}: {one.message}" for place, one in list(faults.items())[:NAMED])
    more = f"\n  … and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
    message = f"{where}: {len(faults):,} of {total:,} recordings cannot be used ({counts}):{lines}{more}"
    if kinds["missing"]:
        message += f"\nPaths are relative to {root}; data.root=FOLDER names another folder."
    if unusable == "error":
        raise DataError(f"{message}\nMend them or take them out, or leave them out with data.unusable=skip.")
    if len(faults) == total:
        raise DataError(f"{message}\nAt least one that can be used was expected.")
    log.warning("%s\nThey are left out.", message)
    return kinds
