import pytest

from taskkit import DataError
from taskkit_speech.alphabet import Alphabet, frames_needed


def test_it_is_learnt_from_texts_in_a_fixed_order():
    assert Alphabet.of(["ba", "c a"]) == Alphabet.of(["c a", "ab"]) == Alphabet(" abc")
    assert len(Alphabet(" abc")) == 5


def test_texts_without_characters_are_refused():
    with pytest.raises(DataError, match="hold no character"):
        Alphabet.of(["", ""])


def test_what_is_spelt_is_written_again():
    alphabet = Alphabet.of(["ça va où"])
    assert alphabet.write(alphabet.spell("où ça va")) == "où ça va"


def test_unknown_characters_are_counted_and_left_out():
    alphabet = Alphabet("abc")
    assert alphabet.spell("abxc!") == [1, 2, 3]
    assert alphabet.unknown("abxc!") == 2


def test_a_path_is_read_as_ctc_says():
    alphabet = Alphabet(" ab")
    assert alphabet.read([0, 2, 2, 0, 2, 3, 3, 0, 1, 1, 0, 1, 2, 0]) == "aab a"
    assert alphabet.read([0, 0]) == ""


def test_repeats_need_a_frame_more():
    assert frames_needed([1, 2, 3]) == 3
    assert frames_needed([1, 1, 1, 2]) == 6
    assert frames_needed([]) == 0
