"""Vocabularies learnt from training texts: characters, words or word pieces, by the `tokenizers` library."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

Tokens = Literal["characters", "words", "wordpiece"]

PADDING, UNKNOWN, END = SPECIAL = "[PAD]", "[UNK]", "[END]"
"""Numbered from 0 in this order."""
WITHOUT_BLANKS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese characters."""
LONGEST = 100
"""Characters of the longest word that word pieces are looked for in, here and in the `tokenizers` library."""
_ASCII_WORDS = re.compile(r"[!-/:-@\[-`{-~]|[^\t-\r !-/:-@\[-`{-~]+")
"""Punctuation marks, and what stands between these and blanks."""
_TOO_LONG = re.compile(rf"\w{{{LONGEST + 1},}}")
SAMPLE = 1000
"""Texts by which a script is recognised."""
NORMALISE = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])


def choose(tokens: Tokens | Literal["auto"], texts: Iterable[str], usual: Tokens) -> Tokens:
    """What to cut texts into: what is asked for; or characters where no blanks part words, else the `usual`."""
    if tokens != "auto":
        return tokens
    start = "".join(islice(texts, SAMPLE))
    return "characters" if len(WITHOUT_BLANKS.findall(start)) > 0.3 * len(start) else usual


def cut(tokens: Tokens) -> pre_tokenizers.PreTokenizer:
    """What parts a text into characters, or into words and punctuation marks; blanks are dropped."""
    if tokens != "characters":
        return pre_tokenizers.BertPreTokenizer()
    return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")])


def ascii_words(text: str) -> list[str]:
    """Words and punctuation marks of a text of ASCII, in lower case: what NORMALISE and `cut` make of it, but fast."""
    return _ASCII_WORDS.findall(text.lower())


def learn(tokens: Tokens, texts: Sequence[str], size: int) -> Tokenizer:
    """A tokenizer of the `size` commonest tokens of the texts, in lower case; END marks where a text ends.

    The same texts give the same one.
    """
    tokenizer = _pieces(texts, size) if tokens == "wordpiece" else _whole(tokens, texts, size)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B:1 {END}:1", special_tokens=[(END, SPECIAL.index(END))]
    )
    return tokenizer


def _whole(tokens: Tokens, texts: Sequence[str], size: int) -> Tokenizer:
    tokenizer = _tokenizer(models.WordLevel(unk_token=UNKNOWN), tokens)
    trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _pieces(texts: Sequence[str], size: int) -> Tokenizer:
    """Word pieces (Schuster and Nakajima, 2012), joined by how often they meet.

    A word of more than `LONGEST` characters is unknown to the model; to learn from it takes the square of its length.
    """
    texts = [_TOO_LONG.sub(" ", text) for text in texts]
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(NORMALISE.normalize_str(text))
    common = sorted((letter for letter in counts if not letter.isspace()), key=lambda each: (-counts[each], each))
    # Each is known twice, as it begins a word and as it stands inside one.
    letters = sorted(common[: (size - len(SPECIAL)) // 2])
    # What stands inside words is numbered in random order, by which ties are broken, unless it is known beforehand.
    inside = [f"##{letter}" for letter in letters]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL, *inside],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    trained = _tokenizer(models.WordPiece(unk_token=UNKNOWN), "wordpiece")
    trained.train_from_iterator(texts, trainer)
    return _tokenizer(models.WordPiece(trained.get_vocab(), unk_token=UNKNOWN), "wordpiece")


def _tokenizer(model: models.Model, tokens: Tokens) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = NORMALISE
    tokenizer.pre_tokenizer = cut(tokens)
    return tokenizer
