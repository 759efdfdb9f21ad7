"""Data in shards: training from them is training from the data, and what is wrong with them is one error."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
from click.testing import CliRunner, Result
from PIL import Image

import taskkit
from taskkit import DataError, DataSpec, Example, Fact, cli
from taskkit.contracts.hookspecs import hookimpl
from taskkit.engine.signals import Preempted
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.shards import read, write
from taskkit.shards.index import About, load
from taskkit.shards.place import Place
from taskkit.shards.values import Types, from_document
from tests.same_run import assert_same_run, losses

ROOT = Path(__file__).parents[2]
END = "trainer: {max_epochs: 2, accelerator: cpu, precision: 32-true}\nmeter: {every_n_steps: 1}\n"
IMAGES = f"""
title: Pictures in files
task: {{name: image.classification}}
model: {{name: image.mlp, widths: [8], image_size: 8}}
data: {{name: image.folder, root: pictures, channels: 1, val_share: 0.2, test_share: 0.2}}
loader: {{batch_size: 8}}
{END}"""
TEXTS = f"""
title: Texts of people
task: {{name: text.classification}}
model: {{name: text.lstm, tokens: words, vocabulary: 64, max_length: 8, embedding: 8, width: 8}}
data: {{name: text.table, file: texts.csv, author_column: author}}
loader: {{batch_size: 8, cache: false}}
{END}"""
BOOKS = f"""
title: Who read what
task: {{name: recsys.next_item}}
model: {{name: recsys.sasrec, length: 8, width: 8, depth: 1, heads: 2}}
data: {{name: recsys.interactions, events: log.csv, rating_column: null}}
loader: {{batch_size: 8, cache: false}}
{END}"""
SOUNDS = f"""
title: Spans of recordings
task: {{name: speech.classification}}
model:
  {{name: speech.wav2vec2, conv_widths: [8, 8], conv_kernels: [80, 3], conv_strides: [40, 4], layers: 1, width: 8,
   heads: 2, position_kernel: 4, position_groups: 2}}
