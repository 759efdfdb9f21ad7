"""What is wrong with recordings and their transcripts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Literal

from taskkit import Classes, DataProblem, ExampleLook, find_duplicates, find_imbalance, first_ids, percent
from taskkit_speech.audio import Clip
from taskkit_speech.faults import Fault, fault
from taskkit_speech.probe import AudioStats, probe
from taskkit_speech.utterances import Utterance, Utterances

CLIPPED = 0.001
"""The share of samples at full scale from which on a recording counts as clipped."""
LONG_ENOUGH = 20
"""The characters from which on the speed of speech says something: the pauses around single words hide it."""
NATURAL = (3, 25)
"""Characters a second that people speak, whatever the script."""
ODD = 1.75
"""A recording is odd when its speech is this many times as fast or as slow as is usual in these data."""
FAR = 10
"""A recording is far longer than others when it lasts this many times as long as most, which are 19 of 20."""
NAMED = 20
"""So many characters are named in one problem."""

Sound = Sequence[tuple[Utterance, AudioStats]]


def problems(
    splits: Utterances, probed: Mapping[Clip, AudioStats] | None = None, classes: Classes | None = None
) -> Iterator[DataProblem]:
    """Say what a person should know of utterances, whose recordings are decoded unless they are `probed` already."""
    utterances = [one for split in splits.values() for one in split]
    if probed is None:
        probed = probe(one.clip for one in utterances)
    faults = {
        str(ExampleLook(one.split, one.id, None)): fault(one.clip, probed[one.clip], one.target) for one in utterances
    }
    yield from faulty({name: one for name, one in faults.items() if one}, "error")
    sound = [(one, probed[one.clip]) for one in utterances if not probed[one.clip].error]
    yield from _formats(sound)
    yield from _clipped(sound)
    yield from _speeds(sound)
    yield from _durations(sound)
    yield from find_duplicates(
        (ExampleLook(one.split, one.id, stats.digest, one.target) for one, stats in sound), "recording"
    )
    yield from _shared(utterances)
    yield from _characters(utterances)
    numbers = {split: [one.target for one in part if isinstance(one.target, int)] for split, part in splits.items()}
    if classes and numbers["train"]:
        yield from find_imbalance(numbers, classes, "recording")


def faulty(faults: Mapping[str, Fault], severity: Literal["error", "warning"]) -> Iterator[DataProblem]:
    """Say which recordings cannot be used, kind by kind; `faults` are by the recording's name."""
    kinds = defaultdict(list)
    for name, one in faults.items():
        kinds[one.kind].append((name, one.message))
    for kind, concerned in kinds.items():
        name, message = concerned[0]
        others = f" The same is wrong with {len(concerned) - 1:,} more." if len(concerned) > 1 else ""
        yield DataProblem(severity, kind, f"{name}: {message}{others}", first_ids([name for name, _ in concerned]))


def _formats(sound: Sound) -> Iterator[DataProblem]:
    """Several channels, which are mixed down, and sample rates unlike most."""
    if several := [one for one, stats in sound if stats.channels > 1]:
        yield _about(
            "channels",
            several,
            sound,
            "have more than one channel, which are mixed down. If each is another speaker, write them to files first.",
        )
    rates = Counter(stats.sample_rate for _, stats in sound)
    if len(rates) > 1:
        usual = rates.most_common(1)[0][0]
        others = [one for one, stats in sound if stats.sample_rate != usual]
        counted = ", ".join(f"{count:,} at {rate:,} Hz" for rate, count in rates.most_common())
        yield _about("sample rate", others, sound, f"have another rate than most ({counted}). They will be resampled.")


def _clipped(sound: Sound) -> Iterator[DataProblem]:
    """Recordings that were made too loud."""
    if clipped := [one for one, stats in sound if stats.clipped >= CLIPPED]:
        message = f"are cut off at full scale in {CLIPPED:.1%} of their samples or more: recorded too loud."
        yield _about("clipped", clipped, sound, message)


