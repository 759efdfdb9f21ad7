import json
import pickle
import resource
import time

import pytest
import torch
from tokenizers import Tokenizer, processors

from taskkit import Classes, DataSpec, Example
from taskkit_text import vocabulary
from taskkit_text.arrays import tokenise
from taskkit_text.facts import Text
from taskkit_text.tokens import TokenProcessor

LETTERS = "a b c d e f g h"
TOKENIZER = vocabulary.learn("words", [LETTERS], 50)


def tokens(parts, max_length, truncate):
    found = tokenise(TOKENIZER, parts, max_length, truncate)
    return " ".join(map(TOKENIZER.id_to_token, found.ids)).replace(vocabulary.END, "|"), found.truncated


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


@pytest.mark.parametrize("truncate", ["head", "head_tail"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_text_of_a_megabyte_is_cut_in_a_moment(truncate, count):
    parts = [f"a b {'c ' * (500_000 // count)}d e"] * count
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    ids, types, _, truncated, _ = tokenise(TOKENIZER, parts, 9 * count, truncate)
    assert time.perf_counter() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # kilobytes
    middle = "c c c c c c" if truncate == "head" else "c c c c d e"
    text = f"a b {middle} |"
    assert " ".join(map(TOKENIZER.id_to_token, ids)).replace(vocabulary.END, "|") == " ".join([text] * count)
    assert types == [number for number in range(count) for _ in range(9)]
    assert truncated


@pytest.mark.parametrize("truncate", ["head", "head_tail"])
@pytest.mark.parametrize("marks", ["bert", "roberta", "none"])
def test_the_marks_of_every_kind_of_tokenizer_stay(truncate, marks):
    tokenizer = Tokenizer.from_str(TOKENIZER.to_str())
    begin, end = ("[PAD]", 0), (vocabulary.END, 2)
    if marks == "none":
        tokenizer = Tokenizer.from_str(json.dumps({**json.loads(TOKENIZER.to_str()), "post_processor": None}))
    else:
        kind = {"bert": processors.BertProcessing, "roberta": processors.RobertaProcessing}[marks]
        tokenizer.post_processor = kind(end, begin)
    parts = ["a b c d e f [END] g", "h g f e d c b a"]
    room = 12 - tokenizer.num_special_tokens_to_add(True)
    whole = tokenise(tokenizer, parts, 99, truncate).ids
    cut = tokenise(tokenizer, parts, 12, truncate)
    assert len(cut.ids) == 12
    # What a text that is as short gets.
    kept = [part.split() for part in parts]
    shares = [room - room // 2, room // 2]
    tails = [share // 2 if truncate == "head_tail" else 0 for share in shares]
    short = [
        " ".join([*words[: share - tail], *words[len(words) - tail :]])
        for words, share, tail in zip(kept, shares, tails, strict=True)
    ]
    assert cut[:2] == tokenise(tokenizer, short, 99, truncate)[:2]
    assert len(whole) > 12


def fitted(pairs=False, **settings):
    spec = DataSpec(Text(pairs), Classes(("x", "y")), "f")
    processor = TokenProcessor(
        spec, **{"max_characters": 99, "max_length": 5, "truncate": "head", "round_to": 4, **settings}
    )
    processor.tokenizer = TOKENIZER
    return processor


def test_a_truncated_sample_says_so():
    flags = [fitted().encode(Example("1", text))[0]["flag_truncated"] for text in ("a b", LETTERS)]
    assert [int(flag) for flag in flags] == [0, 1]


@pytest.mark.parametrize(("truncate", "kept"), [("head", "a b c d"), ("head_tail", "a b g h")])
def test_characters_are_cut_before_tokens_are_and_that_counts_as_truncated(truncate, kept):
    processor = fitted(max_characters=8, max_length=99, truncate=truncate)
    (sample,) = processor.encode(Example("1", LETTERS))
    assert TOKENIZER.decode(sample["input_ids"].tolist()) == kept
    assert int(sample["flag_truncated"]) == 1
    (whole,) = fitted(max_characters=len(LETTERS), max_length=99).encode(Example("1", LETTERS))
    assert int(whole["flag_truncated"]) == 0


def test_a_text_without_a_known_token_is_marked():
    flags = [
        fitted().encode(Example("1", text))[0]["flag_without_a_known_token"] for text in ("a", "a z", "z", "\u200b")
    ]
    assert [int(flag) for flag in flags] == [0, 0, 1, 1]


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
    assert processor.padded_size(batch) == 8


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
    options = processor.predict_options
    assert [example.input for example in processor.read("a line of text", options())] == ["a line of text"]
    assert [example.input for example in processor.read(str(table), options(column="body"))] == ["good", "bad"]
