"""When each word of a transcript was spoken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torchaudio.functional import forced_align, merge_tokens

from taskkit import DataError
from taskkit_speech.alphabet import BLANK, SPACE, Alphabet, frames_needed

STRETCH = 60.0
"""Seconds that are aligned at once: time and memory grow with the square of them."""
CELLS = 2**31
"""Frames times characters, with a blank before each, from more than which on a piece is not aligned: a byte each."""


@dataclass(frozen=True)
class Word:
    """A word and its place in the recording."""

    word: str
    start: float
    """Seconds."""
    end: float
    """Seconds."""


class Stretch(NamedTuple):
    """Some frames, and the words that are spoken in them."""

    first: int
    last: int
    """One after the last frame."""
    words: Sequence[str]


class Pause(NamedTuple):
    """Frames between two words in which no letter is the most probable."""

    frames: int
    end: int
    """The first frame of a blank: the word before ends here."""
    begin: int
    """One after the last frame of a blank: the next word begins here."""
    words: int
    """How many words come before."""


def align(log_probs: Tensor, text: str, alphabet: Alphabet, seconds: float, most: float = STRETCH) -> list[Word]:
    """The words of a text by the most probable path that spells it; none if there are too few frames for it.

    `log_probs` is (frames, classes); a frame lasts `seconds`. A word lasts from its first to its last character: CTC
    tells when a character begins, not how long it lasts. What exceeds `most` seconds is aligned piece by piece.
    """
    words = text.split()
    pieces = stretches(log_probs, words, alphabet, int(most / seconds))
    if any(not _fits(piece, alphabet) for piece in pieces):
        pieces = [Stretch(0, len(log_probs), words)]
    return [
        word for piece in pieces if _fits(piece, alphabet) for word in _aligned(log_probs, piece, alphabet, seconds)
    ]


def stretches(log_probs: Tensor, words: Sequence[str], alphabet: Alphabet, most: int) -> list[Stretch]:
    """Cut frames and the words in them at pauses, so that none has more than `most` frames where that can be.

    `log_probs` is (frames, classes). Where one word follows another is known of what was decoded greedily. Other words,
    those of a beam search, are cut between two that are the same in both.
    """
    whole = Stretch(0, len(log_probs), words)
    if len(log_probs) <= most:
        return [whole]
    path = log_probs.argmax(dim=-1).tolist()
    same = _same(alphabet.read(path).split(), words)
    cuts = _cuts([pause for pause in _pauses(path, alphabet) if pause.words in same], len(path), most)
    edges = [(0, 0, 0), *((cut.end, cut.begin, same[cut.words]) for cut in cuts), (len(path), 0, len(words))]
    return [Stretch(before, after, words[first:last]) for (_, before, first), (after, _, last) in pairwise(edges)]


def _pauses(path: Sequence[int], alphabet: Alphabet) -> Iterator[Pause]:
    space, at, words, spoken = alphabet.numbers.get(SPACE), 0, 0, False
    for letters, run in groupby(path, lambda number: number not in (BLANK, space)):
        frames = list(run)
        if letters:
            spoken = True
        elif spoken and space in frames and at + len(frames) < len(path):
            words += 1
            last = len(frames) - frames[::-1].index(space)
            yield Pause(len(frames), at + frames.index(space), at + last, words)
        at += len(frames)


def _same(decoded: Sequence[str], words: Sequence[str]) -> Mapping[int, int]:
    """By each greedily decoded word its place in `words`, if it and the one before are the same in both."""
    return {
        block.src_start + step: block.dest_start + step
        for block in Levenshtein.opcodes(decoded, words)
        if block.tag == "equal"
        for step in range(1, block.src_end - block.src_start)
    }


def _cuts(pauses: Sequence[Pause], frames: int, most: int) -> Iterator[Pause]:
    """At the longest pause within reach, or else the next one."""
    start = 0
    while frames - start > most:
        left = [pause for pause in pauses if pause.end > start]
        near = [pause for pause in left if pause.end <= start + most]
        if not left:
            return
        cut = max(near, key=lambda pause: (pause.frames, pause.end)) if near else left[0]
        yield cut
        start = cut.begin


def _fits(piece: Stretch, alphabet: Alphabet) -> bool:
    numbers = alphabet.spell(SPACE.join(piece.words))
    return bool(numbers) and frames_needed(numbers) <= piece.last - piece.first


def _aligned(log_probs: Tensor, piece: Stretch, alphabet: Alphabet, seconds: float) -> Iterator[Word]:
    numbers = alphabet.spell(SPACE.join(piece.words))
    if (piece.last - piece.first) * 2 * len(numbers) > CELLS:
        minutes = (piece.last - piece.first) * seconds / 60
        raise DataError(
            f"--times: {minutes:.0f} minutes without a pause between words that were heard for sure are too long to be "
            "aligned. A pause now and then was expected. Cut the recording into shorter files, or leave --times out."
        )
    frames = log_probs[piece.first : piece.last].float()[None]
    path, scores = forced_align(frames, torch.tensor([numbers], dtype=torch.int32), blank=BLANK)
    spans = iter(merge_tokens(path[0], scores[0].exp(), blank=BLANK))
    for word in piece.words:
        characters = [next(spans) for _ in word]
        start, end = ((piece.first + frame) * seconds for frame in (characters[0].start, characters[-1].end))
        yield Word(word, round(start, 3), round(end, 3))
        next(spans, None)
