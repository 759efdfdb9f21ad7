"""From the scores of characters to a text: greedily, or by beam search with or without a language model."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from taskkit import DataError, TaskkitError, file_sha256
from taskkit_speech import sections
from taskkit_speech.alphabet import BLANK, SPACE, Alphabet

Decode = Callable[[Tensor, Tensor], list[str]]
"""The texts of log-probabilities (batch, frames, classes) and the frames of each clip (batch,)."""
IMPOSSIBLE = -1e4
"""The logarithm of 0, finite."""
KEPT = 2
"""Beam searches that are kept from one batch to the next: to read a language model may take minutes and gigabytes."""


def decoder(config: sections.Ctc, alphabet: Alphabet) -> Decode:
    """What decodes as a section says, to be shared by threads; the last few beam searches are kept.

    Raises TaskkitError when a library is not installed, and DataError for a file that cannot be used.
    """
    if config.beam == 1:
        return Greedy(alphabet)
    versions = tuple(_version(path) for path in (config.language_model, config.words) if path is not None)
    return _beam_search(astuple(config), alphabet, versions)


@lru_cache(KEPT)
def _beam_search(settings: tuple[Any, ...], alphabet: Alphabet, versions: tuple[Any, ...]) -> BeamSearch:
    """A beam search by all that decides it: `versions` tells a file from one that was written in its place."""
    return BeamSearch(sections.Ctc(*settings), alphabet)


def _version(path: str) -> tuple[int, ...] | None:
    """What changes when a file does; None: it is not there."""
    try:
        status = Path(path).expanduser().stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def sha256(path: str) -> str:
    """The hash of a file that decoding reads; raises DataError when it cannot be read."""
    try:
        return file_sha256(Path(path).expanduser())
    except OSError as error:
        raise _unreadable(path, "language model or a file of words", error) from None


class Greedy:
    """The most probable character of each frame."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet = alphabet

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """The texts."""
        best = log_probs.argmax(dim=-1).tolist()
        return [self.alphabet.read(path[:length]) for path, length in zip(best, lengths.tolist(), strict=True)]


class BeamSearch:
    """flashlight-text's decoder, through torchaudio: with words, those of a list alone; without, any characters."""

    def __init__(self, config: sections.Ctc, alphabet: Alphabet) -> None:
        self.alphabet = alphabet
        self.space = alphabet.numbers.get(SPACE)
        self.words = sorted(set(_words(config)))
        if self.words and self.space is None:
            raise DataError(
                "task.language_model: the training transcripts have no blanks between words, so that no word is found "
                "in them. Set it and task.words to null."
            )
        with TemporaryDirectory() as folder:
            self.search = _search(config, self._tokens(), self._lexicon(config, Path(folder)))
        self.lock = Lock()  # the library's decoder holds the hypotheses of the one clip that it is at

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """The texts."""
        scores = log_probs.float().cpu()
        return [self._text(one[:length]) for one, length in zip(scores, lengths.tolist(), strict=True)]

    def _text(self, scores: Tensor) -> str:
        if self.words:
            # A word of the list ends with a blank, and the last one has none.
            scores = F.pad(scores, (0, 0, 0, 1), value=IMPOSSIBLE)
            scores[-1, self.space] = 0.0
        with self.lock:
            hypotheses = self.search(scores[None].contiguous())[0]
        if not hypotheses:
            return ""
        best = hypotheses[0]
        return " ".join(best.words) if self.words else self.alphabet.write(best.tokens.tolist())

    def _tokens(self) -> list[str]:
        """The name of each class: its number, since some characters mean something to the library."""
        return [str(number) for number in range(len(self.alphabet))]

    def _lexicon(self, config: sections.Ctc, folder: Path) -> str | None:
        """The file that spells each word, as the library reads it."""
        if not self.words:
            return None
        spelt = [word for word in self.words if not self.alphabet.unknown(word)]
        if not spelt:
            raise DataError(
                f"{config.words or config.language_model}: no word of its {len(self.words):,} can be spelt with the "
                "characters of the training transcripts. Words normalised as these are were expected: lower case, for "
                "instance."
            )
        path = folder / "lexicon.txt"
        lines = (" ".join([word, *map(str, self.alphabet.spell(word + SPACE))]) for word in spelt)
        path.write_text("\n".join(lines) + "\n")
        return str(path)


def _search(config: sections.Ctc, tokens: list[str], lexicon: str | None) -> Any:
    _require(language_model=config.language_model is not None)
    from torchaudio.models.decoder import ctc_decoder

    try:
        return ctc_decoder(
            lexicon=lexicon,
            tokens=tokens,
            lm=None if config.language_model is None else str(Path(config.language_model).expanduser()),
            beam_size=config.beam,
            lm_weight=config.lm_weight,
            word_score=config.word_score,
            log_add=True,
            blank_token=tokens[BLANK],
            sil_token=(lexicon and _last(lexicon)) or tokens[BLANK],
        )
    except RuntimeError as error:
        if config.language_model is None:
            raise
        raise _unreadable(config.language_model, "language model, an .arpa file or KenLM's .bin,", error) from None


def _require(*, language_model: bool) -> None:
    """Raise TaskkitError unless the libraries of the extra are there."""
    library = "flashlight.lib.text.decoder"
    try:
        for name in [library, f"{library}.kenlm"] if language_model else [library]:
            importlib.import_module(name)
    except ImportError as error:
        raise TaskkitError(
            f"task.beam: beam search needs flashlight-text and, with a language model, kenlm: {error}. Install them: "
            "pip install 'taskkit-speech[decoder]', or set task.beam to 1."
        ) from None


def _unreadable(path: str, expected: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[-1]
    return DataError(f"{path}: it cannot be read: {reason.rstrip('.')}. A {expected} was expected. Correct the path.")


def _last(lexicon: str) -> str:
    """The blank between words, with which every spelling ends."""
    with Path(lexicon).open() as file:
        return file.readline().split()[-1]


def _words(config: sections.Ctc) -> Iterator[str]:
    """The words that may be said; none: any characters."""
    if config.words is not None:
        yield from _read(config.words, _listed, "text file of words, one a line,")
    elif config.language_model is not None:
        if Path(config.language_model).expanduser().is_file() and not config.language_model.endswith(".arpa"):
            raise DataError(
                f"task.words: {config.language_model} is not text, so that its words cannot be read. A file of the "
                "words, one a line, was expected. Name it."
            )
        yield from _read(config.language_model, _unigrams, "language model in ARPA's format, which is text,")


def _read(path: str, words_of: Callable[[Iterable[str]], Iterator[str]], expected: str) -> list[str]:
    """The words of a file; raises DataError when there are none, for then any could be said."""
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            words = list(words_of(file))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, expected, error) from None
    if not words:
        raise DataError(f"{path}: it has no words. A {expected} was expected. Correct the path.")
    return words


def _listed(lines: Iterable[str]) -> Iterator[str]:
    """The words of a list."""
    for line in lines:
        yield from line.split()


def _unigrams(lines: Iterable[str]) -> Iterator[str]:
    """The words of an ARPA file."""
    inside = False
    for line in lines:
        if line.startswith("\\"):
            inside = line.strip() == "\\1-grams:"
        elif inside and len(columns := line.split("\t")) > 1 and not columns[1].startswith("<"):
            yield columns[1].strip()
