"""What a model takes, found by trying: its contract says how to ask it, not what it understands."""

from __future__ import annotations

import io
import secrets
import struct
import tempfile
import wave
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer
from taskkit.contracts.facts import TextLine
from taskkit.errors import DataError
from taskkit.serving.inputs import Input, Upload
from taskkit.serving.logs import warnings

KINDS = ("", ".txt", ".csv", ".jsonl", ".png", ".wav")


@dataclass(frozen=True)
class Taken:
    """What a model takes beside rows of tables."""

    texts: bool
    """Whether a line of text is one, also where it is the name of a file that is there."""
    pictures: bool
    sounds: bool


def taken(answerer: Answerer) -> Taken:
    """What a model takes."""
    with warnings():
        return Taken(_takes_texts(answerer), _reads(answerer, picture()), _reads(answerer, sound()))


def anything() -> list[Input]:
    """What any model may be asked: a text, a picture, a sound."""
    return ["a", picture(), sound()]


def picture() -> Upload:
    """A grey PNG of 32 by 32 pixels."""
    rows = b"".join(b"\0" + b"\x80\x80\x80" * 32 for _ in range(32))
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts)
    return Upload("picture.png", b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def sound() -> Upload:
    """A second of soft clicks at 16 kHz, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(b"".join(struct.pack("<h", 1000 * (number % 100 == 0)) for number in range(16_000)))
    return Upload("sound.wav", file.getvalue())


def _takes_texts(answerer: Answerer) -> bool:
    """Whether nothing in what the model reads tells if a text is the name of a file that is there."""
    with tempfile.TemporaryDirectory(prefix="taskkit-serve-") as folder:
        for kind in KINDS:
            path = Path(folder) / f"{secrets.token_hex(8)}{kind}"
            before = _outcome(answerer, path)
            path.write_text(f'{{"id": "{secrets.token_hex(8)}"}}\n')
            if _outcome(answerer, path) != before:
                return False
    return True


def _outcome(answerer: Answerer, path: Path) -> Any:
    try:
        found = answerer.read(TextLine(path), answerer.predict_options[0]())
    except DataError as error:
        return str(error)
    return [(example.id, repr(example.input)) for example in found]


def _reads(answerer: Answerer, upload: Upload) -> bool:
    """Whether a file of this kind can be encoded."""
    with tempfile.TemporaryDirectory(prefix="taskkit-serve-") as folder:
        path = Path(folder) / upload.name
        path.write_bytes(upload.content)
        try:
            for example in answerer.read(str(path), answerer.predict_options[0]()):
                answerer.encode(example)
        except DataError:
            return False
    return True
