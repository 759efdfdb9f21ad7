"""Users under pseudonyms: nothing that a run leaves behind has the id of one, nor the key."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

import taskkit
from taskkit import DataError, PseudonymKey
from taskkit.plugins.discovery import discover
from taskkit_recsys import sections
from taskkit_recsys.facts import NextItem
from taskkit_recsys.interactions import Interactions

USERS = [f"person-{number:03d}@example.org" for number in range(30)]
RECIPE = """
title: Private
task: {name: recsys.next_item}
model: {name: recsys.sasrec, length: 4, width: 4, depth: 1, heads: 1}
data: {name: recsys.interactions, events: log.csv, pseudonymise: true}
loader: {batch_size: 8}
trainer: {max_epochs: 1, accelerator: cpu, precision: 32-true}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a log, a recipe and the run that it gave, and places of its own for the cache and the key."""
    folder = tmp_path_factory.mktemp("private")
    rows = [f"{user},i{(n + t) % 9},{1_700_000_000 + t}" for n, user in enumerate(USERS) for t in range(6)]
    (folder / "log.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    (folder / "private.yaml").write_text(RECIPE)
    own = {"TASKKIT_CACHE": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "taskkit", "run", "private.yaml", "--out", "run"]
    subprocess.run(command, cwd=folder, env={**os.environ, **own}, check=True)
    return folder


def holding(folder: Path, *secrets: str) -> list[Path]:
    """The files below a folder that hold one of these texts, in themselves or in their names."""
    return [
        path
        for path in folder.rglob("*")
        if any(text in str(path) or (path.is_file() and text.encode() in path.read_bytes()) for text in secrets)
    ]


def own_key(folder):
    return folder / "config" / "taskkit" / "pseudonyms.key"


def test_no_id_of_a_user_is_in_the_run_or_in_the_cache(place):
    written = [path for path in (place / "run").rglob("*") if path.is_file()]
    assert {"run.json", "recipe.yaml", "log.txt", "predictions.parquet", "best.ckpt"} <= {path.name for path in written}
    assert any((place / "cache" / "samples").rglob("*.bin"))
    # Checkpoints are zip archives without compression and Parquet is not: the ids are looked for in what it holds too.
    assert holding(place / "run", "person-", "example.org") == []
    assert holding(place / "cache", "person-", "example.org") == []


def test_no_id_is_in_the_table_of_predictions(place):
    rows = parquet.read_table(place / "run" / "predictions.parquet").to_pylist()
    key = PseudonymKey.read(own_key(place))
    assert sorted(row["id"] for row in rows) == sorted(key.pseudonym(user) for user in USERS)
    assert "person-" not in str(rows)


def test_the_same_run_without_pseudonyms_has_them(place, monkeypatch):
    """That the search above would find them."""
    monkeypatch.setenv("TASKKIT_CACHE", str(place / "open-cache"))
    monkeypatch.chdir(place)
    taskkit.run("private.yaml", ["data.pseudonymise=false"], out="open", plugins=discover({"recsys"}))
    found = {path.name for path in holding(place / "open", "person-")}
    assert found >= {"best.ckpt", "last.ckpt", "predictions.parquet"}
    assert holding(place / "open-cache", "person-")


def test_neither_the_key_nor_what_it_is_used_as_is_in_the_run(place):
    key = PseudonymKey.read(own_key(place))
    content = own_key(place).read_text().strip()
    assert len(content) == 64
    assert holding(place / "run", content) == []
    assert not [path for path in (place / "run").rglob("*") if path.is_file() and key.secret in path.read_bytes()]
    assert content not in repr(key)
    assert repr(key.secret) not in repr(key)


def test_the_key_is_its_owners_alone(place):
    assert stat.S_IMODE(own_key(place).stat().st_mode) == 0o600


def test_a_user_is_asked_for_by_the_id_and_the_key(place):
    run = taskkit.load_run(place / "run", plugins=discover({"recsys"}))
    (prediction,) = run.predict([], user=USERS[3], top=2)
    assert len(prediction["prediction"]) == 2
    with pytest.raises(DataError, match=r"none\.key: the key of pseudonyms cannot be read: No such"):
        run.predict([], user=USERS[3], key="none.key")
    with pytest.raises(DataError, match=r"the run saw no user 'somebody'\. The run has pseudonyms"):
        run.predict([], user="somebody")


def test_messages_about_bad_rows_do_not_name_the_user(written):
    path = written(f"user,item,timestamp\n{USERS[0]},a,1\n{USERS[1]},,2\n{USERS[2]},b,soon\n")
    for text in (path.read_text(), path.read_text().replace(",,2", ",c,2")):
        with pytest.raises(DataError) as error:
            prepared(written(text), written("k" * 40, "own.key"))
        assert "row" in str(error.value)
        assert "person-" not in str(error.value)


def prepared(path, key):
    module = Interactions(sections.Interactions(events=str(path), pseudonymise=True, key=str(key)))
    return module.prepare(NextItem).spec


def test_a_key_of_ones_own_gives_the_same_pseudonyms_again(written):
    path = written("user,item,timestamp\nx,a,1\ny,b,2\n")
    first, again = (prepared(path, written("k" * 40, name)) for name in ("own.key", "copy.key"))
    assert tuple(first.input.users) == tuple(again.input.users)
    assert first.fingerprint == again.fingerprint
    other = prepared(path, written("j" * 40, "other.key"))
    assert not set(first.input.users) & set(other.input.users)
    assert first.input.key_check != other.input.key_check
    assert first.input.key.endswith("own.key")


def test_a_key_that_is_named_must_be_there(written, tmp_path):
    with pytest.raises(DataError, match=r"none\.key: the key.*cannot be read"):
        prepared(written("user,item,timestamp\nx,a,1\n"), tmp_path / "none.key")
    assert not (tmp_path / "none.key").exists()
