import sys

import pytest
import torch

from taskkit import DataError, TaskkitError
from taskkit_speech import sections
from taskkit_speech.alignment import align, stretches
from taskkit_speech.alphabet import Alphabet
from taskkit_speech.decoding import decoder

ALPHABET = Alphabet(" acehkt")
ARPA = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-1.0\t<s>\t-0.3
-1.0\t</s>\t0
-3.0\t<unk>\t0
-0.7\tthe\t-0.3
-0.7\tcat\t-0.3
-2.0\tkat\t-0.3

\\2-grams:
-0.3\t<s> the
-0.2\tthe cat
-2.5\tthe kat
-0.3\tcat </s>

\\end\\
"""


def heard(path, also=()):
    """Log-probabilities of one clip in which these characters are heard (`-`: the blank), and others nearly as well."""
    scores = torch.full((1, len(path), len(ALPHABET)), -6.0)
    for frame, character in enumerate(path):
        scores[0, frame, ALPHABET.numbers.get(character, 0)] = 0.0
    for frame, character in also:
        scores[0, frame, ALPHABET.numbers[character]] = -0.5
    return scores.log_softmax(dim=-1), torch.tensor([len(path)])


@pytest.fixture
def arpa(tmp_path):
    (tmp_path / "lm.arpa").write_text(ARPA)
    return str(tmp_path / "lm.arpa")


def test_greedy_decoding_takes_the_best_of_each_frame_and_stops_at_the_length():
    decode = decoder(sections.Ctc(), ALPHABET)
    scores, lengths = heard("tthhe-- c-aat")
    assert decode(scores, lengths) == ["the cat"]
    assert decode(scores, lengths - 1) == ["the ca"]


def test_beam_search_adds_up_the_paths_of_a_text():
    pytest.importorskip("flashlight")
    # Blank is the best of both frames, but `a`, `a-` and `-a` together are likelier than silence.
    scores = torch.full((1, 2, len(ALPHABET)), -20.0)
    scores[0, :, 0], scores[0, :, ALPHABET.numbers["a"]] = 0.0, -0.3
    scores, lengths = scores.log_softmax(dim=-1), torch.tensor([2])
    assert decoder(sections.Ctc(), ALPHABET)(scores, lengths) == [""]
    assert decoder(sections.Ctc(beam=10), ALPHABET)(scores, lengths) == ["a"]


def test_a_language_model_decides_between_what_sounds_alike(arpa):
    pytest.importorskip("kenlm")
    scores, lengths = heard("the -kat", also=[(5, "c")])
    assert decoder(sections.Ctc(), ALPHABET)(scores, lengths) == ["the kat"]
    assert decoder(sections.Ctc(beam=20, language_model=arpa), ALPHABET)(scores, lengths) == ["the cat"]
    deaf = sections.Ctc(beam=20, language_model=arpa, lm_weight=0.0)
    assert decoder(deaf, ALPHABET)(scores, lengths) == ["the kat"]


def test_only_words_of_the_list_are_said(tmp_path):
    pytest.importorskip("flashlight")
    (tmp_path / "words.txt").write_text("the\nhat\n")
    scores, lengths = heard("the -kat", also=[(5, "h")])
    config = sections.Ctc(beam=20, words=str(tmp_path / "words.txt"))
    assert decoder(config, ALPHABET)(scores, lengths) == ["the hat"]


def test_a_list_that_was_written_anew_is_read_anew(tmp_path):
    pytest.importorskip("flashlight")
    scores, lengths = heard("the -kat", also=[(5, "h")])
    config = sections.Ctc(beam=20, words=str(tmp_path / "words.txt"))
    for words, text in (("the\nhat\n", "the hat"), ("the\nkat\n", "the kat"), ("the\ncat\nhat", "the hat")):
        (tmp_path / "new.txt").write_text(words)
        (tmp_path / "new.txt").replace(tmp_path / "words.txt")
        assert decoder(config, ALPHABET)(scores, lengths) == [text]
    assert decoder(config, ALPHABET) is decoder(config, ALPHABET)


def test_words_that_cannot_be_spelt_are_an_error_and_so_is_a_binary_without_a_list(tmp_path):
    (tmp_path / "words.txt").write_text("UPPER\nCASE\n")
    with pytest.raises(DataError, match="no word of its 2 can be spelt"):
        decoder(sections.Ctc(beam=20, words=str(tmp_path / "words.txt")), ALPHABET)
    (tmp_path / "lm.bin").write_bytes(b"mmap")
    with pytest.raises(DataError, match=r"task\.words: .*lm\.bin is not text"):
        decoder(sections.Ctc(beam=20, language_model=str(tmp_path / "lm.bin")), ALPHABET)


@pytest.mark.parametrize("field", ["words", "language_model"])
@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"", "it has no words"), (b"\xff\xfe\x00", "can't decode")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, reason, field):
    path = tmp_path / "file.arpa"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"file\.arpa: .*{reason}.* was expected. Correct the path"):
        decoder(sections.Ctc(beam=20, **{field: str(path)}), ALPHABET)


@pytest.mark.parametrize("suffix", [".arpa", ".bin"])
def test_a_broken_language_model_is_not_taken_for_a_missing_library(tmp_path, suffix):
    pytest.importorskip("kenlm")
    path, words = tmp_path / f"lm{suffix}", tmp_path / "words.txt"
    path.write_text(ARPA[: len(ARPA) // 2])
    words.write_text("the cat")
    with pytest.raises(DataError, match=rf"lm\{suffix}: it cannot be read: .*End of file.*Correct the path"):
        decoder(sections.Ctc(beam=20, language_model=str(path), words=str(words)), ALPHABET)


def test_a_missing_library_is_told_with_how_to_install_it(arpa, monkeypatch):
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder.kenlm", None)
    pytest.importorskip("flashlight.lib.text.decoder")
    with pytest.raises(TaskkitError, match=r"pip install 'taskkit-speech\[decoder\]'"):
        decoder(sections.Ctc(beam=20, language_model=arpa), ALPHABET)


def test_each_word_is_where_its_characters_were_heard():
    scores, _ = heard("--t-he--- --ka--t-")
    words = align(scores[0], "the kat", ALPHABET, seconds=0.02)
    assert [word.word for word in words] == ["the", "kat"]
    assert [(word.start, word.end) for word in words] == [(0.04, 0.12), (0.24, 0.34)]


def spoken(minutes, seconds=0.02):
    """Log-probabilities of words of random letters, unsure of them, with pauses, and when each word was said."""
    torch.manual_seed(0)
    path, words = [0] * 3, []
    while len(path) * seconds < minutes * 60:
        letters = torch.randint(2, len(ALPHABET), (int(torch.randint(1, 5, ())),)).tolist()
        start = len(path)
        path += [frame for letter in letters for frame in (letter, letter, 0)][:-1]
        words.append((ALPHABET.write(letters), round(start * seconds, 3), round(len(path) * seconds, 3)))
        path += [0, ALPHABET.numbers[" "]] + [0] * int(torch.randint(2, 40, ()))
    scores = torch.randn(len(path), len(ALPHABET))
    scores[torch.arange(len(path)), torch.tensor(path)] += 9
    return scores.log_softmax(dim=-1), words


def test_a_long_recording_is_aligned_piece_by_piece_to_the_same_times():
    scores, words = spoken(minutes=1)
    text = " ".join(word for word, _, _ in words)
    whole = align(scores, text, ALPHABET, 0.02)
    assert [(word.word, word.start, word.end) for word in whole] == words
    assert align(scores, text, ALPHABET, 0.02, most=5) == whole


def test_no_piece_of_a_quarter_of_an_hour_is_longer_than_a_minute():
    scores, words = spoken(minutes=15)
    text = [word for word, _, _ in words]
    pieces = stretches(scores, text, ALPHABET, 3000)
    assert max(piece.last - piece.first for piece in pieces) <= 3000
    assert [word for piece in pieces for word in piece.words] == text
    found = align(scores, " ".join(text), ALPHABET, 0.02)
    assert [(word.word, word.start, word.end) for word in found] == words


def test_words_of_a_beam_search_are_cut_where_they_are_those_that_were_heard():
    scores, words = spoken(minutes=1)
    text = [word for word, _, _ in words]
    text[10:12] = ["the"]
    text[30:30] = ["cat"]
    found = align(scores, " ".join(text), ALPHABET, 0.02, most=5)
    assert [word.word for word in found] == text
    assert [(word.word, word.start, word.end) for word in found[40:]] == words[40:]
    other = ["hat"] * len(text)
    assert len(stretches(scores, other, ALPHABET, 250)) == 1
    assert [word.word for word in align(scores, " ".join(other), ALPHABET, 0.02, most=5)] == other


def test_what_is_too_long_to_be_aligned_is_refused():
    scores = torch.zeros(1, 1).expand(60_000, len(ALPHABET))
    with pytest.raises(DataError, match="--times: 20 minutes without a pause"):
        align(scores, "ka" * 12_000, ALPHABET, seconds=0.02)


def test_a_text_that_does_not_fit_into_the_frames_has_no_times():
    scores, _ = heard("ka")
    assert align(scores[0], "kat", ALPHABET, seconds=0.02) == []
    assert align(scores[0], "", ALPHABET, seconds=0.02) == []
