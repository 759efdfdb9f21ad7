"""What odd files of each modality are made of, and where they lie."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from PIL import Image
from pyarrow import parquet

from tests.faults.files import MARK, Modality, Odd, among, damaged, special

SOUND_FILES = 8


def _written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _odds(kinds: Mapping[str, bytes], suffix: str, more: Sequence[Odd], rng: random.Random) -> Iterator[Odd]:
    others = (Odd(what, name, _written(content)) for what, name, content in damaged(kinds, rng))
    return among([*special(suffix, kinds[f"a{suffix}"]), *more], rng, others)


# Images, each a file in a folder of its class.

IMAGE = """\
title: Odd images
task: {name: image.classification}
model: {name: image.mlp, image_size: 8, widths: [4]}
data: {name: image.folder, root: photos, val_share: 0, test_share: 0, augment: false}
loader: {batch_size: 4, cache: false}
trainer: {max_epochs: 1, accelerator: cpu}
"""


def _images() -> Mapping[str, bytes]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    kinds = {}
    for suffix in (".png", ".jpg", ".gif", ".bmp", ".tif", ".webp", ".ppm", ".tga", ".jp2"):
        kinds[f"a{suffix}"] = _image(noise, suffix)
    for mode, suffix in (("1", ".png"), ("L", ".jpg"), ("P", ".png"), ("RGBA", ".png"), ("CMYK", ".jpg")):
        kinds[f"{mode}{suffix}"] = _image(noise.convert(mode), suffix)
    return kinds


def _image(image: Image.Image, suffix: str) -> bytes:
    file = io.BytesIO()
    image.save(file, Image.registered_extensions()[suffix])
    return file.getvalue()


def _place_image(folder: Path, odd: Odd) -> int:
    for number in range(SOUND_FILES):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 12), (number * 20, 0, 0)).save(path)
    path = folder / "photos" / "a" / odd.name
    odd.write(path)
    # A folder without files holds no image, whatever it is called.
    return SOUND_FILES + (not path.is_dir())


# Recordings, each a row of a table.

SPEECH = """\
title: Odd recordings
task: {name: speech.classification}
model: {name: speech.wav2vec2, conv_widths: [8, 8], conv_kernels: [160, 3], conv_strides: [80, 2], layers: 1,
  width: 8, heads: 2, position_kernel: 4, position_groups: 2}
