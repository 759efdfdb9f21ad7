"""The blobs of the look ahead are timed too."""

from tests.preflight.conftest import plugins

__all__ = ["plugins"]
