"""Bodies of requests, no larger and no slower than they may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from taskkit.serving.limits import Limits
from taskkit.serving.refused import Refused


@asynccontextmanager
async def in_time(limits: Limits) -> AsyncIterator[None]:
    """Raise Refused (408) where the body, read meanwhile, does not come in time."""
    try:
        async with asyncio.timeout(limits.timeout):
            yield
    except TimeoutError:
        raise Refused(408, f"The body did not come within {limits.timeout:g} s. Send less, or faster.") from None


async def chunks(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """The body as it comes; raises Refused (413) once it is larger than it may be."""
    too_large = Refused(413, f"The body has more than {limits.body:,} bytes. Send less at once.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limits.body:
        raise too_large
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.body:
            raise too_large
        yield chunk


async def whole(request: Request, limits: Limits) -> bytes:
    """The body; raises Refused where it is too large or too slow."""
    async with in_time(limits):
        return b"".join([chunk async for chunk in chunks(request, limits)])
