"""MovieLens in the formats in which it really comes."""

import hashlib
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from taskkit import DataError, SourceError
from taskkit_recsys import grouplens, sections
from taskkit_recsys.facts import NextItem, Rating
from taskkit_recsys.movielens import Movielens
from taskkit_recsys.movielens_100k import Movielens100k

RATINGS = ("1::1193::5::978300760", "1::661::3::978302109", "1::914::3::978301968", "2::661::4::978298413")
FILMS = ("661::James and the Giant Peach (1996)::Animation|Children's", "914::My Fair Lady (1964)::Musical|Romance",
         "1193::Misérables, Les: \"Part 1\" (1995)::Drama")  # fmt: skip


@pytest.fixture
def dat(tmp_path):
    """A folder as that of ml-1m is, whose films are in Latin-1."""
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "ratings.dat").write_text("\n".join(RATINGS) + "\n")
    (folder / "movies.dat").write_text("\n".join(FILMS) + "\n", encoding="latin-1")
    return folder


@pytest.fixture
def csv(tmp_path):
    """A folder as that of ml-20m is."""
    folder = tmp_path / "ml-20m"
    folder.mkdir()
    lines = [rating.replace("::", ",") for rating in RATINGS]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n")
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n661,James and the Giant Peach (1996),Animation\n914,My Fair Lady (1964),Musical\n"
        '1193,"Misérables, Les: ""Part 1"" (1995)",Drama\n'
    )
    return folder


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server for the files in a folder, in the place of GroupLens'."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        monkeypatch.setattr(grouplens, "URL", f"http://127.0.0.1:{served.server_port}")
        yield folder
        served.shutdown()


def prepared(target=NextItem, **settings):
    section = sections.Movielens(**{name: str(value) for name, value in settings.items()})
    return Movielens(section).prepare(target)


@pytest.mark.parametrize("kind", ["dat", "csv"])
def test_a_folder_is_read_by_what_is_in_it(request, kind):
    data = prepared(root=request.getfixturevalue(kind))
    spec = data.spec
    assert tuple(spec.input.users) == ("1", "2")
    assert tuple(spec.input.items) == ("661", "914", "1193")
    assert spec.input.titles[2] == 'Misérables, Les: "Part 1" (1995)'
    (test,) = data.examples("test")
    assert (test.id, list(test.input.items), test.target) == ("1", [2, 1], (0,))
    assert spec.origins[0].licence.startswith("GroupLens")
    assert "Harper" in spec.origins[0].citation


def test_the_same_events_have_the_same_fingerprint_in_either_format(dat, csv):
    assert prepared(root=dat).spec.fingerprint == prepared(root=csv).spec.fingerprint
    assert prepared(root=dat, target=Rating).spec.target == Rating(3, 5)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("ratings.dat", "1::2::3\n", "ratings.dat: it cannot be read.*Rows of 4 columns with ::"),
        ("ratings.dat", "\n", "ratings.dat: it is empty"),
        ("ratings.dat", "1::661::3::x\n", "row 1: column 'timestamp' is 'x'"),
    ],
)
def test_a_damaged_file_is_explained(dat, file, text, message):
    (dat / file).write_text(text)
    with pytest.raises(DataError, match=message):
        prepared(root=dat)


def test_a_folder_without_the_files_is_explained(tmp_path):
    with pytest.raises(SourceError, match=r"no file ratings\.csv"):
        prepared(root=tmp_path, release="ml-20m")


def test_it_is_downloaded_once_where_the_net_is_open(dat, server):
    with zipfile.ZipFile(server / "ml-1m.zip", "w") as archive:
        for path in dat.iterdir():
            archive.write(path, f"ml-1m/{path.name}")
    md5 = hashlib.md5((server / "ml-1m.zip").read_bytes()).hexdigest()
    (server / "ml-1m.zip.md5").write_text(f"MD5 (ml-1m.zip) = {md5}\n")
    spec = prepared().spec
    assert spec.fingerprint == prepared(root=dat).spec.fingerprint
    assert spec.origins[0].source.endswith("/ml-1m.zip")
    (server / "ml-1m.zip").unlink()
    assert prepared().spec == spec


def test_a_download_with_another_checksum_is_refused(dat, server):
    with zipfile.ZipFile(server / "ml-1m.zip", "w") as archive:
        archive.write(dat / "ratings.dat", "ml-1m/ratings.dat")
    (server / "ml-1m.zip.md5").write_text("MD5 (ml-1m.zip) = " + "0" * 32)
    with pytest.raises(SourceError, match=r"the md5 of ml-1m\.zip is \w{32}; 0{32} is published"):
        prepared()


@pytest.fixture(scope="module")
def hundred_thousand(tmp_path_factory):
    """MovieLens-100K as it arrives, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            return Movielens100k(sections.Movielens100k()).prepare(NextItem)
        except SourceError as reason:
            pytest.skip(f"no source within reach: {str(reason).splitlines()[0]}")


def test_movielens_100k_is_whole(hundred_thousand):
    spec = hundred_thousand.spec
    assert (len(spec.input.users), len(spec.input.items)) == (943, 1682)
    assert spec.protocol["events"] == 100_000
    assert [len(hundred_thousand.examples(split)) for split in ("train", "val", "test")] == [943, 943, 943]
    assert sum(len(example.input.items) for example in hundred_thousand.examples("train")) == 100_000 - 2 * 943
    assert spec.input.title(49) == "Star Wars (1977)"
    assert spec.fingerprint == "recsys.movielens_100k-55eac49d254b116a1a8a65ed66bf3fb6"


def test_movielens_100k_has_the_known_weaknesses(hundred_thousand):
    told, *others = hundred_thousand.inspect()
    assert told.message.startswith("100,000 events of 943 users and 1,682 items, 6.30% of all pairs, from 1997-09-20T")
    problems = {problem.kind: problem for problem in others}
    assert set(problems) == {"order", "ties", "cold", "leak", "skew"}
    assert "99.9% of the test targets are older" in problems["leak"].message
    assert all(problem.severity == "warning" for problem in problems.values())
