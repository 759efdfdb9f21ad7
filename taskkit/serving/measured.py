"""What Prometheus may read of a server."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable of prometheus_client that names the folder in which several processes count together."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Measured:
    """Counters of requests and batches."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._registry = own
        self._requests = Counter(
            "taskkit_requests", "Requests by route, model and status", ("route", "model", "status"), registry=own
        )
        self._seconds = Histogram(
            "taskkit_request_seconds", "From the first byte to the answer", ("route",), buckets=SECONDS, registry=own
        )
        self._inputs = Counter("taskkit_inputs", "Inputs that were answered", ("model",), registry=own)
        self._samples = Histogram(
            "taskkit_batch_samples", "Samples that were answered at once", ("model",), buckets=SIZES, registry=own
        )

    def request(self, route: str, model: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, model, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def inputs(self, model: str, number: int) -> None:
        """Count inputs that were answered."""
        self._inputs.labels(model).inc(number)

    def batch(self, model: str, samples: int) -> None:
        """Count a batch."""
        self._samples.labels(model).observe(samples)

    def text(self) -> bytes:
        """All of it, of all processes of the server, in Prometheus's text format."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