def _speeds(sound: Sound) -> Iterator[DataProblem]:
    """Transcripts too long or too short for the sound: another text, a part of it, or a wrong sample rate."""
    speeds = {
        one: len(one.target) / stats.seconds
        for one, stats in sound
        if isinstance(one.target, str) and len(one.target) >= LONG_ENOUGH
    }
    if not speeds:
        return
    usual = median(speeds.values())
    if not NATURAL[0] <= usual <= NATURAL[1]:
        yield DataProblem(
            "error",
            "speed",
            f"These recordings have {usual:.1f} characters a second (the median); people speak {NATURAL[0]} to "
            f"{NATURAL[1]}. Look whether the sample rate in the files is wrong, or the transcripts belong to others.",
        )
    if odd := [one for one, speed in speeds.items() if not usual / ODD <= speed <= usual * ODD]:
        yield _about(
            "speed",
            odd,
            sound,
            f"are {ODD:g} times as fast or as slow as is usual here ({usual:.1f} characters a second), such as "
            f"{odd[0].id} with {speeds[odd[0]]:.1f}. Look whether its transcript is of this recording and the sample "
            "rate in its header is right.",
        )


def _in_all(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.2f} h"


def _durations(sound: Sound) -> Iterator[DataProblem]:
    """How long recordings are, and which are far longer than the others."""
    seconds = sorted(stats.seconds for _, stats in sound)
    if not seconds:
        return
    most = seconds[len(seconds) * 19 // 20]
    yield DataProblem(
        "info",
        "durations",
        f"{len(seconds):,} recordings can be read, {_in_all(sum(seconds))} in all: {seconds[0]:.1f} to "
        f"{seconds[-1]:.1f} s, half of them {median(seconds):.1f} s at most, 19 of 20 {most:.1f} s.",
    )
    if far := [one for one, stats in sound if stats.seconds > FAR * most]:
        yield _about(
            "duration",
            far,
            sound,
            f"last up to {seconds[-1]:.1f} s; 19 of 20 last at most {most:.1f} s and half of all at most "
            f"{median(seconds):.1f} s. A batch is as long as its longest.",
        )


def _shared(utterances: Sequence[Utterance]) -> Iterator[DataProblem]:
    """Sentences and speakers of the test and validation splits that are in the training split too."""
    train = [one for one in utterances if one.split == "train"]
    sentences, speakers = {one.target for one in train}, {one.speaker for one in train if one.speaker}
    for split in ("val", "test"):
        part = [one for one in utterances if one.split == split]
        if known := [one for one in part if isinstance(one.target, str) and one.target in sentences]:
            yield _about(
                "sentence leak",
                known,
                part,
                f"of the {split} split ({percent(len(known) / len(part), 0)}) have a transcript that is in the "
                "training split too: part of the score is for sentences learnt by heart.",
            )
        if leaked := [one for one in part if one.speaker in speakers]:
            names = len({one.speaker for one in leaked})
            yield _about(
                "speaker leak",
                leaked,
                part,
                f"of the {split} split are of {names} speaker{'s' * (names > 1)} of the training split: the score says "
                "little of other voices.",
            )


def _characters(utterances: Sequence[Utterance]) -> Iterator[DataProblem]:
    """Characters that no training transcript has: an alphabet learnt from these cannot write them."""
    known = {character for one in utterances if one.split == "train" for character in str(one.target)}
    lacking = {one: set(one.target) - known for one in utterances if isinstance(one.target, str)}
    if concerned := [one for one, strange in lacking.items() if strange]:
        strange = sorted(set().union(*lacking.values()))
        yield _about(
            "alphabet",
            concerned,
            utterances,
            f"have characters that no training transcript has: {' '.join(strange[:NAMED])}. They count as errors.",
        )


def _about(kind: str, concerned: Sequence[Utterance], among: Sequence[object], message: str) -> DataProblem:
    """A warning about `concerned`, counted among all of `among`."""
    looks = first_ids([ExampleLook(one.split, one.id, None) for one in concerned])
    return DataProblem("warning", kind, f"{len(concerned):,} of {len(among):,} recordings {message}", looks)
