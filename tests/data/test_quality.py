"""What is wrong with examples of any modality."""

from taskkit import Classes, DataProblem, ExampleLook, Split, find_duplicates, find_imbalance, first_ids
from taskkit.data.quality import find_missing_splits, split_sizes


def look(split: Split, number: int, digest: str | None, target: str = "a") -> ExampleLook:
    return ExampleLook(split, f"{number}", digest, target)


def found(*looks: ExampleLook) -> dict[str, DataProblem]:
    return {problem.kind: problem for problem in find_duplicates(looks, "text")}


def counted(train: list[int], test: list[int], *names: str) -> str:
    told, *_ = find_imbalance({"train": train, "val": [], "test": test}, Classes(names), "text")
    return told.message


def skewed(train: list[int], test: list[int], *names: str) -> list[DataProblem]:
    problems = find_imbalance({"train": train, "val": [], "test": test}, Classes(names), "text")
    return [problem for problem in problems if problem.severity != "info"]


def test_examples_that_all_differ_have_no_copies() -> None:
    problems = found(look("train", 1, "x"), look("train", 2, "y"), look("test", 1, "z"))
    assert {kind: (each.severity, each.message) for kind, each in problems.items()} == {
        "copies": ("info", "3 texts were compared; none is there twice.")
    }


def test_copies_in_one_split_are_a_warning() -> None:
    problems = found(look("train", 1, "x"), look("train", 2, "x"), look("test", 1, "z"))
    assert list(problems) == ["duplicate"]
    assert problems["duplicate"].severity == "warning"
    assert problems["duplicate"].message == "The same text is more than once in one split."
    assert problems["duplicate"].examples == ("train/1", "train/2")


def test_copies_in_two_splits_are_a_leak() -> None:
    problems = found(look("train", 1, "x"), look("test", 7, "x"), look("val", 1, "y"), look("test", 8, "y"))
    assert list(problems) == ["leak"]
    assert problems["leak"].severity == "error"
    assert problems["leak"].message.startswith("2 times the same text is in more than one split")
    assert problems["leak"].examples == ("train/1", "test/7", "val/1", "test/8")


def test_copies_with_different_targets_contradict_each_other() -> None:
    problems = found(look("train", 1, "x", "a"), look("train", 2, "x", "b"))
    assert set(problems) == {"duplicate", "label"}
    assert problems["label"].severity == "error"
    assert problems["label"].examples == ("train/1", "train/2")


def test_what_is_not_to_be_compared_is_no_copy() -> None:
    assert found(look("train", 1, None), look("test", 1, None)) == {}


def test_only_some_examples_are_named() -> None:
    assert len(found(*(look("train", number, "x") for number in range(1000)))["duplicate"].examples) == 10
    assert first_ids([1, 2]) == ("1", "2")


def test_the_classes_of_each_split_are_counted_and_of_many_only_the_largest_are_named() -> None:
    assert counted([0, 1, 1], [0], "a", "bee") == "2 classes:\n  bee  2 train, 0 test\n  a    1 train, 1 test"
    assert counted(list(range(30)), [], *map(str, range(30))).splitlines()[-1] == "  and 20 smaller ones"


def test_the_sizes_of_splits_are_told() -> None:
    assert split_sizes({"train": 12000, "test": 20}).message == "12,000 train, 20 test examples."
    assert split_sizes({"train": None}).message == "a stream of train examples."


def test_classes_of_like_size_are_not_skewed() -> None:
    assert skewed([0] * 10 + [1], [0, 1], "a", "b") == []


def test_a_class_ten_times_rarer_than_another_is_a_warning() -> None:
    (problem,) = skewed([0] * 11 + [1], [0, 1], "a", "b")
    assert (problem.severity, problem.kind) == ("warning", "skew")
    assert "Class 'a' has 11 training texts, 'b' has 1." in problem.message


def test_a_class_that_a_split_lacks_is_an_error_in_training_and_a_warning_in_the_others() -> None:
    (problem,) = skewed([0, 1], [0], "a", "b")
    assert (problem.severity, problem.kind) == ("warning", "empty")
    assert problem.message == "1 of 2 classes have no text in the test split: b."
    assert [problem.severity for problem in skewed([0], [0, 1], "a", "b")] == ["error"]


def test_a_split_that_is_not_there_lacks_nothing() -> None:
    assert skewed([0, 1], [], "a", "b") == []


def test_a_split_that_is_not_there_is_told_with_what_goes_without() -> None:
    val, test = find_missing_splits(["train"])
    assert (val.severity, val.kind, val.message[:30]) == ("warning", "split", "There is no validation split: ")
    assert test.message.startswith("There is no test split: a run ends without a test score.")
    assert [*find_missing_splits(["train", "val", "test"])] == []
