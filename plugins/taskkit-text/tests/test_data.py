"""The named corpora, as they really arrive."""

from collections import Counter
from functools import lru_cache
from typing import get_args

import pytest

from taskkit import Classes, DataError, SourceError
from taskkit_text import sections
from taskkit_text.corpora import R8, R52, Newsgroups, held_out
from taskkit_text.examples import Labelled, placed, same
from taskkit_text.facts import Text
from taskkit_text.reviews import ReviewSentimentZh

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Prepare a named corpus, once for all tests."""
    cache = tmp_path_factory.mktemp("cache")

    @lru_cache
    def prepared(kind, **settings):
        section = get_args(kind.__orig_bases__[0])[0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TASKKIT_CACHE", str(cache))
            try:
                return kind(section(**settings)).prepare(Classes)
            except SourceError as reason:
                pytest.skip(f"no source within reach: {str(reason).splitlines()[0]}")

    return prepared


def sizes(prepared):
    return tuple(len(prepared.examples(split)) for split in SPLITS)


def texts(prepared, *splits):
    return {same(example.input) for split in splits for example in prepared.examples(split)}


def row(text, label="a", split=None, number=0):
    return Labelled(f"{number}", text, label, split, f"t.csv: row {number + 1}")


@pytest.mark.parametrize(
    ("kind", "counts", "classes"),
    [(R8, (4936, 549, 2189), 8), (R52, (5879, 653, 2568), 52), (Newsgroups, (10166, 1127, 7528), 20)],
)
def test_a_corpus_keeps_its_test_split_and_validates_on_a_tenth_of_the_rest(corpus, kind, counts, classes):
    prepared = corpus(kind)
    spec = prepared.spec
    assert sizes(prepared) == counts
    assert spec.input == Text()
    assert len(spec.target.names) == classes
    assert spec.target.names == tuple(sorted(spec.target.names))
    assert sum(spec.target.counts) == counts[0]
    assert min(spec.target.counts) > 0
    train, val = (Counter(example.target for example in prepared.examples(split)) for split in ("train", "val"))
    assert all(abs(val[number] - 0.1 * (train[number] + val[number])) <= 1 for number in train)
    assert [example.id for example in prepared.examples("test")[:2]] == ["00000", "00001"]
    assert all(example.input.strip() for split in SPLITS for example in prepared.examples(split))
    (origin,) = spec.origins
    assert origin.licence
    assert origin.citation
    assert "test as published, val 0.1" in spec.protocol["splits"]


def test_the_validation_split_of_r8_never_moves(corpus):
    prepared = corpus(R8)
    ids = [example.id for example in prepared.examples("val")]
    assert ids[:4] == ["00012", "00022", "00043", "00079"]
    assert not {example.id for example in prepared.examples("train")} & set(ids)
    everything = corpus(R8, val_share=0)
    assert sizes(everything) == (5485, 0, 2189)
    assert everything.spec.fingerprint != prepared.spec.fingerprint


def test_what_is_wrong_with_r8_is_said(corpus):
    prepared = corpus(R8)
    kinds = {problem.kind for problem in prepared.inspect()}
    named = [name for problem in prepared.inspect() for name in problem.examples]
    assert named
    assert all(name.count("/") == 1 for name in named)
    assert kinds == {"leak", "duplicate", "label", "lengths", "classes", "skew"}


def test_a_folder_without_the_files_is_an_error_that_names_them(tmp_path):
    with pytest.raises(SourceError, match=r"reuters-r8-train\.tab"):
        R8(sections.Corpus(root=str(tmp_path))).prepare(Classes)
    with pytest.raises(SourceError, match=r"pos\.txt"):
        ReviewSentimentZh(sections.ReviewSentimentZh(root=str(tmp_path))).prepare(Classes)


def test_each_review_is_kept_once_and_those_of_both_classes_are_left_out_and_told(corpus):
    prepared = corpus(ReviewSentimentZh)
    spec = prepared.spec
    assert spec.target.names == ("negative", "positive")
    assert sizes(prepared) == (12042, 1766, 3550)
    assert len(texts(prepared, *SPLITS)) == sum(sizes(prepared))
    told, *others = prepared.inspect()
    assert told.message == (
        "Of 35123 lines, 17528 are left out because they are copies of another, and 237 because their review, one of "
        "47, is both positive and negative."
    )
    assert sum(sizes(prepared)) + 17528 + 237 == 35123
    assert spec.protocol["left_out"].lower() in told.message.lower()
    assert {problem.severity for problem in others} == {"warning", "info"}


def test_reviews_are_split_alike_for_ever(corpus):
    prepared = corpus(ReviewSentimentZh)
    assert [example.id for example in prepared.examples("test")[:3]] == ["neg/00001", "neg/00007", "neg/00013"]


def test_the_same_text_validates_or_trains_but_never_both():
    rows = [row(f"Text {number // 2}", number=number) for number in range(100)]
    chosen = held_out(rows, 0.1)
    assert len(chosen) == 10
    assert all(number ^ 1 in chosen for number in chosen)


def test_a_class_is_never_held_out_as_a_whole():
    rows = [row("x", "a"), row("y", "b"), row("z", "b", number=2)]
    assert held_out(rows, 0.9) in ({1}, {2})
    assert held_out([row("x", number=number) for number in range(10)], 0.5) == set()


def test_texts_that_differ_in_case_white_space_or_width_are_the_same():
    assert same("Ｈello,  wOrld\n") == same("hello, world")
    assert same(("a", "b c")) == same(("A", "b  c"))
    assert same(("a", "b c")) != same(("a b", "c"))
    assert same("hello") != same("hallo")


def test_the_same_texts_land_in_one_split_whatever_else_there_is():
    rows = [row(text, number=number) for number, text in enumerate([*(f"text {n}" for n in range(100)), "TEXT  5"])]
    first = {each.id: each.split for each in placed(rows, 0.2, 0.2)}
    assert first["5"] == first["100"]
    assert set(first.values()) == set(SPLITS)
    again = {each.id: each.split for each in placed(rows[50:], 0.2, 0.2)}
    assert again.items() <= first.items()


def test_only_splits_that_are_not_there_are_taken_from_training():
    rows = [row(f"text {n}", split="test" if n < 5 else "train", number=n) for n in range(100)]
    kept = placed(rows, 0.2, 0.2)
    assert [each.id for each in kept if each.split == "test"] == ["0", "1", "2", "3", "4"]
    assert any(each.split == "val" for each in kept)


def test_a_split_that_the_hash_gave_nothing_is_told(caplog):
    rows = [row(f"text {n}", number=n) for n in range(3)]
    placed(rows, 0.001, 0)
    assert "data.val_share: a share of 0.001 was to be held out by a hash, and of 3 rows that took none" in caplog.text
    assert "data.test_share" not in caplog.text
    caplog.clear()
    placed([row(f"text {n}", number=n) for n in range(100)], 0.2, 0.2)
    placed([*rows, row("x", split="val"), row("y", split="test")], 0.001, 0.001)
    assert caplog.text == ""


def test_a_class_that_the_hash_held_out_as_a_whole_is_an_error():
    rows = [row(f"text {n}", number=n) for n in range(100)]
    chosen = next(each for each in placed(rows, 0.2, 0.2) if each.split == "test")
    with pytest.raises(DataError, match=r"row \d+: a hash of each text .* took every text of the class 'rare'"):
        placed([*(each for each in rows if each.id != chosen.id), row(chosen.text, "rare")], 0.2, 0.2)
