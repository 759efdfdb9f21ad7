"""What every data module of this plugin makes: utterances, each in a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from taskkit import DataProblem, DataSpec, Example, Fact, Prepared, SelfSupervised, Split
from taskkit_speech.audio import Clip

Utterances = Mapping[Split, Sequence["Utterance"]]


@dataclass(frozen=True)
class Utterance:
    """One recording and what is known about it."""

    id: str
    clip: Clip
    target: str | int | None
    """The transcript, the number of the class, or None where the task needs neither."""
    split: Split
    speaker: str = ""
    """Empty: not known."""


def by_split(utterances: Iterable[Utterance]) -> Utterances:
    """The utterances of each split, in their order."""
    splits: dict[Split, list[Utterance]] = {"train": [], "val": [], "test": []}
    for utterance in utterances:
        splits[utterance.split].append(utterance)
    return splits


def for_task(utterances: Iterable[Utterance], target: type[Fact]) -> list[Utterance]:
    """The utterances, without targets for a task that makes its own of the sound."""
    if issubclass(target, SelfSupervised):
        return [replace(utterance, target=None) for utterance in utterances]
    return list(utterances)


def prepared(spec: DataSpec, splits: Utterances, inspect: Callable[[], Iterable[DataProblem]]) -> Prepared:
    """The utterances as the host takes them: the input of each example is a Clip, its group the speaker."""
    examples = {
        split: [Example(one.id, one.clip, one.target, one.speaker or None) for one in utterances]
        for split, utterances in splits.items()
    }
    return Prepared(spec, examples, inspect)


def fingerprint(name: str, splits: Utterances, content: str) -> str:
    """A hash of ids, targets and splits, and of `content`, which is a hash of the audio itself."""
    rows = [f"{split}/{one.id}/{one.target}" for split, utterances in splits.items() for one in utterances]
    return f"{name}-{hashlib.sha256(chr(10).join([content, *rows]).encode()).hexdigest()}"
