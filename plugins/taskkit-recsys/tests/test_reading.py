"""What people hand to `taskkit predict`."""

import pytest

from taskkit import DataError, PseudonymKey
from taskkit_recsys.facts import Histories
from taskkit_recsys.history import Pair, Query
from taskkit_recsys.reading import (
    Directory,
    ReadHistory,
    ReadPair,
    read_histories,
    read_pairs,
    requested_history,
    requested_pair,
)

TITLES = ("Star Wars (1977)", "Empire Strikes Back, The (1980)", "")
DIRECTORY = Directory(Histories(("41", "42"), ("50", "172", "9"), TITLES))


def read(source, directory=DIRECTORY, **options):
    examples = read_histories(str(source), ReadHistory(**options), directory)
    return [(example.id, list(example.input.items)) for example in examples]


@pytest.mark.parametrize(
    ("word", "items"),
    [
        ("50", [0]),
        ("172,50", [1, 0]),
        (" 172 , 9 ", [1, 2]),
        ("50,50", [0, 0]),
        ("star wars (1977)", [0]),
        ("Empire Strikes Back, The (1980)", [1]),
    ],
)
def test_a_word_is_item_ids_or_one_title(word, items):
    assert read(word) == [(word, items)]


def test_a_file_of_histories_has_ids_and_titles(written):
    lines = '{"history": [50, "Empire Strikes Back, The (1980)", "9"], "id": "mine"}\n\n{"history": []}\n'
    assert read(written(lines, "h.jsonl")) == [("mine", [0, 1, 2]), ("line 3", [])]
    example = read_histories(str(written(lines, "h.jsonl")), ReadHistory(), DIRECTORY)[0]
    assert isinstance(example.input, Query)
    assert (example.input.user, example.target) == (None, None)


def test_items_that_are_not_known_are_named_and_left_out(written, caplog):
    path = written('{"history": ["50", "51", "Star Warz (1977)"]}\n', "h.jsonl")
    assert read(path) == [("line 1", [0])]
    (record,) = caplog.records
    assert record.name == "taskkit"
    assert record.getMessage() == (
        f"{path}:1: left out 2 of 3 items, which the run did not see: '51', 'Star Warz (1977)'. "
        "Did you mean 'Star Wars (1977)'?"
    )
    assert read("x,y") == [("x,y", [])]


def test_a_title_of_two_items_is_told(caplog):
    directory = Directory(Histories(("1",), ("a", "b"), ("Hamlet", "hamlet")))
    assert read("Hamlet", directory) == [("Hamlet", [0])]
    assert "'Hamlet' is the title of 2 items (a, b): the first is taken" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hello", r"h\.jsonl:2: not JSON.*A line such as"),
        ('["50"]', r"h\.jsonl:2: a JSON object such as {\"history\".* was expected"),
        ('{"items": ["50"]}', "is not such a line as"),
        ('{"history": ["50"], "idd": "x"}', "is not such a line as"),
        ('{"history": ["50"], "history": ["9"]}', r"h\.jsonl:2: not JSON: it has 'history' twice"),
    ],
)
def test_a_line_that_is_none_is_explained(written, line, message):
    with pytest.raises(DataError, match=message):
        read(written('{"history": ["50"]}\n' + line + "\n", "h.jsonl"))


@pytest.mark.parametrize("history", ['"50"', '[["50"]]', "[null]"])
def test_a_history_that_is_none_is_told_of_by_itself(written, history):
    path = written(f'{{"history": ["50"]}}\n{{"history": {history}}}\n', "h.jsonl")
    whole, none = read_histories(str(path), ReadHistory(), DIRECTORY)
    assert (whole.input.items, whole.fault) == ([0], "")
    assert "A list of item ids or titles" in none.fault


def test_a_file_that_is_none_is_explained(written, tmp_path):
    for name in ("none.jsonl", "none.csv"):
        with pytest.raises(DataError, match=rf"{name}: there is no such file"):
            read(tmp_path / name)
    with pytest.raises(DataError, match=r"h\.csv: not a \.jsonl file"):
        read(written("50", "h.csv"))


def test_a_user_is_asked_for_by_their_id():
    histories = {0: [2], 1: [0, 1]}
    (example,) = requested_history(ReadHistory(user="42"), DIRECTORY, histories.__getitem__)
    assert (example.id, example.input) == ("42", Query(1, [0, 1]))
    assert requested_history(ReadHistory(), DIRECTORY, histories.__getitem__) == []


