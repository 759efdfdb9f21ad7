"""Whether a plugin keeps to the contracts: levels that are computed, by `taskkit plugins check` and by pytest."""

from taskkit.testing.line import conformance

__all__ = ["conformance"]
