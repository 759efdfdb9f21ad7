"""Data sets of the hub: read from Parquet files, whoever fetched them."""

import importlib.util
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskkit import Classes, DataError, SourceError
from taskkit_text import sections
from taskkit_text.huggingface import HuggingFace

SPLITS = ("train", "val", "test")
FEATURES = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}


@pytest.fixture
def root(tmp_path):
    """A folder as the hub's files are kept, with splits of 60, 20 and 10 texts."""
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    for split, count in {"train": 60, "validation": 20, "test": 10}.items():
        columns = {"text": [f"{split} {n}" for n in range(count)], "label": [n % 2 for n in range(count)]}
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / f"{split}.parquet")
    return tmp_path


def prepared(root, **settings):
    return HuggingFace(sections.HuggingFace("owner/name", root=str(root), **settings)).prepare(Classes)


def sizes(found):
    return [len(found.examples(split)) for split in SPLITS]


def test_its_own_splits_and_class_names_are_used(root):
    found = prepared(root)
    spec = found.spec
    assert sizes(found) == [60, 20, 10]
    assert spec.target == Classes(("no", "yes"), (30, 30))
    assert spec.origins[0].citation == "https://huggingface.co/datasets/owner/name"
    assert spec.protocol["splits"] == "val as the data say, test as the data say"


def shard(root, split, *counts):
    """Cut the file of a split into shards of so many rows, as the hub names them."""
    whole = pq.read_table(root / f"{split}.parquet")
    (root / f"{split}.parquet").unlink()
    for number, count in enumerate(counts):
        part = whole.slice(sum(counts[:number]), count)
        pq.write_table(part, root / f"{split}-{number:05d}-of-{len(counts):05d}.parquet")


def test_shards_of_a_split_are_read_together_in_order(root):
    whole = prepared(root)
    shard(root, "train", 50, 7, 3)
    shard(root, "test", 10)
    found = prepared(root)
    for split in SPLITS:
        assert found.examples(split) == whole.examples(split)
    assert found.spec.fingerprint == whole.spec.fingerprint
    assert found.spec.target == whole.spec.target


def test_a_mistake_in_a_shard_is_named_by_its_own_row(root):
    shard(root, "train", 50, 10)
    path = root / "train-00001-of-00002.parquet"
    columns = pq.read_table(path)
    pq.write_table(columns.set_column(0, "text", pa.array(["x", None, *["y"] * 8])), path)
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet: row 2: column 'text' is empty"):
        prepared(root)
    pq.write_table(columns.drop_columns("text"), path)
    with pytest.raises(DataError, match="cannot be read together with train-00001"):
        prepared(root)


def test_a_shard_that_is_missing_is_told(root):
    shard(root, "train", 50, 7, 3)
    (root / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(DataError, match=r"of the split 'train' there are 2 files, train-00000.* 3 were expected"):
        prepared(root)


def test_a_split_that_it_lacks_is_taken_from_training(root):
    (root / "test.parquet").unlink()
    train, val, test = sizes(prepared(root, test_share=0.3))
    assert val == 20
    assert test > 5
    assert train + test == 60


def test_its_validation_split_may_test_where_the_test_split_hides_its_classes(root):
    train, val, test = sizes(prepared(root, test_split="validation"))
    assert test == 20
    assert val > 0
    assert train + val == 60


def test_a_split_that_is_not_there_is_an_error_with_those_that_are(root):
    with pytest.raises(DataError, match=r"has no split 'dev'\. It has test, train, validation\. Set data\.val_split"):
        prepared(root, val_split="dev")


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="the datasets library is installed")
def test_without_the_library_an_error_says_how_to_get_it():
    with pytest.raises(SourceError, match=r"pip install 'taskkit-text\[hub\]'.*\n.*data\.root=FOLDER"):
        HuggingFace(sections.HuggingFace("owner/name")).prepare(Classes)


def test_the_library_fetches_once_and_keeps_the_names_of_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = {"text": [f"text {n}" for n in range(60)], "label": [n % 2 for n in range(60)]}
    folder = tmp_path / "hub"
    folder.mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "train.parquet")
    spec = HuggingFace(sections.HuggingFace(str(folder))).prepare(Classes).spec
    assert spec.target.names == ("no", "yes")
    (folder / "train.parquet").unlink()
    assert HuggingFace(sections.HuggingFace(str(folder))).prepare(Classes).spec.fingerprint == spec.fingerprint


def test_one_split_cannot_be_used_twice():
    assert "one split is used twice" in dict(sections.HuggingFace("x", test_split="train").problems())["test_split"]