data: {name: speech.table, table: table.csv, root: recordings, unusable: UNUSABLE}
loader: {batch_size: 2, cache: false, drop_last: false}
trainer: {max_epochs: 1, accelerator: cpu}
"""


def _recordings() -> Mapping[str, bytes]:
    tone = 0.5 * np.sin(np.arange(4000) / 5) + np.random.default_rng(0).standard_normal(4000) * 0.05
    kinds = {}
    for suffix in (".wav", ".flac", ".mp3", ".ogg", ".aiff", ".au", ".caf", ".w64"):
        kinds[f"a{suffix}"] = _recording(tone, suffix)
    kinds["float.wav"] = _recording(tone, ".wav", subtype="FLOAT")
    kinds["stereo.wav"] = _recording(np.stack([tone, tone], 1), ".wav")
    return kinds


def _recording(samples: Any, suffix: str, **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format=suffix[1:].upper(), **options)
    return file.getvalue()


def _place_recording(folder: Path, odd: Odd) -> int:
    random_ = np.random.default_rng(0)
    (folder / "recordings").mkdir()
    rows = []
    for number in range(SOUND_FILES):
        name = f"{number}.wav"
        soundfile.write(folder / "recordings" / name, random_.standard_normal(2400) * 0.1, 8000)
        rows.append((name, "ab"[number % 2], f"s{number % 4}", ("train", "train", "val", "test")[number % 4]))
    odd.write(folder / "recordings" / odd.name)
    rows.append((odd.name, "a", "s0", "train"))
    with (folder / "table.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([("path", "label", "speaker", "split"), *rows])
    return SOUND_FILES + 1


# Tables, which are odd themselves.

TEXT = """\
title: Odd texts
task: {name: text.classification}
model: {name: text.bag, min_count: 1}
data: {name: text.table, file: FILE}
loader: {batch_size: 4, cache: false}
trainer: {max_epochs: 1, accelerator: cpu}
"""
RECSYS = """\
title: Odd logs
task: {name: recsys.rating}
model: {name: recsys.mf, width: 4}
data: {name: recsys.interactions, events: FILE}
loader: {batch_size: 4, cache: false, drop_last: false}
trainer: {max_epochs: 1, accelerator: cpu}
"""
TEXTS = [{"text": f"number {n} of {('even', 'odd')[n % 2]} ones, é", "label": "ab"[n % 2]} for n in range(40)]
EVENTS = [
    {"user": f"u{n % 5}", "item": f"i{n % 7}", "timestamp": 1_700_000_000 + 3600 * n, "rating": 1 + n % 5}
    for n in range(40)
]


def _tables(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, bytes]:
    kinds = {
        f"a{suffix}": _separated(rows, delimiter).encode() for suffix, delimiter in ((".csv", ","), (".tsv", "\t"))
    }
    kinds["semicolons.csv"] = _separated(rows, ";").encode()
    kinds["utf16.csv"] = _separated(rows, ",").encode("utf-16")
    kinds["western.csv"] = _separated(rows, ",").encode("cp1252")
    kinds["a.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    kinds["a.csv.gz"] = gzip.compress(kinds["a.csv"], mtime=0)
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(list(rows)), sink)
    kinds["a.parquet"] = sink.getvalue().to_pybytes()
    return kinds


def _separated(rows: Sequence[Mapping[str, Any]], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([rows[0].keys(), *(row.values() for row in rows)])
    return text.getvalue()


def _place_table(folder: Path, odd: Odd) -> int | None:
    path = folder / odd.name
    odd.write(path)
    recipe = folder / "r.yaml"
    recipe.write_text(recipe.read_text().replace("FILE", json.dumps(odd.name)))
    return _rows_in(path) if path.is_file() else None


def _rows_in(path: Path) -> int | None:
    """How many rows a table has by the readers of Python and Arrow; None where they cannot tell."""
    try:
        if path.name.endswith(".parquet"):
            return int(parquet.read_metadata(path).num_rows)
        content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        if path.name.endswith(".jsonl"):
            return sum(bool(line.strip()) for line in text.split("\n"))
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.name.endswith(".tsv") else ","))
        return sum(map(bool, rows)) - 1
    except (ValueError, OSError, EOFError, zlib.error, csv.Error, pa.ArrowException):
        return None


def _cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[Odd]:
    """A row at the end whose cells are odd, of right and of wrong types."""
    values = [
        "",
        " ",
        "nan",
        "NULL",
        "-1",
        "1e400",
        "1e39",
        "9" * 5000,
        "x" * 300_000,
        "\0",
        "😀",
        "=1+2",
        "\u202e",
        "true",
    ]
    for column in rows[0]:
        for value in values:
            row = {**rows[-1], column: value}
            name = f"{MARK}.csv"
            yield Odd(f"{value[:8]!r} for its {column}", name, _written(_separated([*rows, row], ",").encode()))
        for wrong in (None, True, [1], {"a": 1}, 1e300, "x"):
            lines = "".join(json.dumps(row) + "\n" for row in [*rows, {**rows[-1], column: wrong}])
            yield Odd(f"{wrong!r} for its {column}", f"{MARK}.jsonl", _written(lines.encode()))


def _modality(
    name: str,
    recipe: str,
    place: Callable[[Path, Odd], int | None],
    kinds: Mapping[str, bytes],
    suffix: str,
    more: Sequence[Odd] = (),
) -> Modality:
    sound = Odd("sound", f"{MARK}{suffix}", _written(kinds[f"a{suffix}"]))
    return Modality(name, recipe, place, partial(_odds, kinds, suffix, more), sound)


def modalities() -> Sequence[Modality]:
    """All of ours; recordings in both ways of meeting what cannot be used."""
    recordings = _recordings()
    return [
        _modality("images", IMAGE, _place_image, _images(), ".png"),
        _modality("recordings", SPEECH.replace("UNUSABLE", "error"), _place_recording, recordings, ".wav"),
        _modality("recordings, skipped", SPEECH.replace("UNUSABLE", "skip"), _place_recording, recordings, ".wav"),
        _modality("texts", TEXT, _place_table, _tables(TEXTS), ".csv", [*_cells(TEXTS)]),
        _modality("events", RECSYS, _place_table, _tables(EVENTS), ".csv", [*_cells(EVENTS)]),
    ]
