from taskkit_recsys.facts import Histories
from taskkit_recsys.history import History, Pair

FILMS = Histories(("u",), tuple(f"i{n}" for n in range(12)), (*(f"Film {n}" for n in range(11)), ""))


def test_a_history_is_shown_by_its_latest_titles():
    assert FILMS.show(History(0, [3, 11, 5])) == {"the latest 3 of 3": ["Film 5", "i11", "Film 3"]}
    ((said, titles),) = FILMS.show(History(0, range(12))).items()
    assert said == "the latest 8 of 12"
    assert titles[0] == "i11"


def test_a_pair_is_shown_by_its_item():
    assert FILMS.show(Pair(0, 4)) == {"item": "Film 4"}
    assert FILMS.show(Pair(0, None)) == {"item": "not known"}
