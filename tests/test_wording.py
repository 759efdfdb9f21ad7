"""Words for messages."""

import json
import os
from pathlib import Path

import pytest

from taskkit import did_you_mean
from taskkit.wording import json_line, nearest, on_one_line, path_text, percent, printable

WORDS = ("image.vit", "image.Resnet", "adam", "adamw", "wav2vec2-base")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("image.vlt", "image.vit"),
        ("IMAGE.RESNET", "image.Resnet"),
        ("adamW", "adamw"),
        ("wav2vec2", "wav2vec2-base"),
        ("speech", ""),
    ],
)
def test_the_word_that_was_meant_is_found_whatever_its_case(word: str, meant: str) -> None:
    assert nearest(word, WORDS) == meant
    assert did_you_mean(word, iter(WORDS)) == (f" Did you mean {meant!r}?" if meant else "")


def test_how_near_is_near_can_be_said() -> None:
    assert nearest("image.net", WORDS) == "image.Resnet"
    assert nearest("image.net", WORDS, cutoff=0.9) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer 大\tx\ny", "größer 大\tx\ny"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("safe\rforged", r"safe\rforged"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("gpj\u202e.exe", r"gpj\u202e.exe"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_a_terminal_acts_upon_is_escaped_and_all_else_stays(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    assert json.loads(json_line({"a": text})) == {"a": text}
    json_line(text).encode()
    assert not set(json_line(text)) & set("\x1b\x9b\x7f\r\u202e")


def test_a_cell_has_neither_tabs_nor_ends_of_lines() -> None:
    assert on_one_line("a\tb\nc") == r"a\tb\nc"


def test_a_path_becomes_text_that_can_be_written_whatever_its_bytes() -> None:
    assert path_text(Path("a") / os.fsdecode(b"caf\xe9.png")) == r"a/caf\xe9.png"
    assert path_text("a/größe.png") == "a/größe.png"


@pytest.mark.parametrize(
    ("share", "digits", "said"),
    [
        (0, 1, "0.0%"),
        (1e-9, 1, "less than 0.1%"),
        (0.00049, 1, "less than 0.1%"),
        (0.0006, 1, "0.1%"),
        (0.9999, 1, "more than 99.9%"),
        (1, 1, "100.0%"),
        (0.00001, 2, "less than 0.01%"),
        (0.004, 0, "less than 1%"),
        (0.999, 0, "more than 99%"),
        (0.25, 0, "25%"),
    ],
)
def test_a_share_of_a_little_is_not_nothing_and_nearly_all_is_not_all(share, digits, said):
    assert percent(share, digits) == said
