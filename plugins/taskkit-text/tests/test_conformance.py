from pathlib import Path

from taskkit.testing import conformance

TestConformance = conformance(Path(__file__).parents[1])
