"""From the scores of characters to a text: greedily, or by beam search with or without a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from taskkit import DataError, TaskkitError
from taskkit_speech import sections
from taskkit_speech.alphabet import BLANK, SPACE, Alphabet

Decode = Callable[[Tensor, Tensor], list[str]]
"""The texts of log-probabilities (batch, frames, classes) of clips of so many frames (batch,)."""
IMPOSSIBLE = -1e4
"""The logarithm of a probability that is none."""


def decoder(config: sections.Ctc, alphabet: Alphabet) -> Decode:
    """What a section asks for; raises TaskkitError when that is not installed, DataError when it cannot be used."""
    return Greedy(alphabet) if config.beam == 1 else BeamSearch(config, alphabet)


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
        self.words = sorted(_words(config))
        if self.words and self.space is None:
            raise DataError(
                "task.language_model: the training transcripts have no blanks between words, so that no word is found "
                "in them. Set it and task.words to null."
            )
        with TemporaryDirectory() as folder:
            self.search = _search(config, self._tokens(), self._lexicon(Path(folder)))

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """The texts."""
        scores = log_probs.float().cpu()
        return [self._text(one[:length]) for one, length in zip(scores, lengths.tolist(), strict=True)]

    def _text(self, scores: Tensor) -> str:
        if self.words:
            # A word of the list ends with a blank, and the last one has none.
            scores = F.pad(scores, (0, 0, 0, 1), value=IMPOSSIBLE)
            scores[-1, self.space] = 0.0
        found = self.search(scores[None].contiguous())[0]
        if not found:
            return ""
        return " ".join(found[0].words) if self.words else self.alphabet.write(found[0].tokens.tolist())

    def _tokens(self) -> list[str]:
        """The name of each class: its number, since some characters mean something to the library."""
        return [str(number) for number in range(len(self.alphabet))]

    def _lexicon(self, folder: Path) -> str | None:
        """The file that spells each word, as the library reads it."""
        if not self.words:
            return None
        spelt = [word for word in self.words if not self.alphabet.unknown(word)]
        if not spelt:
            raise DataError(
                f"task.language_model: no word of its {len(self.words):,} can be spelt with the characters of the "
                "training transcripts. Words normalised as these are were expected: lower case, for instance."
            )
        path = folder / "lexicon.txt"
        lines = (" ".join([word, *map(str, self.alphabet.spell(word + SPACE))]) for word in spelt)
        path.write_text("\n".join(lines) + "\n")
        return str(path)


def _search(config: sections.Ctc, tokens: list[str], lexicon: str | None) -> Any:
    try:
        from torchaudio.models.decoder import ctc_decoder

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
        raise TaskkitError(
            f"task.beam: beam search needs flashlight-text and, with a language model, kenlm: {error}. Install them: "
            "pip install 'taskkit-speech[decoder]', or set task.beam to 1."
        ) from None


def _last(lexicon: str) -> str:
    """The blank between words, with which every spelling ends."""
    with Path(lexicon).open() as file:
        return file.readline().split()[-1]


def _words(config: sections.Ctc) -> Iterator[str]:
    """The words that may be said; none: any characters."""
    if config.words is not None:
        yield from Path(config.words).expanduser().read_text().split()
    elif config.language_model is not None:
        path = Path(config.language_model).expanduser()
        if path.suffix != ".arpa":
            raise DataError(
                f"task.words: {path} is not text, so that its words cannot be read. A file of the words, one a line, "
                "was expected. Name it."
            )
        yield from _unigrams(path)


def _unigrams(path: Path) -> Iterator[str]:
    """The words of an ARPA file."""
    inside = False
    with path.open() as file:
        for line in file:
            if line.startswith("\\"):
                inside = line.strip() == "\\1-grams:"
            elif inside and len(columns := line.split("\t")) > 1 and not columns[1].startswith("<"):
                yield columns[1].strip()
