"""When each word of a transcript was said."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import forced_align, merge_tokens

from taskkit_speech.alphabet import BLANK, SPACE, Alphabet, frames_needed


@dataclass(frozen=True)
class Word:
    """A word and its place in the recording."""

    word: str
    start: float
    """Seconds."""
    end: float
    """Seconds."""


def align(log_probs: Tensor, text: str, alphabet: Alphabet, seconds: float) -> list[Word]:
    """The words of a text by the most probable path that says it; none if there are too few frames for it.

    `log_probs` is (frames, classes); a frame lasts `seconds`. A word lasts from its first to its last character: CTC
    tells when a character is heard, not how long it lasts.
    """
    numbers = alphabet.spell(text)
    if not numbers or frames_needed(numbers) > len(log_probs):
        return []
    path, scores = forced_align(log_probs.float()[None], torch.tensor([numbers], dtype=torch.int32), blank=BLANK)
    spans = iter(merge_tokens(path[0], scores[0].exp(), blank=BLANK))
    words = []
    for word in text.split(SPACE):
        said = [next(spans) for _ in word]
        words.append(Word(word, round(said[0].start * seconds, 3), round(said[-1].end * seconds, 3)))
        next(spans, None)
    return words
