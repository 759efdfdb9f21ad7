"""Small bitmaps as PNG files: what was given to a network, and how much of it counted."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

FOR, AGAINST = (0, 114, 178), (196, 78, 0)
"""The colours of what speaks for an answer and of what speaks against it."""
DEEPEST = 0.85
"""How much of what is below is hidden at most."""

Pixel = Sequence[int]


def png(rows: Sequence[Sequence[Pixel]]) -> str:
    """The address of a picture that holds itself; a pixel is of one channel, of three or, with its opacity, of four."""
    kind = {1: 0, 3: 2, 4: 6}[len(rows[0][0])]
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, kind, 0, 0, 0)
    lines = b"".join(b"\0" + bytes(channel for pixel in row for channel in pixel) for row in rows)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def heat(rows: Sequence[Sequence[float]]) -> str:
    """The address of a picture of numbers: the farther from nought, the less is seen of what lies below."""
    most = max((abs(value) for row in rows for value in row), default=0.0) or 1.0
    return png([[(*(FOR if v > 0 else AGAINST), round(255 * DEEPEST * abs(v) / most)) for v in row] for row in rows])


def shades(rows: Sequence[Sequence[float]]) -> str:
    """The address of a picture of shades from 0, white, to 1, black."""
    return png([[(255 - round(255 * min(max(shade, 0.0), 1.0)),) for shade in row] for row in rows])
