"""What is said about texts before they are learnt from."""

import pytest

from taskkit import Classes, Example
from taskkit_text.inspection import histogram, mojibake, problems, script

CLASSES = Classes(("a", "b"))


def good(count, word="good words"):
    return [Example(f"{n}", f"{word} number {n}", n % 2) for n in range(count)]


def found(train, val=(), test=()):
    return list(problems({"train": [*good(40), *train], "val": list(val), "test": list(test)}, CLASSES))


def kinds(*args):
    return {problem.kind: problem for problem in found(*args)}


def test_good_texts_have_no_problems_but_lengths_are_told():
    assert {problem.kind: problem.severity for problem in found([])} == dict.fromkeys(
        ("copies", "lengths", "classes"), "info"
    )


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b\ufeff", ("word", ""), ("", "")])
def test_texts_without_anything_to_read_are_found(text):
    pairs = isinstance(text, tuple)
    problem = kinds([Example("x", text, 0)]).get("empty")
    if pairs and any(text):
        assert problem is None
    else:
        assert problem.severity == "error"
        assert problem.examples == ("train/x",)
        assert problem.message.startswith("1 text has nothing to read")


def test_texts_that_are_the_same_are_found_and_their_classes_compared():
    problem = kinds([Example("x", "The same", 0), Example("y", "the  SAME ", 1)])
    assert problem["duplicate"].examples == ("train/x", "train/y")
    assert problem["label"].examples == ("train/x", "train/y")


def test_classes_that_differ_in_case_only_are_told():
    classes = Classes(("Late", "late", "lost"))
    train = [Example(f"{n}", f"good words number {n}", n % 3) for n in range(60)]
    (problem,) = [each for each in problems({"train": train, "val": [], "test": []}, classes) if each.kind == "label"]
    assert problem.severity == "warning"
    assert problem.message.startswith("The classes 'Late' and 'late' differ in nothing but case")


def test_texts_that_leak_are_an_error():
    problem = kinds([], [], [Example("t", "good words number 3", 1), Example("u", "another one", 0)])["leak"]
    assert problem.severity == "error"
    assert problem.examples == ("train/3", "test/t")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a cafÃ© in the town", "UTF-8 that was read as another encoding"),
        ("it is â€œquotedâ€\x9d", "UTF-8 that was read as another encoding"),
        ("lost \ufffd one", "U+FFFD"),
        ("bell \x07 rings", "control characters"),
    ],
)
def test_damaged_texts_are_found(text, said):
    damaged = [problem for problem in found([Example("x", text, 0)]) if problem.kind == "encoding"]
    assert any(said in problem.message for problem in damaged)
    assert all(problem.examples == ("train/x",) and problem.severity == "warning" for problem in damaged)


@pytest.mark.parametrize(
    "text",
    ["café", "naïve — “quoted” …", "«LIBERTÉ»", "日本語のテキスト", "ПРИВЕТ", "5 € für Äpfel", "😀😀", "São João", ""],
)
def test_texts_of_any_language_are_not_damaged(text):
    assert not mojibake(text)


@pytest.mark.parametrize("text", ["café", "“quoted”", "Äpfel", "Привет", "日本語", "naïve", "5 €", "😀"])
def test_utf8_that_was_read_as_windows_1252_is_mojibake(text):
    # Windows leaves five bytes undefined; readers keep them as control characters.
    read = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode())
    assert mojibake(read)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hello, Привет?", "CYRILLIC"),
        ("ＨＥＬＬＯ", "LATIN"),
        ("漢字とカタカナ", "CJK"),
        ("123 !?", ""),
        ("", ""),
    ],
)
def test_the_script_is_that_of_most_letters(text, name):
    assert script(text) == name


def test_a_few_texts_in_another_script_are_told():
    problem = kinds([Example("x", "Привет, мир", 0)])["script"]
    assert problem.severity == "warning"
    assert problem.examples == ("train/x",)
    assert "1 of 41 texts are in Cyrillic letters, unlike most, which are in Latin ones" in problem.message
    assert "script" not in kinds([Example(f"x{n}", f"Привет {n}", n % 2) for n in range(40)])


def test_a_text_far_longer_than_others_is_told_with_a_histogram():
    problem = kinds([Example("x", "word " * 100, 0)])["lengths"]
    assert problem.severity == "warning"
    assert problem.examples == ("train/x",)
    assert "The longest has 100 words, 95 of 100 have 4 at most" in problem.message
    assert "   4 to   7 words: 40 ####" in problem.message
    assert kinds([Example("x", "word " * 19, 0)])["lengths"].severity == "info"


def test_texts_without_spaces_are_measured_in_characters():
    train = [Example(f"{n}", f"这本书不错{n}", n % 2) for n in range(40)]
    only = {"train": [*train, Example("x", "好" * 100, 0)], "val": [], "test": []}
    assert any("The longest has 100 characters" in problem.message for problem in problems(only, CLASSES))


def test_a_histogram_has_a_line_for_each_doubling():
    assert histogram([0, 1, 1, 2, 3, 9], "words").splitlines() == [
        "   0 to  0 words: 1 ####################",
        "   1 to  1 words: 2 ########################################",
        "   2 to  3 words: 2 ########################################",
        "   4 to  7 words: 0",
        "   8 to 15 words: 1 ####################",
    ]


def test_uneven_classes_are_told():
    problem = kinds([Example(f"x{n}", f"more {n}", 0) for n in range(300)])["skew"]
    assert "Class 'a' has 320 training texts, 'b' has 20." in problem.message
