"""What a request is answered where there is no prediction."""

from __future__ import annotations


class Refused(Exception):
    """A request that gets no prediction: the status of its answer, and what the client is told.

    `again` is after how many seconds it may be asked again; None: the same request will be refused again.
    """

    def __init__(self, status: int, detail: str, again: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.again = again
