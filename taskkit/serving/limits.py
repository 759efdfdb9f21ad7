"""What one request, and all of them together, may take of the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """Bounds of a server, for each of its processes."""

    body: int = 32 * 2**20
    """Bytes of the body of a request."""
    inputs: int = 256
    """Inputs of one request, the rows of its tables counted."""
    explained: int = 8
    """Requests of a model that wait for explanations, and inputs of each: an explanation asks a network many times."""
    queue: int = 1024
    """Requests of a model that are read, and inputs of it that wait for their answer."""
    timeout: float = 30.0
    """Seconds in which a body must have come, and again in which it must be answered."""
    drain: int = 30
    """Seconds that requests are given to end once the server is to stop."""
    batch: int = 64
    """Samples that are answered at once."""
    batch_ms: float = 1.0
    """Milliseconds that an input waits for others, to be answered with them."""
    threads: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    """Threads in which inputs of a model are read and encoded."""
