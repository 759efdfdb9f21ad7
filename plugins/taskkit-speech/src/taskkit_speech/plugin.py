"""What this plugin brings to taskkit; importing it loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from taskkit import CLASSIFICATION_METRICS, Component, Guess, RecipeFile, UserData, hookimpl, recipes_in

taskkit_api = ">=0.2,<0.3"


PORTABLE = {
    "wav2vec2": "taskkit_speech.arrays:SpeechArrays",
    "ctc": "taskkit_speech.arrays:CtcArrays",
    "classification": "taskkit:ArrayClassification",
}


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """The tasks, models and data."""
    yield _component(
        "task",
        "ctc",
        "transcribe each recording",
        "ctc:Ctc",
        ("Transcript",),
        {"wer": "min", "cer": "min", "silent": "min"},
    )
    yield _component(
        "task",
        "pretraining",
        "learn from sound alone",
        "pretraining:Pretraining",
        ("Masked",),
        {"accuracy": "max", "contrastive": "min", "codes_used": "max"},
    )
    yield _component(
        "task",
        "classification",
        "choose one class for each recording",
        "classification:SpeechClassification",
        ("Classes",),
        CLASSIFICATION_METRICS,
    )
    yield _component(
        "model",
        "wav2vec2",
        "Wav2Vec2, HuBERT and WavLM, small or pretrained",
        "wav2vec2:Wav2vec2",
        ("Transcript", "Classes", "Masked"),
    )
    yield _component("data", "prompts", "telephone prompts, 8 kHz, one speaker", "prompts:Prompts", ("Transcript",))
    yield _component(
        "data", "languages", "the prompts of five languages: which is it?", "languages:Languages", ("Classes",)
    )
    yield _component(
        "data", "librivox_sample", "ten utterances, to try things", "librivox:LibrivoxSample", ("Transcript",)
    )
    yield _component(
        "data",
        "torchaudio",
        "LibriSpeech, Speech Commands or YesNo by torchaudio's names",
        "torchaudio_data:TorchaudioData",
        ("Transcript", "Classes"),
    )
    yield _component(
        "data", "table", "your own recordings, listed in a table", "table:Table", ("Transcript", "Classes")
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """The recipes that come inside the package."""
    return recipes_in("taskkit_speech")


@hookimpl
def taskkit_recognise(data: UserData) -> Iterable[Guess]:
    """Recordings that a table lists with transcripts or classes."""
    from taskkit_speech.recognise import guesses

    return guesses(data)


def _component(
    kind: Literal["task", "model", "data"],
    name: str,
    summary: str,
    implementation: str,
    targets: Iterable[str],
    metrics: Mapping[str, Literal["max", "min"]] | None = None,
) -> Component:
    """A component of this package; `targets` are the facts by their names."""
    homes = {"Classes": "taskkit"}
    return Component(
        kind,
        f"speech.{name}",
        summary,
        implementation=f"taskkit_speech.{implementation}",
        section=f"taskkit_speech.sections:{implementation.partition(':')[2]}",
        input="taskkit_speech.facts:Audio",
        targets=tuple(f"{homes.get(target, 'taskkit_speech.facts')}:{target}" for target in targets),
        metrics=metrics or {},
        portable=PORTABLE.get(name, ""),
    )
