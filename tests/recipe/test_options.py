"""What a run's model and task take beside inputs, from the command line and from Python."""

from dataclasses import dataclass

import pytest

from taskkit import NoOptions, TaskkitError, setting
from taskkit.recipe.options import fill, parse


@dataclass
class Read:
    column: str = setting("text", "the column to read")
    user: str | None = setting(None, "who it is for")


@dataclass
class Answer:
    top: int = setting(5, "how many answers", ge=1)
    with_times: bool = setting(False, "with times")


TAKERS = (Read, Answer)


def test_words_are_divided_into_inputs_and_options() -> None:
    words = ["a.csv", "--column", "body", "--top=3", "--with-times", "b.csv", "-1,2", "-"]
    inputs, values = parse(words, TAKERS)
    assert inputs == ["a.csv", "b.csv", "-1,2", "-"]
    assert fill(values, TAKERS) == [Read("body"), Answer(3, True)]


def test_what_is_not_asked_for_has_its_default() -> None:
    assert fill({}, TAKERS) == [Read(), Answer()]


@pytest.mark.parametrize("words", [["--user", "a", "--user=b"], ["--with-times", "--with_times"]])
def test_an_option_is_given_once(words: list[str]) -> None:
    with pytest.raises(TaskkitError, match="is given twice, and has one value"):
        parse(words, TAKERS)


def test_a_name_may_be_a_number() -> None:
    assert fill(parse(["--user", "42"], TAKERS)[1], TAKERS)[0] == Read(user="42")
    assert fill({"user": 42}, TAKERS)[0] == Read(user="42")


@pytest.mark.parametrize("name", ["1e5", "1_000", "1.50", "+5", "true", "null"])
def test_a_text_stands_as_it_was_written(name: str) -> None:
    assert fill(parse(["--user", name], TAKERS)[1], TAKERS)[0] == Read(user=name)
    assert fill(parse([f"--column={name}"], TAKERS)[1], TAKERS)[0] == Read(column=name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--topp", "3"], r"--topp is no option of this run's model or task\. Did you mean 'top'\? It takes --column"),
        (["--top"], r"--top needs a value: how many answers\."),
        (["--top", "many"], r"--top is 'many'\. Expected a whole number"),
        (["--top", "0"], r"--top is 0\. Expected a whole number ≥ 1"),
    ],
)
def test_a_mistake_is_explained(words: list[str], message: str) -> None:
    with pytest.raises(TaskkitError, match=message):
        fill(parse(words, TAKERS)[1], TAKERS)


def test_a_run_without_options_says_so() -> None:
    with pytest.raises(TaskkitError, match="It takes no options of its own"):
        parse(["--top", "3"], (NoOptions, NoOptions))
