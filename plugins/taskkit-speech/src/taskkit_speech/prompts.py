"""The voice prompts of a telephone exchange: about half an hour of one speaker in each of five languages."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from taskkit import DataError, DataModule, DataSpec, Debian, Fact, Local, Origin, Prepared, Split, by_share, fetch
from taskkit_speech import inspection, sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.normalise import NORMALISERS
from taskkit_speech.utterances import Utterance, by_split, fingerprint, for_task, prepared

VERSION = "1.6.1-1"
NORMALISER = "letters-v1"
SAMPLE_RATE = 8000
NOISES = frozenset(
    {
        "ascending-2tone",
        "beep",
        "beeperr",
        "confbridge-join",
        "confbridge-leave",
        "descending-2tone",
        "tt-monkeys",
    }
)
HELD_OUT = {"val": 0.1, "test": 0.15}
"""Shares of the sentences."""


class Voice(NamedTuple):
    """One language: who speaks, and the sha256 of the two packages."""

    speaker: str
    folder: str
    transcripts: str
    recordings: str
    licence: str = "CC-BY-SA-3.0"
    symbols: tuple[tuple[str, str], ...] = ()
    """How the keys of a telephone are read aloud."""


VOICES = {
    "en": Voice(
        "Allison Smith",
        "en_US_f_Allison",
        "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
        "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
        symbols=(("*", "star"), ("#", "pound")),
    ),
    "es": Voice(
        "Allison Smith",
        "es_MX_f_Allison",
        "9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74",
        "9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903",
    ),
    "fr": Voice(
        "June Wallack",
        "fr_CA_f_June",
        "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056",
        "8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e",
        symbols=(("*", "étoile"), ("#", "dièse")),
    ),
    "it": Voice(
        "Carlo Flora",
        "it_IT_m_Carlo",
        "3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b",
        "5a26638089e134b8ac39363fe249c5c93c50cd8bfdc9b2499ae61ec4a35e2fcb",
        licence="CC-BY-3.0",
    ),
    "ru": Voice(
        "ivrvoice.ru",
        "ru_RU_f_IvrvoiceRU",
        "28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab",
        "ccbfaebfa450b7a9ddf644ae0f3d1e9017d5df7c0aebe816e946345589d38201",
        licence="CC-BY-3.0",
    ),
}


class Read(NamedTuple):
    """The prompts of one language."""

    utterances: list[Utterance]
    left_out: Counter[str]
    """How many are left out, by the reason."""
    origins: tuple[Origin, Origin]


class Prompts(DataModule[sections.Prompts]):
    """The prompts of one language; 10 % of the sentences to validate and 15 % to test.

    One speaker reads all of them: an error rate says how well this voice is recognised, and nothing of others.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the recordings and their transcripts, clean these, and split by a hash of each sentence."""
        language = self.config.language
        read = read_prompts(language, self.config.root)
        splits = by_split(for_task(read.utterances, target))
        protocol = {
            "speakers": f"one, {VOICES[language].speaker}, in all splits",
            "splits": "by a hash of each sentence, so that no sentence is in two: 75 % train, 10 % val, 15 % test",
            "normaliser": f"{NORMALISER} ({language})",
            "left out": dict(sorted(read.left_out.items())),
        }
        name = fingerprint(f"prompts-{language}", splits, VOICES[language].recordings)
        spec = DataSpec(Audio(SAMPLE_RATE), Transcript(language), name, read.origins, protocol)
        return prepared(spec, splits, partial(inspection.problems, splits))


def read_prompts(language: str, root: str | None) -> Read:
    """The prompts of a language, of which each has its transcript and its split."""
    voice = VOICES[language]
    sounds, recordings = fetch(
        f"prompts-{language}",
        {"*.wav": None},
        [
            Local(root),
            Debian(
                f"asterisk-core-sounds-{language}-wav",
                VERSION,
                sha256=voice.recordings,
                root=f"usr/share/asterisk/sounds/{voice.folder}",
            ),
        ],
        licence=voice.licence,
        citation=f"Asterisk core sounds {VERSION}, spoken by {voice.speaker}",
    )
    file = f"core-sounds-{language}.txt.gz"
    package = f"asterisk-core-sounds-{language}"
    texts, transcripts = fetch(
        f"prompts-{language}-transcripts",
        {file: None},
        [Local(root), Debian(package, VERSION, sha256=voice.transcripts, root=f"usr/share/doc/{package}")],
        licence=voice.licence,
    )
    written = dict(_transcripts(texts / file))
    recorded = {path.relative_to(sounds).with_suffix("").as_posix(): path for path in sorted(sounds.rglob("*.wav"))}
    left_out = Counter({"no recording": len(written.keys() - recorded)})
    utterances = []
    for key, path in recorded.items():
        if key.startswith("silence/") or key in NOISES:
            left_out["not speech"] += 1
        elif not written.get(key):
            left_out["no transcript"] += 1
        elif not (spoken := _spoken(written[key], voice)):
            left_out["in doubt what is said"] += 1
        else:
            text = NORMALISERS[NORMALISER](spoken, language)
            utterances.append(Utterance(key, Clip(path), text, _split(spoken), voice.speaker))
    return Read(utterances, left_out, (recordings, transcripts))


def _transcripts(path: Path) -> Iterator[tuple[str, str]]:
    """The key of each prompt and what is written of it."""
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8-sig").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}. A gzip file of UTF-8 was expected. Remove it and run again.") from None
    for line in lines:
        key, colon, text = line.partition(":")
        if colon and not key.startswith(";"):
            yield key.strip(), text.strip()


def _spoken(written: str, voice: Voice) -> str:
    """What is read aloud of what is written; nothing where notes, other keys or lost letters leave it in doubt."""
    text = re.sub(r"\([^)]*\)", " ", written)
    text = re.sub(r"\[[^\]]*\]\s*$", "", text)
    if re.search(r"[][<>]|\w-\w+:|\w\? +[a-zà-ù]", text):
        return ""
    for symbol, name in voice.symbols:
        text = text.replace(symbol, f" {name} ")
    return text.strip()


def _split(sentence: str) -> Split:
    """The split of a sentence, whatever its punctuation; it never moves."""
    letters = "".join(character for character in sentence.casefold() if character.isalnum())
    return by_share(letters, **HELD_OUT)
