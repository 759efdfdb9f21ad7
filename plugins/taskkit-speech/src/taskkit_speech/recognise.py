"""What a person's table is, if it lists recordings with transcripts or classes. Without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskkit import Guess, UserData, class_columns
from taskkit_speech.facts import SUFFIXES

TRANSCRIPTS = ("text", "transcript", "transcription", "sentence", "utterance", "normalized_text")
"""What people call a column of transcripts, in lower case."""


def guesses(data: UserData) -> Iterator[Guess]:
    """Tables that list audio files, for each task that they have targets of."""
    for path, columns in data.tables.items():
        listed = [name for name, cells in columns.items() if all(_is_audio(cell) for cell in cells)]
        if not listed or not (path.parent / columns[listed[0]][0]).is_file():
            continue
        why = f"every cell of {listed[0]!r} ends as names of recordings do, and the first of the files is there"
        place = {"name": "speech.table", "table": str(path), "path_column": listed[0]}
        for text in [name for name in columns if name.lower() in TRANSCRIPTS][:1]:
            yield Guess(
                f"recordings with what is said in {text!r}",
                [why, f"{text!r} is what transcripts are called"],
                0.95,
                _recipe("speech.ctc", {**place, "text_column": text}, len(columns[text])),
            )
        for label in [name for name in class_columns(columns) if name.lower() not in (*TRANSCRIPTS, "speaker")][:1]:
            yield Guess(
                f"recordings with classes in {label!r}",
                [why, f"{label!r} has {len(set(columns[label]))} different words"],
                0.9,
                _recipe("speech.classification", {**place, "label_column": label}, len(columns[label])),
            )


def _is_audio(cell: str) -> bool:
    return Path(cell).suffix.lower() in SUFFIXES


def _recipe(task: str, data: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    """A small network from scratch; a batch is a part of the recordings, also where these are few."""
    return {
        "title": "My recordings",
        "seed": 7,
        "task": {"name": task},
        "model": {"name": "speech.wav2vec2"},
        "data": data,
        "loader": {"batch_size": max(2, min(16, rows // 4))},
        "optim": {"lr": 1e-3, "warmup": 0.1},
        "trainer": {"max_epochs": 60, "gradient_clip_val": 1.0},
    }
