import pickle

import pytest
import torch

from taskkit import Classes, DataSpec, Example
from taskkit_text import vocabulary
from taskkit_text.facts import Text
from taskkit_text.tokens import TokenProcessor, tokenise

LETTERS = "a b c d e f g h"
TOKENIZER = vocabulary.learn("words", [LETTERS], 50)


def tokens(parts, max_length, truncate):
    encoding, truncated = tokenise(TOKENIZER, parts, max_length, truncate)
    return " ".join(encoding.tokens).replace(vocabulary.END, "|"), truncated


@pytest.mark.parametrize(
    ("parts", "max_length", "truncate", "expected"),
    [
        (["a b c"], 4, "head", ("a b c |", False)),
        (["a b c d e"], 4, "head", ("a b c |", True)),
        (["a b c d e"], 5, "head_tail", ("a b d e |", True)),
        (["a b c d e"], 4, "head_tail", ("a b e |", True)),
        ([""], 4, "head", ("|", False)),
        (["a b", "c"], 8, "head", ("a b | c |", False)),
        (["a b c d e f", "g h"], 8, "head", ("a b c d | g h |", True)),
        (["g h", "a b c d e f"], 8, "head", ("g h | a b c d |", True)),
        (["a b c d", "e f g h"], 7, "head", ("a b c | e f |", True)),
        (["a b c d e f", "g h"], 8, "head_tail", ("a b e f | g h |", True)),
    ],
)
def test_of_a_long_text_what_was_asked_for_is_kept_and_its_end_is_marked(parts, max_length, truncate, expected):
    assert tokens(parts, max_length, truncate) == expected


def fitted(pairs=False, **settings):
    spec = DataSpec(Text(pairs), Classes(("x", "y")), "f")
    processor = TokenProcessor(spec, **{"max_length": 5, "truncate": "head", "round_to": 4, **settings})
    processor.tokenizer = TOKENIZER
    return processor


def test_a_truncated_sample_says_so():
    notes = [fitted().encode(Example("1", text))[0]["note_truncated"] for text in ("a b", LETTERS)]
    assert [int(note) for note in notes] == [0, 1]


def test_a_sample_without_a_target_has_none():
    (known,) = fitted().encode(Example("1", "a b", 1))
    (unknown,) = fitted().encode(Example("1", "a b"))
    assert known["target"] == 1
    assert known["target"].dtype == torch.int64
    assert set(known) - set(unknown) == {"target"}
    assert "target" not in fitted().collate([unknown])


def test_padding_is_a_number_of_its_own_beyond_the_end_of_each_text():
    processor = fitted()
    processor.padding = 7
    samples = [processor.encode(Example(text, text, 0))[0] for text in ("a", "a b c")]
    batch = processor.collate(samples)
    assert batch["input_ids"].tolist() == [[*samples[0]["input_ids"].tolist(), 7, 7], samples[1]["input_ids"].tolist()]
    assert batch["attention_mask"].tolist() == [[True, True, False, False], [True] * 4]
    assert batch["input_ids"].dtype == torch.int64
    assert processor.capacity(batch) == 8


def test_of_a_pair_each_token_says_which_text_it_is_of():
    processor = fitted(pairs=True, max_length=9)
    processor.segments = True
    (sample,) = processor.encode(Example("1", ("a b", "c"), 0))
    assert sample["token_type_ids"].tolist() == [0, 0, 0, 1, 1]
    assert processor.collate([sample])["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 0, 0, 0]]


def test_encoding_survives_saving_and_other_processes():
    first, second = fitted(), fitted()
    second.tokenizer = vocabulary.learn("words", ["z"], 50)
    second.load_state_dict(first.state_dict())
    for other in (second, pickle.loads(pickle.dumps(first))):
        assert torch.equal(*(p.encode(Example("1", LETTERS))[0]["input_ids"] for p in (first, other)))


def test_predict_reads_lines_and_tables_as_its_options_say(tmp_path):
    table = tmp_path / "reviews.csv"
    table.write_text("id,body\n1,good\n2,bad\n")
    processor = fitted()
    assert [example.input for example in processor.read("a line of text")] == ["a line of text"]
    processor.asked = processor.predict_options(column="body")
    assert [example.input for example in processor.read(str(table))] == ["good", "bad"]
