"""The store of encoded samples, with real processors, real worker processes, real kills and real packages."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import logging
import os
import pickle
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from taskkit.batches import entries
from taskkit.batches.encode import encode
from taskkit.batches.entries import evict, limit, parse_size, size_text
from taskkit.batches.store import Encoded, key
from taskkit.cachedir import HELD, exclusive, hold, remove, sweep
from taskkit.contracts.facts import Classes, Example, Values
from taskkit.contracts.model import Processor, Sample
from taskkit.errors import DataError, RunFailedError, TaskkitError
from tests.halfway import processes, said


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "samples"


class Words(Processor):
    """Turns text into numbers, a sample a line; learns nothing but may be told to count from elsewhere."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def read(self, source: str, options: object) -> list[Example]:
        return [Example(source, source)]

    def encode(self, example: Example) -> list[Sample]:
        return [self.line(line, example.target) for line in example.input.splitlines()]

    def line(self, line: str, target: int | None) -> Sample:
        if "?" in line:
            raise ValueError("there is a question mark")
        sample = {"tokens": torch.tensor([self.first + len(word) for word in line.split()])}
        return sample if target is None else {**sample, "target": torch.tensor(target)}

    def length(self, sample: Sample) -> int:
        return len(sample["tokens"])

    def state_dict(self) -> dict[str, int]:
        return {"first": self.first}


@dataclass
class Given(Processor):
    """Hands over the samples that its examples hold."""

    def read(self, source: str, options: object) -> list[Example]:
        return [Example(source, source)]

    def encode(self, example: Example) -> list[Sample]:
        return example.input


@dataclass
class Sized(Given):
    """Says by its settings what decides its samples."""

    size: int = 8

    def settings(self) -> dict[str, int]:
        return {"size": self.size}


def words(count: int = 50) -> list[Example]:
    return [Example(f"text-{i}", "word " * (1 + i % 3), i % 5) for i in range(count)]


def given(*samples: Sample) -> list[Example]:
    return [Example(str(number), [sample]) for number, sample in enumerate(samples)]


def same(left: Sample, right: Sample) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and equal(left[name], right[name])
        for name in left
    )


def equal(left: Tensor, right: Tensor) -> bool:
    if not left.numel():
        return not right.numel()
    return torch.equal(left.reshape(-1).view(torch.uint8), right.reshape(-1).view(torch.uint8))


def all_same(encoded: Encoded, samples: list[Sample]) -> bool:
    return len(encoded) == len(samples) and all(map(same, encoded, samples))


@pytest.mark.parametrize("name", [None, "k"])
@pytest.mark.parametrize("workers", [0, 2])
def test_samples_come_back_as_the_processor_made_them_in_order(name, workers):
    examples = words()
    encoded = encode(examples, Words(), key=name, workers=workers)
    assert all_same(encoded, [sample for example in examples for sample in Words().encode(example)])
    assert list(encoded.ids) == [example.id for example in examples]
    assert encoded.lengths.tolist() == [1 + i % 3 for i in range(50)]
    assert encoded.fields == ("tokens", "target")


@pytest.mark.parametrize("name", [None, "k"])
def test_every_dtype_survives(name):
    dtypes = [
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
    ]  # fmt: skip
    samples = [{str(dtype): (torch.randn(2, 3) * 5).abs().to(dtype) for dtype in dtypes} for _ in range(3)]
    assert all_same(encode(given(*samples), Given(), key=name), samples)


@pytest.mark.parametrize("name", [None, "k"])
def test_shapes_may_differ_and_fields_may_be_absent(name):
    samples = [
        {"audio": torch.arange(3.0), "scalar": torch.tensor(1)},
        {"audio": torch.empty(0), "scalar": torch.tensor(2), "late": torch.tensor(True)},
        {"audio": torch.ones(2, 2), "scalar": torch.tensor(3)},
        {"scalar": torch.tensor(4)},
    ]
    encoded = encode(given(*samples), Given(), key=name)
    assert all_same(encoded, samples)
    assert encoded.column("audio") is None
    assert encoded.column("late") is None
    assert encoded.column("scalar").tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", [None, "k"])
def test_strange_shapes_survive(name):
    samples = [{"empty": torch.empty(0, 3), "turned": torch.arange(6).view(2, 3).T, "none": torch.empty(2, 0)}] * 2
    samples = [{**sample, "numpy": torch.from_numpy(np.array([], np.int32))} for sample in samples]
    encoded = encode(given(*samples), Given(), key=name)
    assert all_same(encoded, samples)
    assert encoded.column("empty").shape == (2, 0, 3)