data: {{name: speech.table, table: spans.csv}}
loader: {{batch_size: 4, cache: false}}
{END}"""


def draw_pictures() -> None:
    random = np.random.default_rng(0)
    for number in range(60):
        folder = Path("pictures", "ab"[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (9, 11), dtype=np.uint8)
        Image.fromarray(pixels).save(
            folder / f"{number}.{'png' if number % 3 else 'JPG'}", "png" if number % 3 else "jpeg"
        )


def write_texts() -> None:
    rows = [f'{("good", "bad")[n % 2]} day {n} "",{n % 2},person {n % 9}' for n in range(60)]
    Path("texts.csv").write_text("\n".join(["text,label,author", *rows]))


def write_log() -> None:
    rows = [f"u{user},i{(user + step) % 7},{100 + step}" for user in range(12) for step in range(6)]
    Path("log.csv").write_text("\n".join(["user,item,timestamp", *rows]))


def record_sounds() -> None:
    time = np.arange(16_000) / 16_000
    for name, hertz in (("low", 220), ("high", 880)):
        soundfile.write(f"{name}.wav", 0.3 * np.sin(2 * np.pi * hertz * time), 16_000, subtype="PCM_16")
    rows = [
        f"{name}.wav,{start / 20},{start / 20 + 0.1},{name},{split}"
        for start, split in enumerate(["train"] * 8 + ["val"] * 2 + ["test"] * 2)
        for name in ("low", "high")
    ]
    Path("spans.csv").write_text("\n".join(["path,start,end,label,split", *rows]))


KINDS: dict[str, tuple[str, Callable[[], None], str]] = {
    "images": (IMAGES, draw_pictures, "pictures"),
    "texts": (TEXTS, write_texts, "texts.csv"),
    "books": (BOOKS, write_log, "log.csv"),
    "sounds": (SOUNDS, record_sounds, "spans.csv"),
}


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))


def made(kind: str, *options: str) -> None:
    """A recipe of such data, and its shards."""
    recipe, make, _ = KINDS[kind]
    make()
    Path("recipe.yaml").write_text(recipe)
    result = pack(*options)
    assert result.exit_code == 0, result.output


def pack(*options: str, out: str = "shards") -> Result:
    return CliRunner().invoke(cli.main, ["data", "pack", "recipe.yaml", "-o", out, *options])


@pytest.mark.parametrize("kind", KINDS)
def test_training_from_shards_is_training_from_the_data(kind: str) -> None:
    made(kind, "--shard-size", "20KB")
    original = taskkit.run("recipe.yaml", out="original")
    data = Path(KINDS[kind][2])
    shutil.rmtree(data) if data.is_dir() else data.unlink()
    shutil.rmtree("cache", ignore_errors=True)
    packed = taskkit.run("recipe.yaml", ["loader.shards=shards"], out="packed")
    assert_same_run(original.path, packed.path)
    assert packed.metrics == original.metrics
    assert packed.manifest.protocol == original.manifest.protocol
    assert packed.manifest.data == original.manifest.data
    predictions = "predictions.parquet"
    assert (packed.path / predictions).read_bytes() == (original.path / predictions).read_bytes()


LAZY = ("loader.encode=lazy", "loader.shards=shards")


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_are_encoded_out_of_shards_while_training(workers: int) -> None:
    made("images", "--shard-size", "20KB")
    lazy = taskkit.run("recipe.yaml", [*LAZY, f"loader.workers={workers}"], out="lazy")
    assert not list(Path("cache").glob("samples/*"))
    assert_same_run(lazy.path, taskkit.run("recipe.yaml", out="original").path)


class Stop(pl.Callback):
    """Ends the process in the second epoch."""

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
        if trainer.global_step == 5:
            os.kill(os.getpid(), signal.SIGTERM)


def with_callback(callback: pl.Callback) -> Plugins:
    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [callback]

    return discover({"image"}, extra={"watching": Plugin()})


def test_a_run_on_shards_that_was_stopped_inside_an_epoch_goes_on_as_if_it_was_not() -> None:
    made("images")
    straight = taskkit.run("recipe.yaml", LAZY, out="straight")
    with pytest.raises(Preempted):
        taskkit.run("recipe.yaml", LAZY, out="stopped", plugins=with_callback(Stop()))
    assert_same_run(straight.path, taskkit.resume("stopped").path)


# What is kept of an example.


@dataclass(frozen=True)
class Thing:
    """A dataclass of whoever makes examples."""

    name: str
    inside: tuple[Any, ...] = ()
    counted: int = field(init=False, default=7)


HERE = Types(__name__)
VALUES: dict[str, Any] = {
    "nothing": None,
    "numbers": [1, -0.0, 1e300, True, 2**80, float("inf")],
    "a text with half a character": "\ud800 ü\0",
    "tuples": ((1, "a"), [(2,)]),
    "mappings": {"a": {"b": (1,)}, "c": {}},
    "a mapping of other keys": {1: "a", ("b", 2): {"$file": "no file"}},
    "bytes": b"\0\xff",
    "a dataclass": Thing("a", (Thing("b"), {"c": 1})),
}


def kept(*examples: Example) -> list[Example]:
    write.write(Place("kept"), {"train": examples}, About({}, "", {}, {}), HERE)
    index = load(Place("kept"))
    return list(read.splits(Place("kept"), index, HERE)["train"])


def test_plain_values_come_back_as_they_were() -> None:
    examples = [Example(name, value, value, group=name, columns={"a": 1}) for name, value in VALUES.items()]
    for one, other in zip(kept(*examples), examples, strict=True):
        assert one == other
        assert repr(one) == repr(other)
        assert one.columns == other.columns


def test_arrays_come_back_as_they_were() -> None:
    arrays = [np.arange(6, dtype=">i2").reshape(2, 3), np.float32(0.1), np.array(3), np.ones((2, 0)), np.array(["ab"])]
    tensors = [torch.arange(3, dtype=torch.int16), torch.tensor(True), torch.rand(2, 3).half(), torch.empty(0)]
    first, second = kept(Example("a", arrays), Example("b", tensors))
    for one, other in zip(first.input, arrays, strict=True):
        assert type(one) is type(other)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    for one, other in zip(second.input, tensors, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_a_file_is_there_as_long_as_its_example_and_kept_once_in_a_shard() -> None:
    Path("a.JPG").write_bytes(b"picture")
    Path("b.json").write_bytes(b"{}")
    one, other = kept(Example("1", Path("a.JPG")), Example("2", {"a": Path("a.JPG"), "b": Path("b.json")}))
    assert one.input.read_bytes() == other.input["a"].read_bytes() == b"picture"
    assert one.input.suffix == ".JPG"
    assert other.input["b"].read_bytes() == b"{}"
    with tarfile.open("kept/train-00000.tar") as tar:
        assert tar.getnames() == ["000000000.json", "000000000.JPG", "000000001.json", "000000001.0.json"]
    places = [str(one.input), str(other.input["b"])]
    del one
    assert [Path(place).exists() for place in places] == [False, True]


class Odd:
    pass


ODD = {
    "an object": (Odd(), "it holds a Odd. Expected None, a bool"),
    "an array of objects": (np.array([Odd()]), "it holds an array of objects"),
    "a tensor that is no array": (torch.zeros(1, dtype=torch.bfloat16), "it holds a tensor that is no array"),
    "a missing file": (Path("gone.png"), "its file cannot be read: .*gone.png"),
    "a dataclass of others": (DataSpec(Fact(), Fact(), ""), "it is of the type taskkit.contracts.facts:DataSpec"),
}


@pytest.mark.parametrize(("value", "words"), ODD.values(), ids=ODD)
def test_a_value_that_cannot_be_kept_is_one_error_that_names_the_example(value: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"example 'the third': {words}"):
        kept(Example("a", 1), Example("the third", value))
    assert not Path("kept/index.json").exists()


def test_a_type_of_no_plugin_of_the_data_is_not_imported() -> None:
    with pytest.raises(DataError, match=r"it is of the type os:system\. A dataclass of taskkit was expected"):
        from_document({"id": "a", "input": {"$type": "os:system", "fields": {}}}, lambda name: b"", Types("taskkit"))


# What may be wrong.


def index_with(**changes: Any) -> None:
    path = Path("shards/index.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut() -> None:
    os.truncate("shards/train-00001.tar", 1000)


def flip(at: int = 700) -> None:
    path = Path("shards/train-00001.tar")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


SHARD = {"name": "train-00000.tar", "split": "train", "size": 1, "sha256": 64 * "0", "examples": 1}
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no shards at all": (lambda: shutil.rmtree("shards"), "shards: there is no index.json"),
    "an interrupted packing": (lambda: Path("shards/index.json").unlink(), "shards: there is no index.json"),
    "a missing shard": (lambda: Path("shards/train-00001.tar").unlink(), "shards/train-00001.tar: it is missing"),
    "a shard cut short": (cut, "shards/train-00001.tar: it has 1,000 bytes."),
    "a changed byte": (flip, "shards/train-00001.tar: its bytes are not those that were written"),
    "another version": (lambda: index_with(version=2), "shards/index.json: its version is 2. Version 1 was expected"),
    "another file": (lambda: index_with(format="x"), "this is not the index of taskkit's shards"),
    "no JSON": (lambda: Path("shards/index.json").write_text("{"), "the index is damaged: it is no JSON"),
    "half an index": (lambda: index_with(shards=[{}]), "the index is damaged: it cannot be read"),
    "a shard elsewhere": (lambda: index_with(shards=[{**SHARD, "name": "../train-00000.tar"}]), "is no shard"),
    "an entry elsewhere": (lambda: index_with(shards=[{**SHARD, "sha256": "../../a"}]), "is no shard"),
    "a changed table": (lambda: Path("shards/examples.parquet").write_bytes(b""), "examples.parquet is another than"),
    "other facts": (lambda: index_with(spec={}), "the facts of these data cannot be read"),
    "another question": (lambda: index_with(asked="taskkit:Values"), "packed for a task that judges taskkit:Values"),
}


@pytest.mark.parametrize(("break_them", "words"), WRONG.values(), ids=WRONG)
def test_shards_that_are_not_whole_are_one_error(break_them: Callable[[], Any], words: str, whole: None) -> None:
    break_them()
    result = CliRunner().invoke(cli.main, ["run", "recipe.yaml", *LAZY, "loader.workers=0"])
    assert result.exit_code == 2
    assert words in result.output


@pytest.fixture(scope="module")
def packed_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, its pictures and their shards."""
    place = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        made("images", "--shard-size", "20KB")
    return place


