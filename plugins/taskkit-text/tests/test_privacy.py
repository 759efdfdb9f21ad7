"""Authors and ids under pseudonyms: nothing that a run leaves behind names one."""

import pytest
from pyarrow import parquet

import taskkit
from taskkit import Classes, DataError, PseudonymKey
from taskkit.plugins.discovery import discover
from taskkit_text import sections
from taskkit_text.table import Table

AUTHORS = [f"author-{number:02d}@example.org" for number in range(20)]
RECIPE = """
title: Private
task: {name: text.classification}
model: {name: text.bag, ngrams: 1, min_count: 1}
data: {name: text.table, file: texts.csv, id_column: mail, author_column: author, pseudonymise: true, key: own.key}
loader: {batch_size: 8}
trainer: {max_epochs: 1, accelerator: cpu, precision: 32-true}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with texts of twenty authors, a key and a recipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.key").write_text("k" * 40)
    (tmp_path / "own.key").chmod(0o600)
    rows = [f"{word} {n},{word},{who},mail-{n}-{who}" for n, who in enumerate(AUTHORS * 4) for word in ["ab"[n % 2]]]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label,author,mail", *rows, ""]))
    (tmp_path / "private.yaml").write_text(RECIPE)
    return tmp_path


def holding(folder, text):
    """The names of the files below a folder that hold a text, in themselves or in their paths."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return {path.name for path in files if text in str(path) or text.encode() in path.read_bytes()}


def test_no_author_and_no_id_is_in_the_run_or_in_the_cache(place, capsys):
    run = taskkit.run("private.yaml", out="run", plugins=discover({"text"}))
    assert holding(place / "run", "author-") == holding(place / "cache", "author-") == set()
    rows = parquet.read_table(place / "run" / "predictions.parquet").to_pylist()
    assert "author-" not in f"{rows} {capsys.readouterr()}"
    key = PseudonymKey.read(place / "own.key")
    assert {row["group"] for row in rows} <= set(map(key.pseudonym, AUTHORS))
    assert len({row["id"] for row in rows}) == len(rows)
    again = run.evaluate()
    assert again.metrics == run.metrics
    assert [row["id"] for row in again.rows] == [row["id"] for row in rows]
    # That the search would find them.
    taskkit.run("private.yaml", ["data.pseudonymise=false", "data.key=null"], out="open", plugins=discover({"text"}))
    assert holding(place / "open", "author-") == {"predictions.parquet"}
    assert holding(place / "cache", "author-")


def prepared(place, **changes):
    settings = {"id_column": "mail", "author_column": "author", **changes}
    return Table(sections.Table(file=str(place / "texts.csv"), **settings)).prepare(Classes)


def test_nobody_is_in_two_splits_and_the_same_key_gives_the_same_ones(place):
    private = {"pseudonymise": True, "key": str(place / "own.key")}
    found, again = prepared(place, **private), prepared(place, **private)
    groups = {split: {each.group for each in found.examples(split)} for split in ("train", "val", "test")}
    assert sum(map(len, groups.values())) == len(set().union(*groups.values())) == len(AUTHORS)
    assert found.spec.fingerprint == again.spec.fingerprint
    assert found.spec.fingerprint != prepared(place).spec.fingerprint
    assert "by a hash of the column 'author'" in found.spec.protocol["splits"]


def test_messages_have_the_pseudonym(place):
    table = place / "texts.csv"
    table.write_text(table.read_text().replace("mail-1-", "mail-0-").replace("author-01", "author-00"))
    with pytest.raises(DataError, match=r"row 2: its id '[0-9a-f]{20}' is that of row 1 too"):
        prepared(place, pseudonymise=True, key=str(place / "own.key"))


def test_pseudonyms_of_nobody_are_refused():
    assert "no name is read" in dict(sections.Table(pseudonymise=True).problems())["pseudonymise"]
    assert "pseudonymise" not in dict(sections.Table(pseudonymise=True, id_column="mail").problems())


def test_a_text_without_an_author_is_its_own(place):
    table = place / "texts.csv"
    table.write_text(table.read_text().replace(AUTHORS[0], "", 1))
    found = prepared(place)
    examples = [each for split in ("train", "val", "test") for each in found.examples(split)]
    assert [each.id for each in examples if each.group is None] == [f"mail-0-{AUTHORS[0]}"]
