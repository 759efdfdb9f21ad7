"""The cache of encoded samples, with real processors, real worker processes and real kills."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from taskkit.batches.store import Encoded, encode, key
from taskkit.contracts.facts import Example
from taskkit.contracts.model import Processor, Sample
from taskkit.errors import DataError, RunFailedError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "samples"


class Words(Processor):
    """Turns text into numbers, a sample a line; learns nothing but may be told to count from elsewhere."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def read(self, source: str) -> list[Example]:
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

    def read(self, source: str) -> list[Example]:
        return [Example(source, source)]

    def encode(self, example: Example) -> list[Sample]:
        return example.input


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
    return torch.equal(left.reshape(-1).view(torch.uint8), right.reshape(-1).view(torch.uint8))


def all_same(encoded: Encoded, samples: list[Sample]) -> bool:
    return len(encoded) == len(samples) and all(map(same, encoded, samples))


@pytest.mark.parametrize("name", [None, "k"])
@pytest.mark.parametrize("workers", [0, 2])
def test_samples_come_back_as_the_processor_made_them_in_order(name, workers):
    examples = words()
    encoded = encode(examples, Words(), key=name, workers=workers)
    assert all_same(encoded, [sample for example in examples for sample in Words().encode(example)])
    assert encoded.ids == [example.id for example in examples]
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
    assert (second.ids, second.lengths.tolist()) == (first.ids, first.lengths.tolist())
    assert sorted(notes.read_text().split()) == sorted(first.ids)


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
    with pytest.raises(RunFailedError, match=r"worker process died.*loader\.workers=0"):
        encode(words(), Dying(), key=None, workers=1)


def truncate(entry: Path) -> None:
    os.truncate(entry / "0.bin", 8)


def remove(entry: Path) -> None:
    (entry / "0.bin").unlink()


def change_index(entry: Path) -> None:
    index = entry / "index.json"
    index.write_text(index.read_text().replace("text-1", "text-9"))


def halve_index(entry: Path) -> None:
    os.truncate(entry / "index.json", (entry / "index.json").stat().st_size // 2)


def change_table(entry: Path) -> None:
    lengths = np.load(entry / "lengths.npy")
    np.save(entry / "lengths.npy", lengths + 1)


@pytest.mark.parametrize("damage", [truncate, remove, change_index, halve_index, change_table])
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
from taskkit.batches.store import encode
from taskkit.errors import TaskkitError
from taskkit.contracts.facts import Example

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
notes, waits, room = sys.argv[1], sys.argv[2] == "waits", int(sys.argv[3])
if room:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

class Squares:  # a Processor in what it does; the base class would bring in all of Lightning
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
    started: list[subprocess.Popen[str]] = []

    def start(waits: str = "waits", room: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FILLER, str(tmp_path / "calls"), waits, str(room)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process says until it says these words."""
    assert any(words in line for line in iter(process.stdout.readline, "")), f"it never said {words!r}"


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
    assert error.startswith(f"RunFailedError: {cache / 'k'}: the encoded samples cannot be written: ")
    assert "File too large" in error
    assert "loader.cache=false" in error
    assert not list(cache.glob("k*/"))


def test_a_key_names_everything_that_decides_the_samples():
    base = {
        "fingerprint": "f",
        "split": "train",
        "processor": Words(),
        "section": {"width": 8, "depths": [1, 2]},
    }
    changes = {
        "fingerprint": "g",
        "split": "val",
        "processor": Words(first=1),
        "section": {"width": 9, "depths": [1, 2]},
        "versions": {"torchvision": "0.26"},
    }
    keys = [key(**base), *(key(**{**base, name: value}) for name, value in changes.items())]
    assert len(set(keys)) == len(keys)
    assert key(**{**base, "processor": Words()}) == keys[0]
    assert key(**{**base, "section": {"depths": (1, 2), "width": 8}}) == keys[0]


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
    keys = [key("f", "train", Holding(state), {}) for state in STATES]
    assert len(set(keys)) == len(STATES)


def test_a_state_that_is_not_plain_data_is_refused():
    with pytest.raises(TypeError, match=r"is a Words\. A processor's state and section hold plain data"):
        key("f", "train", Holding(Words()), {})


PROCESSOR = """
from taskkit.contracts.model import Processor
class Mine(Processor):
    def read(self, source): ...
    def encode(self, example): return [{}]
"""


def key_of(path: Path, name: str) -> str | None:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        return key("f", "train", module.Mine(), {})
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


def test_code_that_cannot_be_read_has_no_key():
    typed_in = {"__name__": "typed_in"}
    exec(PROCESSOR, typed_in)
    assert key("f", "train", typed_in["Mine"](), {}) is None


def test_the_index_of_an_entry_is_plain_json(cache):
    encode(words(3), Words(), key="k")
    sealed = json.loads((cache / "k" / "index.json").read_text())
    index = json.loads(sealed["index"])
    assert index["fields"] == [
        {"name": "tokens", "dtype": "int64", "shape": None},
        {"name": "target", "dtype": "int64", "shape": []},
    ]