@pytest.fixture
def whole(packed_pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(packed_pictures, tmp_path, dirs_exist_ok=True)


def test_a_changed_shard_is_found_by_a_look_at_the_data(whole: None) -> None:
    assert CliRunner().invoke(cli.main, ["check", "recipe.yaml", "--data", *LAZY]).exit_code == 0
    flip(-1)
    result = CliRunner().invoke(cli.main, ["check", "recipe.yaml", "--data", *LAZY])
    assert "shards/train-00001.tar: its bytes are not those that were written" in result.output
    assert result.exit_code


def test_the_data_section_must_be_that_of_the_shards_but_for_what_only_augments(whole: None) -> None:
    result = CliRunner().invoke(cli.main, ["run", "recipe.yaml", *LAZY, "data.val_share=0.1"])
    assert "shards: these data were packed with data.val_share=0.2, and the recipe says 0.1" in result.output
    assert result.exit_code == 2
    taskkit.run("recipe.yaml", [*LAZY, "data.augment=false"])


def test_packing_starts_anew_after_it_was_interrupted_and_never_over_what_is_there(whole: None) -> None:
    before = {path.name: path.read_bytes() for path in Path("shards").iterdir() if path.name != "index.json"}
    assert "there are shards already" in pack().output
    Path("shards/index.json").unlink()
    Path("shards/train-00077.tar").write_bytes(b"left")
    Path("shards/index.json.part").write_bytes(b"{")
    assert pack("--shard-size", "20KB").exit_code == 0
    after = {path.name: path.read_bytes() for path in Path("shards").iterdir()}
    assert json.loads(after.pop("index.json"))["version"] == 1
    assert after == before
    Path("other").mkdir()
    Path("other/letter.txt").write_text("dear")
    result = pack(out="other")
    assert "other: it holds 'letter.txt'" in result.output
    assert result.exit_code == 2


KILLED = """
import os, signal
from taskkit import Example
from taskkit.shards.place import Place
from taskkit.shards.values import Types
from taskkit.shards.write import About, write
class Deadly(list):
    def __getitem__(self, number):
        if number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(number)
examples = Deadly(Example(str(n), "text " * 100) for n in range(9))
write(Place("kept"), {"train": examples}, About({}, "", {}, {}), Types("taskkit"), 5000)
"""


def test_what_a_killed_packing_left_does_not_count_and_is_written_anew() -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL
    assert list(Path("kept").glob("*.tar"))
    with pytest.raises(DataError, match=r"kept: there is no index\.json"):
        load(Place("kept"))
    assert [example.id for example in kept(Example("a", 1))] == ["a"]
    assert [path.name for path in Path("kept").glob("*.tar")] == ["train-00000.tar"]


def test_data_that_are_to_be_encrypted_are_refused(whole: None) -> None:
    result = pack("privacy.encrypt=true", out="open")
    assert "privacy.encrypt is true, but shards are not encrypted" in result.output
    assert result.exit_code == 2
    assert not Path("open").exists()


def test_pseudonyms_are_carried_over_and_said_not_to_hide_all() -> None:
    write_texts()
    Path("recipe.yaml").write_text(TEXTS)
    result = pack("data.pseudonymise=true")
    assert (
        "names are pseudonyms; what examples say, show or sound like is as it was, and not encrypted" in result.output
    )
    with tarfile.open("shards/train-00000.tar") as tar:
        document = tar.extractfile(tar.next() or "").read().decode()  # type: ignore[union-attr]
    assert '"group": ' in document
    assert "person" not in document


def test_a_stream_cannot_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ROOT / "tests/packages/taskkit-stream/src"
    monkeypatch.syspath_prepend(str(source))
    monkeypatch.setenv("TASKKIT_PLUGIN_FILES", "")  # What a call of --plugin sets is taken back.
    plugin = str(source / "taskkit_stream/plugin.py")
    Path("recipe.yaml").write_text((source / "taskkit_stream/stream.yaml").read_text())
    result = pack("--plugin", plugin)
    assert "its train split is a stream. Examples that can be counted were expected" in result.output
    assert result.exit_code == 2
    assert not Path("shards").exists()


class Gone(list[Example]):
    def __getitem__(self, number: Any) -> Any:
        raise ZeroDivisionError("gone")


def test_an_example_that_cannot_be_read_is_one_error() -> None:
    with pytest.raises(DataError, match="example number 0: it cannot be read: ZeroDivisionError: gone"):
        write.write(Place("other"), {"train": Gone([Example("a", 1)])}, About({}, "", {}, {}), HERE)


def test_fetched_shards_are_listed_and_removed_with_the_cache(whole: None) -> None:
    with serving() as (_, shards):
        taskkit.run("recipe.yaml", [*BLOCKS, shards])
    rows = json.loads(CliRunner().invoke(cli.main, ["cache", "--json"]).output)["entries"]
    assert {row["kind"] for row in rows} == {"shard"}
    assert CliRunner().invoke(cli.main, ["cache", "--prune"]).exit_code == 0
    assert not list(Path("cache/shards").glob("*/"))


def test_an_address_with_a_password_is_refused(whole: None) -> None:
    result = CliRunner().invoke(cli.main, ["check", "recipe.yaml", "loader.shards=https://me:secret@there.org/a"])
    assert "loader.shards holds a name, a password or a token" in result.output
    assert result.exit_code == 2


# Elsewhere than on the disk.


def test_shards_may_be_in_an_object_store() -> None:
    made("images")
    result = pack("--shard-size", "20KB", out="memory://bucket/shards")
    assert result.exit_code == 0, result.output
    original = taskkit.run("recipe.yaml", out="original")
    shutil.rmtree("pictures")
    remote = taskkit.run("recipe.yaml", ["loader.encode=lazy", "loader.shards=memory://bucket/shards"], out="remote")
    assert_same_run(original.path, remote.path)


class Server(ThreadingHTTPServer):
    """Serves the working directory, parts of files too, and notes what is asked for."""

    def __init__(self, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = ranges
        self.asked: list[tuple[str, str | None]] = []


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range") if self.server.ranges else None
        self.server.asked.append((self.path.rpartition("/")[2], asked))
        path = Path(self.translate_path(self.path))
        if asked is None or not path.is_file():
            return super().do_GET()
        start, end = (int(number) for number in asked.removeprefix("bytes=").split("-"))
        content = path.read_bytes()[start : end + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(ranges: bool = True) -> Iterator[tuple[Server, str]]:
    pytest.importorskip("aiohttp")
    with Server(ranges) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server, f"loader.shards=http://127.0.0.1:{server.server_port}/shards"
        server.shutdown()
        thread.join()


def test_parts_of_shards_are_read_from_a_web_server(whole: None) -> None:
    with serving() as (server, shards):
        remote = taskkit.run("recipe.yaml", ["loader.encode=lazy", shards, "loader.workers=1"], out="remote")
    assert_same_run(taskkit.run("recipe.yaml", LAZY, out="local").path, remote.path)
    tars = [part for name, part in server.asked if name.endswith(".tar")]
    assert len(tars) > 60
    assert all(tars)
    assert not Path("cache/shards").exists()


BLOCKS = ("loader.encode=lazy", "loader.shuffle_shards=1")


def test_whole_shards_are_fetched_and_few_of_them_kept_where_they_are_shuffled_one_by_one(whole: None) -> None:
    local = taskkit.run("recipe.yaml", [*BLOCKS, "loader.shards=shards"], out="local")
    train = len(list(Path("shards").glob("train-*.tar")))
    assert train > 1
    with serving(ranges=False) as (server, shards):
        remote = taskkit.run("recipe.yaml", [*BLOCKS, shards], out="remote")
        assert_same_run(local.path, remote.path)
        asked = [name for name, _ in server.asked if name.startswith("train")]
        # Each of two epochs reads each shard once, and so does the baseline before them.
        assert len(asked) <= 3 * train
        result = CliRunner().invoke(cli.main, ["run", "recipe.yaml", "loader.encode=lazy", shards])
        assert "the server gives all of a file where a part was asked for" in result.output
        assert result.exit_code == 2
    assert 0 < len(list(Path("cache/shards").glob("*/shard.tar"))) <= 4
    assert losses(local.path) != losses(taskkit.run("recipe.yaml", LAZY, out="all").path)


def test_a_run_that_shuffles_in_shards_goes_on_as_if_it_was_not_stopped(whole: None) -> None:
    changes = [*BLOCKS, "loader.shards=shards"]
    straight = taskkit.run("recipe.yaml", changes, out="straight")
    with pytest.raises(Preempted):
        taskkit.run("recipe.yaml", changes, out="stopped", plugins=with_callback(Stop()))
    assert_same_run(straight.path, taskkit.resume("stopped").path)


def test_a_shard_that_was_changed_is_refused_when_it_is_fetched(whole: None) -> None:
    flip(-1)  # That is behind all examples.
    with serving() as (_, shards):
        result = CliRunner().invoke(cli.main, ["run", "recipe.yaml", *BLOCKS, shards])
    assert "train-00001.tar: its bytes are not those that were written" in result.output
    assert result.exit_code == 2
    assert Path("cache/shards").exists()


@pytest.mark.parametrize("change", ["loader.encode=ahead", "loader.shards=null", "loader.fraction=0.5"])
def test_shuffling_in_shards_needs_shards_that_are_read_while_training(whole: None, change: str) -> None:
    result = CliRunner().invoke(cli.main, ["check", "recipe.yaml", *BLOCKS, "loader.shards=shards", change])
    assert f"loader.shuffle_shards is 1, and {change.split('=')[0]} is {change.split('=')[1]}" in result.output
    assert result.exit_code == 2


def test_a_place_that_nobody_knows_is_one_error(whole: None) -> None:
    result = CliRunner().invoke(cli.main, ["run", "recipe.yaml", "loader.shards=nowhere://a"])
    assert "nowhere://a/index.json: it cannot be reached: ValueError: Protocol not known: nowhere" in result.output
    assert result.exit_code == 2
