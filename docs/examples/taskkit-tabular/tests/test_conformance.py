"""The checks of taskkit's conformance kit, one test each; `taskkit plugins check` makes the same."""

from taskkit.testing import conformance

TestConformance = conformance("taskkit-tabular")
