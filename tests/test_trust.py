"""What a stranger hands over runs no code, writes nowhere else, and takes no more than there is.

What each kind of file is held to stands in docs/explanation/trust-plugins.md, with the test that holds it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from taskkit import CheckpointError, DataError, SourceError, Url, fetch, load_run, read_table
from taskkit.runs.checkpoint import load_safely
from taskkit.runs.packing import declared_facts, unpack

OLD = Path(__file__).parent / "runs/0.1"
Taskkit = Callable[..., subprocess.CompletedProcess[str]]


def test_the_tests_that_the_documentation_names_are_there() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs/explanation/trust-plugins.md").read_text()
    named = set(re.findall(r"`((?:plugins/[\w-]+/)?tests/\S+?\.py)`", page))
    assert len(named) > 10
    assert [name for name in named if not (root / name).is_file()] == []


class Bomb:
    """A pickle that leaves a mark where it is opened as pickles are."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def bomb(tmp_path: Path) -> Bomb:
    return Bomb(tmp_path / "mark")


def test_the_bomb_of_these_tests_goes_off(bomb: Bomb) -> None:
    pickle.loads(pickle.dumps(bomb))
    assert bomb.mark.is_dir()


@pytest.mark.parametrize("form", ["zip", "pickle", "legacy"])
@pytest.mark.parametrize("name", ["checkpoints/best.ckpt", "checkpoints/conclusion.pt"])
def test_code_in_a_checkpoint_is_refused_and_not_run(name: str, form: str, bomb: Bomb, tmp_path: Path) -> None:
    run = shutil.copytree(OLD / "text", tmp_path / "run")
    content = {"state_dict": {}, "taskkit": {"format": 2, "recipe": bomb}}
    if form == "pickle":
        (run / name).write_bytes(pickle.dumps(content))
    else:
        torch.save(content, run / name, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(
        CheckpointError, match=f"{re.escape(str(run / name))}: refused, since it holds more than"
    ) as error:
        load_safely(run / name)
    assert form == "pickle" or "posix.mkdir" in str(error.value)  # torch does not name what an old pickle calls
    assert "weights_only` set to `False`" not in str(error.value)
    if name.endswith("best.ckpt"):
        with pytest.raises(CheckpointError):
            load_run(run).predict("a text")
    assert not bomb.mark.exists()


@pytest.mark.parametrize(
    "reference", ["taskkit:run", "taskkit.api:run", "taskkit:fetch", "taskkit:none", "taskkit:Url"]
)
def test_a_checkpoint_names_facts_and_calls_nothing_else(reference: str, tmp_path: Path) -> None:
    # As `taskkit.run(recipe=…)` would be called where a name of taskkit were taken for a fact as it stands.
    spec = {"type": reference, "fields": {"recipe": str(tmp_path / "theirs.yaml")}}
    with pytest.raises(CheckpointError, match=f"of the type {reference}, which no installed plugin declares"):
        unpack({"input": spec, "target": spec, "fingerprint": "", "origins": (), "protocol": {}}, declared_facts(()))


def test_the_module_of_a_fact_that_nobody_declares_is_not_imported() -> None:
    with pytest.raises(CheckpointError, match="of the type antigravity:Fact, which no installed plugin declares"):
        declared_facts(())("antigravity:Fact")
    assert "antigravity" not in sys.modules


def archives(names: dict[str, bytes | str]) -> dict[str, bytes]:
    """A zip and a tar archive of files, and of links where a text says where they lead."""
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, content in names.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if isinstance(content, str) else 0o100644) << 16
            archive.writestr(info, content)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return {"zip": zipped.getvalue(), "tar": tarred.getvalue()}


HOSTILE: dict[str, dict[str, bytes | str]] = {
    "a name that leads out": {"../../../evil.txt": b"evil"},
    "a name from the root": {"/tmp/taskkit-evil/evil.txt": b"evil"},
    "a link and a file behind it": {"away": "/tmp/taskkit-evil", "away/evil.txt": b"evil"},
    "a link to a secret": {"evil.txt": "/etc/passwd"},
    "a link that leads out": {"evil.txt": "../../../../../../../../etc/passwd"},
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("names", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_writes_into_its_own_folder_alone(
    names: dict[str, bytes | str], kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "deep/er/cache"))
    archive = tmp_path / f"archive.{kind}"
    archive.write_bytes(archives({**names, "good.txt": b"good"})[kind])
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    source = Url(archive.as_uri(), sha256=sha256, archive=kind)
    refused = pytest.raises(SourceError, match="would be written outside its folder")
    leads_out = any(isinstance(content, bytes) and not name.startswith("away") for name, content in names.items())
    with refused if leads_out else nullcontext():
        fetch("hostile", {"*.txt": None}, [source])
    kept = (tmp_path / "deep").rglob("*.txt")
    assert [path for path in kept if path.is_symlink() or b"root:" in path.read_bytes()] == []
    written = [path for path in tmp_path.rglob("evil.txt") if not path.is_relative_to(tmp_path / "deep/er/cache")]
    assert written == []
    assert not Path("/tmp/taskkit-evil").exists()


def test_a_table_that_is_small_on_the_disk_and_not_in_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.parquet"
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 10**6, pa.int32()), pa.array(["a" * 10**6]))
    pq.write_table(pa.table({"text": repeated}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"small\.parquet: it takes 931 GiB once it is decoded"):
        read_table(path)
    fair = pa.DictionaryArray.from_arrays(pa.array([0] * 10**4, pa.int32()), pa.array(["a" * 1000]))
    pq.write_table(pa.table({"text": fair}), path, store_schema=False)
    assert read_table(path).content.num_rows == 10**4


def test_a_class_with_escape_sequences_reaches_no_terminal(taskkit: Taskkit, tmp_path: Path) -> None:
    hostile = "\x1b]0;mine\x07\x1b[31mred"
    rows = [{"text": f"text {n}", "label": hostile if n % 2 else "good"} for n in range(40)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "mine.yaml").write_text(
        "task: {name: text.classification}\nmodel: {name: text.bag}\n"
        "data: {name: text.table, file: texts.jsonl}\ntrainer: {max_epochs: 1}\n"
    )
    checked = taskkit("check", "mine.yaml", "--data", TASKKIT_PLUGINS="text")
    said = checked.stdout + checked.stderr
    assert "\\x1b]0;mine\\x07\\x1b[31mred" in said
    assert not set(said) & set("\x1b\x07")
