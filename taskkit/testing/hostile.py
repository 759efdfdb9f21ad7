"""Inputs that nobody wishes for, of every modality: files that are empty, cut short, random or of another kind."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

_PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200010000000100000802000000")
_JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
_WAV = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80>\x00\x00\x00}\x00\x00\x02\x00\x10\x00data"
_PARQUET = b"PAR1\x15\x04\x15\x10\x15\x14L\x15\x02\x15\x00\x12\x00\x00"
_NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }"


def inputs(folder: Path) -> Mapping[str, str]:
    """Write the files into a folder; by a name what `taskkit predict` is given."""
    noise = random.Random(0).randbytes(4096)
    files = {
        "an empty picture": ("empty.png", b""),
        "a picture cut short": ("short.png", _PNG),
        "a picture of random bytes": ("random.jpg", noise),
        "a JPEG cut short": ("short.jpg", _JPEG),
        "an empty recording": ("empty.wav", b""),
        "a recording that claims 2 GB": ("claims.wav", _WAV),
        "a recording of random bytes": ("random.wav", noise),
        "an empty table": ("empty.csv", b""),
        "a table of a header alone": ("header.csv", b"no,such,columns\n"),
        "a table of random bytes": ("random.csv", noise),
        "a Parquet file cut short": ("short.parquet", _PARQUET),
        "JSON lines that are none": ("broken.jsonl", b'{"a": 1}\n{"a": \n'),
        "an array that claims 8 GB": ("claims.npy", _NPY),
        "an empty text": ("empty.txt", b""),
        "a text of NUL bytes": ("zeros.txt", bytes(64)),
        "a text that is not UTF-8": ("latin.txt", b"caf\xe9\n"),
        "a file without a suffix": ("random", noise),
    }
    given = {}
    for name, (file, content) in files.items():
        path = folder / file
        path.write_bytes(content)
        given[name] = str(path)
    (folder / "folder.png").mkdir()
    return {
        **given,
        "a folder of a picture's name": str(folder / "folder.png"),
        "a file that is not there": str(folder / "missing.png"),
        "a word": "xyzzy",
        "nothing but blanks": "   ",
        "an empty word": "",
        "a number": "1e999",
        "escape sequences": "\x1b[2J\x1b]0;title\x07",
    }
