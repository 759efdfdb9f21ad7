import random

import pytest

from taskkit_text import vocabulary


def learnt(kind, *texts, size=100):
    return vocabulary.learn(kind, texts, size)


def test_characters_are_single_and_blanks_are_dropped():
    assert learnt("characters", "你好 Hi!").encode("好 你hi", add_special_tokens=False).tokens == ["好", "你", "h", "i"]


def test_words_are_in_lower_case_and_apart_from_punctuation():
    tokenizer = learnt("words", "Hello, world")
    assert tokenizer.encode("World,hello", add_special_tokens=False).tokens == ["world", ",", "hello"]


def test_words_of_ascii_are_those_of_the_library():
    drawn, cut = random.Random(0), vocabulary.cut("words")
    texts = ["", " ", *("".join(chr(drawn.randrange(128)) for _ in range(80)) for _ in range(500))]
    for text in texts:
        expected = [piece for piece, _ in cut.pre_tokenize_str(vocabulary.NORMALISE.normalize_str(text))]
        assert vocabulary.ascii_words(text) == expected


def test_word_pieces_make_words_that_were_not_seen():
    tokenizer = learnt("wordpiece", "walk walks walking talk talks talking sing", size=60)
    pieces = tokenizer.encode("singing", add_special_tokens=False).tokens
    assert len(pieces) > 1
    assert vocabulary.UNKNOWN not in pieces


@pytest.mark.parametrize("kind", ["characters", "words", "wordpiece"])
def test_the_same_texts_give_the_same_vocabulary(kind):
    texts = [f"{first}{second} {second}{third}" for first in "abcd" for second in "efgh" for third in "ijkl"]
    first, *others = (learnt(kind, *texts, size=40) for _ in range(4))
    assert all(other.to_str() == first.to_str() for other in others)


def test_only_the_commonest_tokens_are_known():
    tokenizer = learnt("words", "often often often seldom", size=len(vocabulary.SPECIAL) + 1)
    assert tokenizer.encode("often seldom", add_special_tokens=False).tokens == ["often", vocabulary.UNKNOWN]


@pytest.mark.parametrize("kind", ["characters", "words", "wordpiece"])
@pytest.mark.parametrize("size", [16, 500])
def test_there_are_never_more_tokens_than_asked_for(kind, size):
    chance = random.Random(0)
    texts = ["".join(chr(0x4E00 + int(chance.expovariate(0.005))) for _ in range(20)) for _ in range(200)]
    tokenizer = learnt(kind, *texts, size=size)
    assert len(set("".join(texts))) > 500
    assert tokenizer.get_vocab_size() <= size
    assert learnt(kind, *texts, size=size).to_str() == tokenizer.to_str()


def test_of_too_many_letters_the_commonest_make_word_pieces():
    known = learnt("wordpiece", "ab ab ba ba cd", size=len(vocabulary.SPECIAL) + 4).get_vocab()
    assert set(known) == {*vocabulary.SPECIAL, "a", "b", "##a", "##b"}


def test_special_tokens_come_first_and_padding_is_0():
    tokenizer = learnt("words", "a b")
    assert [tokenizer.token_to_id(token) for token in vocabulary.SPECIAL] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("很好，非常喜欢", "characters"),
        ("とても良い", "characters"),
        ("ดีมาก", "characters"),
        ("very good 好", "words"),
        ("좋은 책", "words"),
        ("очень хорошо", "words"),
        ("", "words"),
    ],
)
def test_a_script_without_blanks_is_cut_into_characters(text, expected):
    assert vocabulary.choose("auto", [text], usual="words") == expected


def test_what_is_asked_for_is_taken_whatever_the_script():
    assert vocabulary.choose("wordpiece", ["很好"], usual="words") == "wordpiece"


def test_word_pieces_learn_nothing_from_a_word_that_they_would_not_know():
    texts = ["the cat sat", "the dog sat"] * 9
    usual = vocabulary.learn("wordpiece", [*texts, "the cat"] * 9, 60)
    long = "".join(random.Random(0).choices("thecasdog", k=vocabulary.LONGEST + 1))
    with_long = vocabulary.learn("wordpiece", [*texts, f"the {long} cat"] * 9, 60)
    assert usual.get_vocab() == with_long.get_vocab()
    assert with_long.encode(long).tokens[0] == vocabulary.UNKNOWN