def test_a_user_that_is_not_known_is_explained():
    with pytest.raises(
        DataError, match=r"--user: the run saw no user '421'.*are 41, 42\. Did you mean '4\d'\?.*give a history"
    ):
        requested_history(ReadHistory(user="421"), DIRECTORY, {}.__getitem__)


def test_a_key_is_refused_where_users_were_not_hashed():
    with pytest.raises(DataError, match=r"--key some\.key: the users of this run were not hashed.* Leave it out"):
        requested_history(ReadHistory(user="42", key="some.key"), DIRECTORY, {1: []}.__getitem__)


def test_a_user_and_an_input_at_once_are_refused():
    with pytest.raises(DataError, match="--user 42 with the input '50'"):
        read("50", user="42")


def test_ratings_are_asked_for_by_user_and_item(written):
    (example,) = requested_pair(ReadPair(user="42", item="Star Wars (1977)"), DIRECTORY)
    assert (example.id, example.input) == ("42, Star Wars (1977)", Pair(1, 0))
    assert requested_pair(ReadPair(), DIRECTORY) == []
    path = written('{"user": 41, "item": "9"}\n{"user": "42", "item": "50", "id": "x"}\n', "p.jsonl")
    read = [(example.id, example.input) for example in read_pairs(str(path), ReadPair(), DIRECTORY)]
    assert read == [("line 1", Pair(0, 2)), ("x", Pair(1, 0))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ReadPair(user="42"), "Give --user and --item"),
        (ReadPair(user="1", item="50"), "--user: the run saw no user '1'"),
        (ReadPair(user="42", item="500"), "--item: the run saw no item '500'.*Did you mean '50'?"),
    ],
)
def test_a_pair_that_is_not_known_is_explained(options, message):
    with pytest.raises(DataError, match=message):
        requested_pair(options, DIRECTORY)


def test_pairs_come_in_files(written):
    with pytest.raises(DataError, match=r"'42': not a file.*give --user and --item"):
        read_pairs("42", ReadPair(), DIRECTORY)
    (nobody,) = read_pairs(str(written('{"user": "7", "item": "50"}\n', "p.jsonl")), ReadPair(), DIRECTORY)
    assert "p.jsonl:1: the run saw no user '7'" in nobody.fault
    with pytest.raises(DataError, match=r'JSON lines such as \{"user": "42", "item"'):
        read_pairs(str(written("user,item\n41,50\n", "p.csv")), ReadPair(), DIRECTORY)


def test_who_is_not_known_is_told_what_this_run_can_answer():
    with pytest.raises(DataError, match=r"no user '7'.*For someone new, give a history instead"):
        requested_history(ReadHistory(user="7"), DIRECTORY, {}.__getitem__)
    with pytest.raises(DataError, match=r"no user '7'.*for someone new, train again on a log that has ratings") as said:
        requested_pair(ReadPair(user="7", item="50"), DIRECTORY)
    assert "history" not in str(said.value)


def test_a_pseudonymised_user_is_found_by_their_id_and_the_key(written):
    key = PseudonymKey.read(written("a long secret of mine", "own.key"))
    directory = Directory(Histories((key.pseudonym("42"),), ("50",), (), str(key.path), key.check))
    (example,) = requested_history(ReadHistory(user=" 42 "), directory, {0: [0]}.__getitem__)
    assert example.input.user == 0
    with pytest.raises(DataError, match=r"the run saw no user '43'\. The run has pseudonyms"):
        requested_history(ReadHistory(user="43"), directory, {}.__getitem__)
    other = written("another secret of mine", "other.key")
    with pytest.raises(DataError, match=r"not the key that the run's users were hashed with.*--key FILE"):
        requested_history(ReadHistory(user="42", key=str(other)), directory, {}.__getitem__)
    key.path.unlink()
    with pytest.raises(DataError, match=r"own\.key: the key.*cannot be read: No such file.*--key FILE"):
        requested_history(ReadHistory(user="42"), directory, {}.__getitem__)


def test_an_id_whose_zeros_a_spreadsheet_took_is_meant_for_the_one_that_has_them():
    directory = Directory(Histories(("007", "12"), ("0050", "9"), ()))
    with pytest.raises(DataError, match=r"no user '7'.* Did you mean '007'\?"):
        requested_history(ReadHistory(user="7"), directory, {}.__getitem__)
    with pytest.raises(DataError, match=r"no item '50'.* Did you mean '0050'\?"):
        requested_pair(ReadPair(user="12", item="50"), directory)
