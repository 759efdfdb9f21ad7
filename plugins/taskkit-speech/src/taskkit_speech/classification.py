"""Utterance classification: the shared task, as it is."""

from __future__ import annotations

from taskkit import Classification
from taskkit_speech import sections
from taskkit_speech.processor import SpeechProcessor


class SpeechClassification(Classification[sections.SpeechClassification, SpeechProcessor]):
    """Choose one class for each recording."""