def test_a_column_is_all_samples_of_a_field_and_no_copy():
    encoded = encode(given(*({"image": torch.full((1, 2, 2), i)} for i in range(4))), Given(), key="k")
    column = encoded.column("image")
    assert column.shape == (4, 1, 2, 2)
    assert column[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert column.data_ptr() == encoded.column("image").data_ptr()
    assert encoded.column("no such field") is None
    assert encoded.nbytes == 4 * 4 * 8


def test_several_samples_of_one_example_know_whose_they_are():
    examples = [Example("a", "one\ntwo two"), Example("b", "three"), Example("c", "four\nfive\nsix")]
    encoded = encode(examples, Words(), key="k")
    assert encoded.example_of.tolist() == [0, 0, 1, 2, 2, 2]
    assert encoded.example_of.dtype == encoded.lengths.dtype == np.int64
    assert encoded.lengths.tolist() == [1, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("name", [None, "k"])
def test_no_examples_are_no_samples(name):
    for _ in range(2):
        encoded = encode([], Words(), key=name)
        assert len(encoded) == 0
        assert list(encoded) == []


class Counting(Words):
    """Keeps a note of each example that it encodes."""

    def __init__(self, notes: Path) -> None:
        super().__init__()
        self.notes = notes

    def encode(self, example: Example) -> list[Sample]:
        with self.notes.open("a") as notes:
            notes.write(f"{example.id}\n")
        return super().encode(example)


def test_what_was_encoded_once_is_not_encoded_again(tmp_path):
    notes = tmp_path / "notes"
    first = encode(words(), Counting(notes), key="k", workers=2)
    second = encode(words(), Counting(notes), key="k")
    assert all_same(second, list(first))
    assert (list(second.ids), second.lengths.tolist()) == (list(first.ids), first.lengths.tolist())
    assert sorted(notes.read_text().split()) == sorted(first.ids)


@pytest.mark.parametrize("name", ["caf\u00e9", os.fsdecode(b"caf\xe9"), "two\nlines"])
def test_the_cache_may_have_any_name(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / name))
    for _ in range(2):
        encoded = encode(words(), Words(), key="k")
        assert all_same(encoded, list(encode(words(), Words(), key=None)))


def test_without_a_key_nothing_is_written(cache):
    encode(words(), Words(), key=None)
    assert not cache.exists()


def test_progress_is_told_up_to_the_end():
    told: list[tuple[int, int]] = []
    encode(words(40), Words(), key="k", progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (40, 40)
    assert len(told) > 1


@pytest.mark.parametrize("workers", [0, 2])
def test_encoding_leaves_the_random_numbers_of_a_run_alone(workers):
    before = torch.get_rng_state()
    encode(words(), Words(), key=None, workers=workers)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("name", "method"), [(None, "fork"), ("k", "fork"), ("k", "spawn")])
def test_samples_reach_worker_processes(name, method):
    encoded = encode(words(6), Words(), key=name)
    loader = DataLoader(encoded, batch_size=2, num_workers=1, collate_fn=list, multiprocessing_context=method)
    assert all(map(same, (sample for batch in loader for sample in batch), encoded))


def test_a_copy_for_another_process_takes_no_samples_along():
    encoded = encode(given({"image": torch.zeros(100, 100)}), Given(), key="k")
    pickled = pickle.dumps(encoded)
    assert len(pickled) < 1000
    assert all_same(pickle.loads(pickled), list(encoded))


def test_a_sample_takes_no_other_samples_along():
    encoded = encode(
        given(*({"image": torch.zeros(100), "ragged": torch.zeros(i)} for i in range(9))), Given(), key="k"
    )
    assert encoded[4]["image"].untyped_storage().nbytes() == 400
    assert encoded[4]["ragged"].untyped_storage().nbytes() == 16


def test_writing_into_a_sample_or_a_column_never_reaches_the_cache():
    encoded = encode(given({"image": torch.zeros(3)}), Given(), key="k")
    encoded[0]["image"].fill_(7)
    assert encoded[0]["image"].tolist() == [0, 0, 0]
    encoded.column("image").fill_(7)
    assert encode([], Given(), key="k")[0]["image"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_example_that_cannot_be_encoded_is_named(workers, cache):
    examples = [*words(40), Example("the culprit", "what?")]
    with pytest.raises(DataError, match="example 'the culprit': Words cannot encode it: ValueError: there is a"):
        encode(examples, Words(), key="k", workers=workers)
    assert not list(cache.glob("k*/"))


class Unreadable(list[Example]):
    """Examples of which one is a broken file."""

    def __getitem__(self, number: int) -> Example:
        if number == 3:
            raise OSError("broken.png cannot be read")
        return super().__getitem__(number)


def test_an_example_that_cannot_be_read_is_numbered():
    with pytest.raises(DataError, match=r"example number 3: .*OSError: broken\.png"):
        encode(Unreadable(words()), Words(), key=None)


def test_an_example_that_gives_no_sample_is_named():
    with pytest.raises(DataError, match="example 'empty': Words makes no sample of it"):
        encode([*words(2), Example("empty", "")], Words(), key=None)


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_a_sample_without_length_is_named_where_batches_are_planned_by_it(layout):
    processor = Words()
    processor.layout = layout
    examples = [*words(3), Example("empty", " ")]
    with pytest.raises(DataError, match=r"^example 'empty': Words makes a sample of it whose length is 0\. 1 at least"):
        encode(examples, processor, key=None)


def test_ids_are_what_they_were_whatever_their_letters(cache):
    names = ["", "a", "é", "日本", "a" * 300, "\udcff", "b"]
    for name in (None, "k"):
        ids = encode([Example(each, "one two") for each in names], Words(), key=name).ids
        assert [ids[number] for number in range(-7, 7)] == names * 2
        assert list(ids) == names
        assert ids[2:4] == names[2:4]
        with pytest.raises(IndexError):
            ids[7]


def test_a_flag_that_only_some_samples_have_marks_those_alone():
    windows = [{"x": torch.tensor(0)}, *({"x": torch.tensor(0), "flag_cut": torch.tensor(n)} for n in (0, 1))]
    which = {"a": [0], "b": [1], "c": [0, 2], "d": [2, 2]}
    examples = [Example(name, [windows[number] for number in numbers]) for name, numbers in which.items()]
    assert encode(examples, Given(), key=None).flagged() == {"cut": ["c", "d"]}


def test_two_examples_of_one_id_are_an_error_that_names_it():
    with pytest.raises(DataError, match="example 'text-1': number 1 of its split has the same id as number 3"):
        encode([*words(3), Example("text-1", "again")], Words(), key=None)


def test_a_field_that_changes_its_dtype_is_an_error_that_names_example_and_field():
    with pytest.raises(DataError, match="example '1': field 'x' is float32, and int64 before"):
        encode(given({"x": torch.tensor(1)}, {"x": torch.tensor(1.0)}), Given(), key=None)


def test_a_field_that_is_no_tensor_is_an_error_that_names_example_and_field():
    with pytest.raises(DataError, match="example '0': field 'x' is a list"):
        encode(given({"x": [1, 2]}), Given(), key=None)


class Dying(Words):
    """Ends its worker process the way an out-of-memory killer does."""

    def encode(self, example: Example) -> list[Sample]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []


def test_a_worker_that_dies_fails_the_run_and_says_what_to_try():
    with pytest.raises(RunFailedError, match=r"process that reads samples ended before its time.*loader\.workers"):
        encode(words(), Dying(), key=None, workers=1)


def truncate(entry: Path) -> None:
    os.truncate(entry / "0.bin", 8)


def lose_field(entry: Path) -> None:
    (entry / "0.bin").unlink()


def change_index(entry: Path) -> None:
    index = entry / "index.json"
    index.write_text(index.read_text().replace("tokens", "tokenz"))


def halve_index(entry: Path) -> None:
    os.truncate(entry / "index.json", (entry / "index.json").stat().st_size // 2)


def change_table(entry: Path) -> None:
    lengths = np.load(entry / "lengths.npy")
    np.save(entry / "lengths.npy", lengths + 1)


def change_about(entry: Path) -> None:
    (entry / "about.json").write_text("{")


def lose_lock(entry: Path) -> None:
    (entry / HELD).unlink()


@pytest.mark.parametrize(
    "damage", [truncate, lose_field, change_index, halve_index, change_table, change_about, lose_lock]
)
def test_a_damaged_entry_is_encoded_again(damage: Callable[[Path], None], cache):
    whole = list(encode(words(), Words(), key="k"))
    damage(cache / "k")
    with pytest.raises(DataError, match="damaged"):
        Encoded.open(cache / "k")
    again = encode(words(), Words(), key="k")
    assert all_same(again, whole)
    assert again.lengths.tolist() == [1 + i % 3 for i in range(50)]
    assert "text-1" in again.ids


FILLER = """
import logging, resource, sys
import torch
from taskkit.batches.encode import encode
from taskkit.errors import TaskkitError
from taskkit.contracts.facts import Example

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
notes, waits, room = sys.argv[1], sys.argv[2] == "waits", int(sys.argv[3])
if room:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

class Squares:  # a Processor in what it does
    def length(self, sample):
        return 1
    def encode(self, example):
        if example.input == 50:
            with open(notes, "a") as calls:
                calls.write("call\\n")
            print("half", flush=True)
            if waits:
                sys.stdin.readline()
        return [{"square": torch.full((1000,), example.input ** 2)}]

try:
    encoded = encode([Example(str(i), i) for i in range(100)], Squares(), key="k")
except TaskkitError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(encoded.column("square")[:, 0].tolist() == [i ** 2 for i in range(100)], flush=True)
"""


@pytest.fixture
def filler(tmp_path):
    """Start processes that encode a hundred numbers and stop half-way until they are told to go on."""
    with processes(FILLER) as start:
        yield lambda waits="waits", room=0: start(tmp_path / "calls", waits, room)


def test_a_fill_killed_half_way_is_done_again_from_nothing(filler, cache):
    killed = filler()
    said(killed, "half")
    assert [path.name for path in cache.glob("k.partial-*")] == [f"k.partial-{killed.pid}"]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (cache / "k").exists()

    assert filler("goes on").communicate()[0].split() == ["half", "True"]
    assert not list(cache.glob("*.partial-*"))


def test_two_processes_at_once_do_the_work_once_and_leave_one_good_entry(filler, cache, tmp_path):
    first = filler()
    said(first, "half")
    second = filler()
    said(second, "waiting for another process")
    assert first.communicate("go on\n")[0].split() == ["True"]
    assert second.communicate()[0].split() == ["True"]
    assert (tmp_path / "calls").read_text() == "call\n"
    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["k"]


def test_a_cache_without_room_fails_the_run_and_says_what_to_do(filler, cache):
    full = filler("goes on", room=100_000)
    _, error = full.communicate()
    assert full.returncode == 1
    assert error.startswith(f"MachineError: {cache / 'k'}: the encoded samples cannot be written: ")
    assert "File too large" in error
    assert "loader.cache=false" in error
    assert not list(cache.glob("k*/"))


CLASSES = Classes(("a", "b"))
BASE = {"fingerprint": "f", "split": "train", "target": CLASSES, "processor": Words(), "section": {"depths": [1, 2]}}


def test_a_key_names_everything_that_decides_the_samples():
    changes = {
        "fingerprint": "g",
        "split": "val",
        "target": Values(),
        "processor": Words(first=1),
        "section": {"depths": [1, 3]},
    }
    keys = [key(**BASE), *(key(**{**BASE, name: value}) for name, value in changes.items())]
    assert len(set(keys)) == len(keys)
    assert key(**{**BASE, "processor": Words()}) == keys[0]
    assert key(**{**BASE, "section": {"depths": (1, 2)}}) == keys[0]


def test_of_a_processor_with_settings_nothing_else_of_the_model_counts():
    def sized(size: int, width: int) -> str | None:
        return key(**{**BASE, "processor": Sized(size), "section": {"width": width, "size": size}})

    assert sized(8, width=4) == sized(8, width=16)
    assert sized(8, width=4) != sized(9, width=4)


def test_another_width_finds_the_same_entry(cache):
    for width in (4, 8, 16):
        name = key(**{**BASE, "processor": Sized(8), "section": {"width": width}})
        encode(given({"x": torch.zeros(8)}), Sized(8), key=name)
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1


class Holding(Given):
    """Has a state of whatever is given to it."""

    def __init__(self, state: object) -> None:
        self.state = state

    def state_dict(self) -> dict[str, object]:
        return {"state": self.state}


STATES = [
    None, True, 1, "1", [1], {1}, {"1": 1}, {1: 1}, b"1",
    torch.tensor(1), torch.tensor([1]), torch.tensor(1.0), np.array(1), np.array([2]),
]  # fmt: skip


def test_every_kind_of_state_makes_a_key_of_its_own():
    keys = [key("f", "train", CLASSES, Holding(state), {}) for state in STATES]
    assert len(set(keys)) == len(STATES)


def test_a_state_that_is_not_plain_data_is_refused():
    with pytest.raises(TypeError, match=r"is a Words\. A processor's state and settings hold plain data"):
        key("f", "train", CLASSES, Holding(Words()), {})


PROCESSOR = """
from taskkit.contracts.model import Processor
class Mine(Processor):
    def read(self, source, options): ...
    def encode(self, example): return [{}]
"""


def key_of(path: Path, name: str) -> str | None:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        return key("f", "train", CLASSES, module.Mine(), {})
    finally:
        del sys.modules[name]


def test_edited_code_is_another_key(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PROCESSOR)
    before = key_of(path, "mine")
    (tmp_path / "unrelated.py").write_text("")
    assert key_of(path, "mine") == before
    path.write_text(PROCESSOR + "# edited")
    assert key_of(path, "mine") != before


def test_an_edit_beside_the_processor_in_its_package_is_another_key(tmp_path):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "helper.py").touch()
    (tmp_path / "mine.py").write_text(PROCESSOR)
    before = key_of(tmp_path / "mine.py", "mine")
    (tmp_path / "helper.py").write_text("# edited")
    assert key_of(tmp_path / "mine.py", "mine") != before


def test_an_edit_elsewhere_in_its_package_is_another_key(tmp_path):
    for folder in (tmp_path / "whole", tmp_path / "whole/inner", tmp_path / "whole/aside"):
        folder.mkdir()
        (folder / "__init__.py").touch()
    (tmp_path / "whole/inner/mine.py").write_text(PROCESSOR)
    before = key_of(tmp_path / "whole/inner/mine.py", "whole.inner.mine")
    (tmp_path / "whole/aside/helper.py").write_text("# new")
    assert key_of(tmp_path / "whole/inner/mine.py", "whole.inner.mine") != before


def test_an_edit_in_another_part_of_a_namespace_is_another_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for folder in (tmp_path / "shared_name/inner", tmp_path / "shared_name/aside"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    (tmp_path / "shared_name/inner/mine.py").write_text(f"def late():\n    import shared_name.aside\n{PROCESSOR}")
    before = key_of(tmp_path / "shared_name/inner/mine.py", "shared_name.inner.mine")
    (tmp_path / "shared_name/aside/helper.py").write_text("# new")
    assert key_of(tmp_path / "shared_name/inner/mine.py", "shared_name.inner.mine") != before


def test_a_helper_that_is_not_installed_counts_by_its_code_and_by_what_it_imports(tmp_path, site, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(site.path))
    (tmp_path / "tiny_helper.py").write_text("")
    (tmp_path / "mine.py").write_text(f"def late():\n    import tiny_helper\n{PROCESSOR}")
    keys = [key_of(tmp_path / "mine.py", "mine")]
    (tmp_path / "tiny_helper.py").write_text("import tiny_tokens")
    keys.append(key_of(tmp_path / "mine.py", "mine"))
    for version in ("1.0", "2.0"):
        install(site, version)
        keys.append(key_of(tmp_path / "mine.py", "mine"))
    assert len(set(keys)) == len(keys)


def test_a_key_does_not_depend_on_what_is_imported_by_now(tmp_path, site, monkeypatch):
    monkeypatch.syspath_prepend(str(site.path))
    install(site, "1.0")
    (tmp_path / "mine.py").write_text(f"def late():\n    import tiny_tokens\n{PROCESSOR}")
    before = key_of(tmp_path / "mine.py", "mine")
    importlib.import_module("tiny_tokens")
    try:
        assert key_of(tmp_path / "mine.py", "mine") == before
    finally:
        del sys.modules["tiny_tokens"]


def install(site, version: str) -> None:
    """Install a tiny package that cuts text, in place of its other versions."""
    shutil.rmtree(site.path, ignore_errors=True)
    site.add("tiny-tokens", {}, {"tiny_tokens.py": f"__version__ = {version!r}\ncut = str.split\n"}, version)
    importlib.invalidate_caches()


TOKENS = """
import torch
from taskkit import Processor

class Tokens(Processor):
    def read(self, source, options): ...
    def encode(self, example):
        import tiny_tokens
        print("encodes")
        return [{"count": torch.tensor(len(tiny_tokens.cut(example.input)))}]
"""
ENCODES = """
from tokens_processor import Tokens
from taskkit.batches.encode import encode
from taskkit.batches.store import key
from taskkit.contracts.facts import Classes, Example

for split in ("train", "train", "val"):
    name = key("f", split, Classes(("a", "b")), Tokens(), {})
    print(encode([Example("1", "one two")], Tokens(), key=name)[0]["count"].item())
"""


def test_another_version_of_a_package_that_the_processor_imports_encodes_again(site, environment, cache, tmp_path):
    (tmp_path / "tokens_processor.py").write_text(TOKENS)

    def run() -> list[str]:
        variables = environment(site.path, tmp_path, TASKKIT_CACHE=str(cache.parent))
        ended = subprocess.run([sys.executable, "-c", ENCODES], env=variables, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.split()

    install(site, "1.0")
    assert run() == ["encodes", "2", "2", "encodes", "2"]
    install(site, "2.0")
    assert run() == ["encodes", "2", "2", "encodes", "2"]


def test_a_package_that_an_installer_linked_from_its_store_counts_by_its_version(site, environment, tmp_path):
    (tmp_path / "tokens_processor.py").write_text(TOKENS)
    install(site, "3.1")
    store = tmp_path / "store.py"
    (site.path / "tiny_tokens.py").rename(store)
    (site.path / "tiny_tokens.py").symlink_to(store)
    ask = "from taskkit.batches.code import code_of; from tokens_processor import Tokens; print(code_of(Tokens))"
    variables = environment(site.path, tmp_path)
    ended = subprocess.run([sys.executable, "-c", ask], env=variables, capture_output=True, text=True)
    assert "tiny-tokens 3.1" in ended.stdout, ended.stderr


def test_code_that_cannot_be_read_has_no_key():
    typed_in = {"__name__": "typed_in"}
    exec(PROCESSOR, typed_in)
    assert key("f", "train", CLASSES, typed_in["Mine"](), {}) is None


def test_the_index_of_an_entry_is_plain_json(cache):
    encode(words(3), Words(), key="k")
    sealed = json.loads((cache / "k" / "index.json").read_text())
    index = json.loads(sealed["index"])
    assert index["fields"] == [
        {"name": "tokens", "dtype": "int64", "shape": None},
        {"name": "target", "dtype": "int64", "shape": []},
    ]


def test_examples_of_flagged_samples_are_named_once_for_each_flag():
    windows = [{"x": torch.tensor(n), "flag_cut_off": torch.tensor(n % 2)} for n in range(4)]
    examples = [Example("a", windows[:2]), Example("b", windows[2:3]), Example("c", [windows[1], windows[3]])]
    assert encode(examples, Given(), key=None).flagged() == {"cut off": ["a", "c"]}
    assert encode(given({"x": torch.tensor(1)}), Given(), key=None).flagged() == {}


# How large it may grow.


def fill(*names: str, size: int = 1000) -> None:
    """Make entries of about `size` bytes that were used last in this order, a day after each other, until yesterday."""
    for age, name in enumerate(reversed(names), start=1):
        about = {"data": "some.data", "split": name, "model": "some.model"}
        encode(given({"x": torch.zeros(size, dtype=torch.uint8)}), Given(), key=name, about=about)
        then = time.time() - age * 24 * 3600
        os.utime(entries.folder() / name / "index.json", (then, then))


def kept() -> list[str]:
    return sorted(path.name for path in entries.folder().iterdir() if path.is_dir())


OPEN = "from taskkit.batches.store import Encoded; opened = Encoded.open(Path(sys.argv[1]))"
HOLD = "from taskkit.cachedir import hold; opened = hold(Path(sys.argv[1]))"


@pytest.fixture
def holder(cache):
    """Start a process that has an entry open until its standard input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, way: str = HOLD) -> subprocess.Popen[str]:
        source = f"import sys; from pathlib import Path; {way}; print('open', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", source, str(cache / name)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        said(process, "open")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_an_entry_says_what_it_is(cache):
    fill("k", size=500)
    about = json.loads((cache / "k" / "about.json").read_text())
    assert datetime.fromisoformat(about.pop("created")).tzinfo
    assert about.pop("size") > 500
    assert about == {
        "data": "some.data",
        "split": "k",
        "model": "some.model",
        "processor": f"{__name__}:Given",
        "examples": 1,
        "samples": 1,
    }


def test_the_least_recently_used_go_first_until_the_rest_fit():
    fill("a", "b", "c", "d")
    sizes = {entry.folder.name: entry.size for entry in entries.entries()}
    assert [entry.folder.name for entry in evict(sizes["c"] + sizes["d"])] == ["a", "b"]
    assert kept() == ["c", "d"]
    assert evict(sizes["c"] + sizes["d"]) == []


def test_opening_is_a_use(cache):
    fill("a", "b")
    Encoded.open(cache / "a")
    assert [entry.folder.name for entry in entries.entries()] == ["b", "a"]


def test_what_is_open_is_not_evicted(cache):
    fill("a", "b")
    encoded = Encoded.open(cache / "a")
    assert [entry.folder.name for entry in evict(0)] == ["b"]
    copy = pickle.loads(pickle.dumps(encoded))
    del encoded
    assert evict(0) == []
    assert copy[0]["x"].shape == (1000,)
    del copy
    assert [entry.folder.name for entry in evict(0)] == ["a"]


def test_what_another_process_holds_open_is_not_evicted(holder, cache):
    fill("a", "b")
    other = holder("a", OPEN)
    assert [entry.folder.name for entry in evict(0)] == ["b"]
    assert kept() == ["a"]
    other.kill()
    other.wait()
    assert [entry.folder.name for entry in evict(0)] == ["a"]


def test_what_is_being_made_is_not_removed(filler, cache):
    making = filler()
    said(making, "half")
    assert evict(0) == []
    assert sweep(cache) == 0
    assert making.communicate("go on\n")[0].split() == ["True"]
    assert kept() == ["k"]


def test_an_entry_that_goes_while_it_is_opened_is_not_there(cache):
    fill("k")
    descriptor = os.open(cache / "k" / HELD, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    inode = f":{os.fstat(descriptor).st_ino} "
    raised: list[BaseException] = []

    def opens() -> None:
        try:
            hold(cache / "k")
        except OSError as error:
            raised.append(error)

    opening = threading.Thread(target=opens)
    opening.start()
    while not any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()):
        assert opening.is_alive()
    (cache / "k").rename(cache / "k.partial-0")
    os.close(descriptor)
    opening.join()
    assert isinstance(raised[0], FileNotFoundError)


def test_after_an_entry_is_made_the_store_fits_its_limit_and_the_log_says_what_went(monkeypatch, caplog):
    fill("a", "b", "c")
    size = entries.entries()[0].size
    monkeypatch.setenv("TASKKIT_CACHE_LIMIT", f"{3.5 * size / 1000}KB")
    caplog.set_level(logging.INFO, "taskkit")
    made = encode(given({"x": torch.zeros(1000, dtype=torch.uint8)}), Given(), key="d")
    assert kept() == ["b", "c", "d"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert size_text(size) in line
    assert "within" in line
    assert "TASKKIT_CACHE_LIMIT=SIZE" in line
    assert len(made) == 1


def test_a_split_of_a_run_never_drives_out_another(monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE_LIMIT", "1B")
    splits = [encode(given({"x": torch.zeros(9)}), Given(), key=name) for name in ("train", "val", "test")]
    assert kept() == ["test", "train", "val"]
    del splits
    encode(given({"x": torch.zeros(9)}), Given(), key="next")
    assert kept() == ["next"]


def test_two_processes_at_once_both_have_what_they_made_whatever_the_limit(filler, monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE_LIMIT", "1B")
    first = filler()
    said(first, "half")
    second = filler()
    said(second, "waiting for another process")
    assert "True" in first.communicate("go on\n")[0].split()
    assert "True" in second.communicate("go on\n")[0].split()


def test_a_limit_that_cannot_be_understood_is_known_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setenv("TASKKIT_CACHE_LIMIT", "much")
    with pytest.raises(TaskkitError, match=r"TASKKIT_CACHE_LIMIT: 'much' is not a size.*20GB or 500MB"):
        encode(words(), Counting(tmp_path / "notes"), key="k")
    assert not (tmp_path / "notes").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20e9), ("500MB", 5e8), ("1.5 tb", 1.5e12), ("7kb", 7000), ("0B", 0), ("none", None), ("None", None)],
)
def test_sizes_are_read(text, size):
    assert parse_size(text, "here") == size


@pytest.mark.parametrize("text", ["", "20", "GB", "-1GB", "1e3MB", "20 G", "20GiB", "1,5GB"])
def test_other_sizes_are_refused(text):
    with pytest.raises(TaskkitError, match=r"^here: "):
        parse_size(text, "here")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (1_234_567, "1.2 MB"), (50 * 10**9, "50 GB")]
)
def test_sizes_are_written(size, text):
    assert size_text(size) == text


def test_without_a_word_the_limit_is_50_gb_or_a_fifth_of_the_disk(tmp_path):
    assert limit() == min(50 * 10**9, shutil.disk_usage(tmp_path).total // 5)


# `taskkit cache`.


@pytest.fixture
def call(taskkit, cache):
    """Call `taskkit cache` on the cache of this test."""

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return taskkit("cache", *arguments, TASKKIT_CACHE=str(cache.parent), **variables)

    return call


@pytest.fixture
def full(cache):
    """A cache of all that there is: samples of three ages, a source, what a plugin keeps and what a kill left."""
    fill("train", "val", "test")
    source = cache.parent / "sources" / "mnist-0123456789abcdef"
    source.mkdir(parents=True)
    (source / "images.gz").write_bytes(bytes(5000))
    (source / ".origin.json").write_text("{}")
    (cache.parent / "image.folder").mkdir()
    (cache.parent / "image.folder" / "seen.json").write_text("{}")
    (cache / "gone.partial-1").mkdir()
    (cache / "gone.partial-1" / "0.bin").write_bytes(bytes(700))
    return cache.parent


def listed(call, *arguments: str) -> list[tuple[str, str, str]]:
    shown = json.loads(call("--json", *arguments).stdout)
    return [(row["kind"], row["what"], row["split"]) for row in shown["entries"]]


ALL = [
    ("source", "mnist", ""),
    ("samples", "some.model", "test"),
    ("samples", "some.model", "val"),
    ("samples", "some.model", "train"),
    ("samples", "gone.partial-1", ""),
    ("other", "image.folder", ""),
]


def test_the_cache_is_listed_with_its_total_and_limit(call, full, holder):
    holder("val")
    shown = call(TASKKIT_CACHE_LIMIT="20GB").stdout.splitlines()
    columns = [line.split() for line in shown]
    assert columns[0][:2] == ["source", "mnist"]
    assert columns[0][2:4] == ["5", "KB"]
    assert [(row[:4], row[-2:]) for row in columns if "val" in row] == [
        (["samples", "some.model", "some.data", "val"], ["in", "use"])
    ]
    assert len({line.index("some.data") for line in shown if "some.data" in line}) == 1
    assert "of at most 20 GB" in shown[-1]
    assert str(full) in shown[-1]


def test_the_listing_as_json_adds_up(call, full):
    assert set(listed(call)) == set(ALL)
    shown = json.loads(call("--json", TASKKIT_CACHE_LIMIT="none").stdout)
    assert (shown["directory"], shown["limit"]) == (str(full), None)
    assert shown["total"] == sum(row["size"] for row in shown["entries"])
    assert {row["state"] for row in shown["entries"]} == {"", "half-made"}
    (train,) = [row for row in shown["entries"] if row["split"] == "train"]
    assert datetime.now(UTC) - datetime.fromisoformat(train["last_use"]) > timedelta(days=2.9)


def test_an_empty_cache_is_no_error(call, cache):
    shown = call()
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"0 B in {cache.parent}; samples 0 B of at most ")


def test_on_a_terminal_the_listing_is_a_table(environment, full, tmp_path):
    terminal, end = pty.openpty()
    variables = environment(TASKKIT_CACHE=str(full), COLUMNS="120", TERM="xterm")
    subprocess.run([sys.executable, "-m", "taskkit", "cache"], cwd=tmp_path, env=variables, stdout=end, check=True)
    os.close(end)
    table = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "─────" in table
    assert "last use" in table
    assert "some.model" in table


def test_prune_removes_all_samples_but_those_in_use(call, full, holder):
    other = holder("val")
    before = json.loads(call("--json").stdout)
    pruned = json.loads(call("--prune", "--json").stdout)
    assert pruned["freed"] == before["total"] - pruned["total"] > 2000 + 700
    assert listed(call) == [ALL[0], ALL[2], ALL[5]]
    other.communicate()
    shown = call("--prune").stdout.splitlines()
    assert re.fullmatch(r"freed [\d.]+ KB", shown[0])
    assert listed(call) == [ALL[0], ALL[5]]


def test_prune_removes_sources_when_they_are_named_too(call, full):
    assert call("--prune", "--sources").returncode == 0
    assert listed(call) == [ALL[5]]


def test_older_removes_what_was_not_used_for_so_long(call, full):
    call("--older", "1.5")
    assert listed(call) == [ALL[0], ALL[1], ALL[5]]


def test_limit_keeps_what_was_used_last(call, full):
    size = max(entry.size for entry in entries.entries())
    assert "freed" in call("--limit", f"{2.1 * size / 1000}KB").stdout
    assert {row for row in listed(call) if row[2]} == {ALL[1], ALL[2]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sources"], "--prune"),
        (["--prune", "--limit", "1GB"], "--limit SIZE keeps"),
        (["--limit", "1GB", "--older", "3"], "--limit SIZE keeps"),
        (["--limit", "much"], "--limit: 'much' is not a size"),
        (["--older", "-1"], "--older"),
    ],
)
def test_what_cannot_be_meant_removes_nothing(call, full, arguments, words):
    refused = call(*arguments)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert set(listed(call)) == set(ALL)


def test_the_listing_needs_no_torch_and_little_time(environment, full, tmp_path):
    source = "import sys\nfrom taskkit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    start = os.times()
    ended = subprocess.run(
        [sys.executable, "-c", source, "cache"],
        cwd=tmp_path,
        env=environment(TASKKIT_CACHE=str(full)),
        capture_output=True,
        text=True,
    )
    end = os.times()
    assert not set(ended.stderr.split()) & {"torch", "numpy", "pyarrow", "pytorch_lightning"}
    assert end.children_user + end.children_system - start.children_user - start.children_system < 0.4


def test_a_limit_that_cannot_be_understood_is_told_before_anything_goes(call, full, cache):
    ended = call("--prune", TASKKIT_CACHE_LIMIT="much")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "TASKKIT_CACHE_LIMIT: 'much'" in ended.stderr
    assert len(json.loads(call("--json").stdout)["entries"]) > 3


def test_a_removal_that_is_killed_leaves_nothing_that_looks_like_an_entry(call, full, cache):
    # What a killed removal leaves is what the first step leaves: the entry under the name of what is half-made.
    (cache / "val").rename(cache / "val.partial-99")
    assert encode(given({"x": torch.zeros(3)}), Given(), key="val")[0]["x"].shape == (3,)
    assert not list(cache.glob("val.partial-*"))


def test_remove_says_whether_it_did(cache):
    fill("k")
    held = hold(cache / "k")
    assert not remove(cache / "k")
    del held
    # Who made it opens it before others may have it.
    with exclusive(cache / "k"):
        assert not remove(cache / "k")
    assert remove(cache / "k")
    assert not remove(cache / "k")


class Endless(Sequence[Example]):
    """More examples than any disk has room for, of which only a few may be read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 10**12

    def __getitem__(self, number):
        self.read += 1
        assert self.read <= 8, "they are being encoded"
        return Example(f"{number}", torch.zeros(1000))


def test_samples_that_cannot_fit_on_the_disk_are_refused_before_the_first_is_written(cache):
    with pytest.raises(RunFailedError, match=r"the encoded samples take about 4000 TB, by 8 of 1,000,000,000,000 ex"):
        encode(Endless(), Whole(), key="k")
    assert not entries.entries()


class Whole(Processor):
    """Examples as they are."""

    def encode(self, example):
        return [{"value": example.input}]
