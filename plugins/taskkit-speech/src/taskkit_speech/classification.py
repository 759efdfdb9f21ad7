"""Utterance classification: the shared task, as it is."""

from __future__ import annotations

from taskkit import Classification
from taskkit_speech import sections


class SpeechClassification(Classification):
    """Choose one class for each recording."""

    config: sections.SpeechClassification
