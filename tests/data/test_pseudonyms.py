"""Pseudonyms, the keys that make them, and tables that have them."""

import hashlib
import stat

import pyarrow as pa
import pytest

from taskkit import DataError, PseudonymKey, PseudonymSection, TableFile, cache_directory


@pytest.fixture
def written(tmp_path):
    """Write a file of one's own that nobody else may read."""

    def write(text, name="own.key"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """The user's own configuration directory, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "taskkit"


def test_pseudonyms_are_hashes_with_the_key_and_stay_so_for_ever(written):
    key = PseudonymKey.read(written("0123456789abcdef\n"))
    secret = hashlib.blake2b(b"0123456789abcdef").digest()
    assert key.pseudonym("42") == hashlib.blake2b(b"42", key=secret, person=b"user", digest_size=10).hexdigest()
    assert key.pseudonym("42") == "a7543c46776f39088101"


def test_a_section_asks_for_the_key_that_it_names_or_for_ones_own(written, configured):
    assert PseudonymKey.of(PseudonymSection()) is None
    named = PseudonymKey.of(PseudonymSection(pseudonymise=True, key=str(written("k" * 40))))
    own = PseudonymKey.of(PseudonymSection(pseudonymise=True))
    assert named.path.name == "own.key"
    assert own.path == configured / "pseudonyms.key"
    assert own.check != named.check
    (problem,) = PseudonymSection(key="own.key").problems()
    assert problem == ("key", "'own.key' is the key of pseudonyms, but pseudonymise is false. Set it to true.")


def test_ones_own_key_is_made_once_for_its_owner_alone(configured):
    first = PseudonymKey.of_user()
    assert PseudonymKey.of_user() == first
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert len(first.path.read_text().strip()) == 64
    assert first.path.read_text().strip() not in repr(first)
    assert repr(first.secret) not in repr(first)


def test_the_key_of_taskkit_0_1_goes_on_making_the_same_pseudonyms(configured):
    configured.mkdir(parents=True)
    (configured / "recsys.key").write_text("0123456789abcdef")
    (configured / "recsys.key").chmod(0o600)
    assert PseudonymKey.of_user().pseudonym("42") == "a7543c46776f39088101"
    assert not (configured / "pseudonyms.key").exists()


def test_every_key_that_is_made_is_another(tmp_path, monkeypatch):
    checks = set()
    for name in ("mine", "yours"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / name))
        checks.add(PseudonymKey.of_user().check)
    assert len(checks) == 2


@pytest.mark.parametrize(
    ("content", "message"), [("", "it holds 0 bytes, which can be guessed"), ("secret", "it holds 6 bytes")]
)
def test_a_key_that_can_be_guessed_is_refused(written, content, message):
    with pytest.raises(DataError, match=message):
        PseudonymKey.read(written(content))


def test_a_key_beside_what_it_protects_is_refused(written, monkeypatch, tmp_path):
    written("{}", "run/run.json")
    with pytest.raises(DataError, match=r"this key lies in .*/run, so whoever has that has the key"):
        PseudonymKey.read(written("k" * 40, "run/keys/own.key"))
    elsewhere = tmp_path / "link.key"
    elsewhere.symlink_to(tmp_path / "run/keys/own.key")
    with pytest.raises(DataError, match="this key lies in"):
        PseudonymKey.read(elsewhere)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=f"this key lies in {cache_directory()}"):
        PseudonymKey.read(written("k" * 40, "cache/own.key"))


def test_a_key_that_is_named_must_be_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.key: the key of pseudonyms cannot be read: No such file.*--key FILE"):
        PseudonymKey.read(tmp_path / "none.key")
    assert not (tmp_path / "none.key").exists()


def test_a_key_that_others_may_read_is_told(written, caplog):
    path = written("k" * 40)
    path.chmod(0o644)
    PseudonymKey.read(path)
    assert f"chmod 600 {path}" in caplog.text
    caplog.clear()
    path.chmod(0o600)
    PseudonymKey.read(path)
    assert caplog.text == ""


def test_a_table_has_other_names_in_some_columns_and_is_else_the_same(tmp_path):
    content = pa.table({"who": [" ann ", "bob", None, "ann"], "number": [1, 2, 3, 4]})
    table = TableFile(tmp_path / "t.csv", content.replace_schema_metadata({b"huggingface": b"{}"}))
    renamed = table.renamed({"data.who": "who", "data.number": "number", "data.none": None}, str.upper)
    assert renamed.column("who", "data.who") == ["ANN", "BOB", None, "ANN"]
    assert renamed.column("number", "data.number") == ["1", "2", "3", "4"]
    assert renamed.content.schema.metadata == {b"huggingface": b"{}"}
    assert table.column("who", "data.who")[0] == " ann "
    with pytest.raises(DataError, match=r"no column 'whom'.*Did you mean 'who'.*Set data.who"):
        table.renamed({"data.who": "whom"}, str.upper)
