"""Data and weights that a program makes up, where data are a person's own and there is no network.

Each function fills a folder once, of a size that is named, and gives the changes that point a recipe at it.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, Wav2Vec2Config, Wav2Vec2Model

CLASSES = 10
DISTINCT = 256
"""Pictures that are drawn; further files are links to these, which are read and decoded like any."""
RATE = 16000
SPOKEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Amount:
    """How much is made up."""

    pictures: int
    pixels: int
    """Along the shorter side."""
    texts: int
    recordings: int
    seconds: float
    """Of a recording at most; a third of it at least."""
    people: int
    films: int
    network: dict[str, int]
    """What is otherwise in the configuration of a transformer; empty: it is that of BASE."""


WHOLE = Amount(8192, 375, 40_000, 512, 15.0, 6000, 3400, {})
TINY_NETWORK = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
TINY = Amount(240, 40, 400, 120, 0.6, 120, 60, TINY_NETWORK)

Maker = Callable[[Path, Amount], Sequence[str]]


def made(name: str, maker: Callable[[Path], None], folder: Path) -> Path:
    """A folder that `maker` fills, unless it has been filled before; one that was broken off is filled anew."""
    whole, half = folder / name, folder / f".{name}"
    if not whole.exists():
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        maker(half)
        half.rename(whole)
    return whole


def images(folder: Path, amount: Amount) -> Sequence[str]:
    """Photographs in a folder for each class: JPEG files of noise in a colour of the class."""

    def fill(place: Path) -> None:
        noise = np.random.default_rng(0)
        for number in range(amount.pictures):
            path = place / f"class_{number % CLASSES}" / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            if number < DISTINCT:
                height, width = amount.pixels, amount.pixels * 4 // 3
                coarse = noise.integers(0, 160, (height // 8, width // 8, 3), dtype=np.uint8)
                coarse[..., number % 3] += np.uint8(9 * (number % CLASSES))
                Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)
            else:
                same = number % CLASSES + CLASSES * (number // CLASSES % (DISTINCT // CLASSES))
                os.link(place / f"class_{same % CLASSES}" / f"{same}.jpg", path)

    return [f"data.root={made('images', fill, folder)}", "data.val_share=0.02", "data.test_share=0.02"]


def texts(folder: Path, amount: Amount) -> Sequence[str]:
    """Texts of made-up words, of a length as people write them, and a BERT that was not trained with its words."""
    words = [f"w{number}" for number in range(BertConfig().vocab_size - 4)]

    def table(place: Path) -> None:
        noise = np.random.default_rng(0)
        lengths = np.clip(noise.lognormal(4.5, 0.6, amount.texts), 5, 250).astype(int)
        rows = []
        for number, length in enumerate(lengths):
            label = number % CLASSES
            chosen = noise.zipf(1.3, length) % (len(words) - CLASSES)
            rows.append((f"{words[-1 - label]} {' '.join(words[n] for n in chosen)} {number}", f"class {label}"))
        _table(place / "texts.csv", ["text", "label"], rows)

    def weights(place: Path) -> None:
        known = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
        tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(place / "tokenizer.json"))
        BertConfig(**amount.network).save_pretrained(place)

    return [
        f"data.file={made('texts', table, folder) / 'texts.csv'}",
        f"model.weights={made('bert', weights, folder)}",
        "model.pretrained=false",
        "data.val_share=0.02",
        "data.test_share=0.02",
    ]


def recordings(folder: Path, amount: Amount) -> Sequence[str]:
    """Recordings of noise with transcripts, in a table."""

    def fill(place: Path) -> None:
        rows = [(path.name, text, split) for path, text, split in _spoken(place, amount, "wav")]
        _table(place / "recordings.csv", ["path", "text", "split"], rows)

    return [f"data.table={made('recordings', fill, folder) / 'recordings.csv'}", "data.language=en"]


def wav2vec2(folder: Path, amount: Amount) -> Sequence[str]:
    """A wav2vec 2.0 that was not trained, as transformers saves one."""
    shape: dict[str, Any] = dict(amount.network)
    if shape:
        shape |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "conv_dim": [16] * 7}

    def fill(place: Path) -> None:
        Wav2Vec2Model(Wav2Vec2Config(**shape)).save_pretrained(place)

    return [f"model.weights={made('wav2vec2', fill, folder)}"]


def librispeech(folder: Path, amount: Amount) -> Sequence[str]:
    """The same recordings in LibriSpeech's folders."""
    parts = {"train": "train-clean-100", "val": "dev-clean", "test": "test-clean"}
    others = ("train-clean-360", "train-other-500")

    def fill(place: Path) -> None:
        for number, (path, text, split) in enumerate(_spoken(place, amount, "flac")):
            for speaker, part in enumerate((parts[split], *(others if split == "train" and number < 20 else ())), 1):
                chapter = place / "LibriSpeech" / part / f"{speaker}" / "1"
                chapter.mkdir(parents=True, exist_ok=True)
                name = f"{speaker}-1-{number:04d}"
                os.link(path, chapter / f"{name}.flac")
                with (chapter / f"{speaker}-1.trans.txt").open("a") as transcripts:
                    transcripts.write(f"{name} {text.upper()}\n")
            path.unlink()

    return [f"data.root={made('librispeech', fill, folder)}"]


def ratings(folder: Path, amount: Amount) -> Sequence[str]:
    """Ratings in GroupLens' files, as many a person as in MovieLens-1M."""

    def fill(place: Path) -> None:
        noise = np.random.default_rng(0)
        with (place / "ratings.dat").open("w") as file:
            for person in range(1, amount.people + 1):
                taken = min(amount.films // 2, 20 + int(noise.exponential(145)))
                films = 1 + (noise.permutation(amount.films)[:taken] * noise.random() ** 0.5).astype(int)
                at = 950_000_000 + 1000 * person
                file.writelines(f"{person}::{film}::5::{at + n}\n" for n, film in enumerate(dict.fromkeys(films)))
        lines = [f"{film}::Film {film} (2000)::Drama\n" for film in range(1, amount.films + 1)]
        (place / "movies.dat").write_text("".join(lines))

    return [f"data.root={made('ratings', fill, folder)}"]


def both(*makers: Maker) -> Maker:
    """What several of these make."""
    return lambda folder, amount: [change for maker in makers for change in maker(folder, amount)]


def _spoken(place: Path, amount: Amount, kind: str) -> Iterable[tuple[Path, str, str]]:
    """Recordings of noise, each with its transcript and its split: eight of ten to train on."""
    noise = np.random.default_rng(0)
    for number in range(amount.recordings):
        seconds = amount.seconds * (1 - 2 / 3 * noise.random())
        words = noise.choice(SPOKEN, max(1, int(seconds)))
        path = place / f"{number}.{kind}"
        soundfile.write(path, noise.standard_normal(int(RATE * seconds)) * 0.1, RATE)
        yield path, " ".join(words), {8: "val", 9: "test"}.get(number % 10, "train")


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
