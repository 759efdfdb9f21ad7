"""Every recipe that is shipped: it says what it needs and gave, it is sound, and it runs."""

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import taskkit
from taskkit.cli.run import smoke_changes
from taskkit.plugins.discovery import Plugins, discover
from taskkit.recipe.load import load

RECIPES = sorted(Path(__file__).parents[1].joinpath("recipes").glob("*.yaml"))
MEASURED = re.compile(r"#   result:  test/(\S+) (\d\.\d{4}) in (\d+) s \(\d{4}-\d\d-\d\d, commit \w{7}, .+\)")
LEFT = {
    "bert_base_table": "data.file=FILE",
    "resnet50_folder": "data.root=FOLDER",
    "sasrec_movielens_1m": "data.root=FOLDER",
    "vit_b16_folder": "data.root=FOLDER",
    "wav2vec2_base_table": "data.table=FILE",
}
"""What recipes leave to their user, as an error asks for it."""
NOISE = 0.01
"""Another processor sums in another order."""

recipes = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover({"image", "recsys", "speech", "text"})


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small data of every kind: twelve images a class, 60 texts, 12 recordings a class, and a log of 20 people."""
    folder, noise = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(12):
            pixels = noise.integers(low, low + 128, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{number}.png")
    _table(folder / "texts.csv", ["text", "label"], [(f"number {n} is {_parity(n)}", _parity(n)) for n in range(60)])
    spoken = []
    for number in range(24):
        soundfile.write(folder / f"{number}.wav", noise.standard_normal(8000) * 0.1, 8000)
        spoken.append((f"{number}.wav", f"it is {_parity(number)}", _parity(number)))
    _table(folder / "recordings.csv", ["path", "text", "label"], spoken)
    events = [(user, noise.integers(30), 1_000_000_000 + 60 * n + user) for user in range(20) for n in range(8)]
    _table(folder / "events.csv", ["user", "item", "timestamp"], events)
    return folder


def _parity(number: int) -> str:
    return "odd" if number % 2 else "even"


def _table(path: Path, columns: list[str], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def small(path: Path, task: str, folder: Path) -> list[str]:
    """Changes that make a recipe take a moment: other data, and where a model is large a small one of its kind."""
    changes = ["compile=false", "trainer.accelerator=cpu", "trainer.precision=32-true", "loader.batch_size=4"]
    data = {
        "image": ["data.name=image.digits", "model.image_size=28"],
        "text": ["data.name=text.table", f"data.file={folder / 'texts.csv'}"],
        "speech": ["data.name=speech.table", f"data.table={folder / 'recordings.csv'}", "data.test_share=0.3"],
        "recsys": ["data.name=recsys.interactions", f"data.events={folder / 'events.csv'}"],
    }
    narrow = ["model.layers=1", "model.width=48", "model.heads=4", "model.position_groups=4"]
    large = {
        "resnet50_folder": [f"data.root={folder / 'images'}", "model.architecture=resnet18", "model.image_size=32"],
        "vit_b16_folder": [
            f"data.root={folder / 'images'}",
            "model.pretrained=false",
            "model.architecture=vit_tiny_patch16_224",
        ],
        "wav2vec2_gpu": [*data["speech"], *narrow],
        "wav2vec2_librispeech": [*data["speech"], *narrow],
        "wav2vec2_librispeech_pretrain": [*data["speech"], *narrow],
        "wav2vec2_pretrain": [*data["speech"], *narrow],
        "wav2vec2_base_table": [*data["speech"], f"model.weights={tiny_wav2vec2(folder)}"],
    }
    encoders = [f"model.weights={tiny_bert(folder)}", "model.pretrained=false"]
    modality = task.partition(".")[0]
    own = large.get(path.stem, data[modality])
    return [*changes, *own, *(encoders if "text.transformer" in path.read_text() else [])]


def tiny_bert(folder: Path) -> Path:
    """A folder as transformers saves a BERT, without its weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig

    made = folder / "bert"
    if not made.exists():
        words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "odd", "even", "is", "number"])}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        BertConfig(vocab_size=len(words), **shape).save_pretrained(made)
        tokenizer.save(str(made / "tokenizer.json"))
    return made


def tiny_wav2vec2(folder: Path) -> Path:
    """A folder as transformers saves a Wav2Vec2."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    made = folder / "wav2vec2"
    if not made.exists():
        shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        Wav2Vec2Model(Wav2Vec2Config(conv_dim=(8,) * 7, num_conv_pos_embedding_groups=2, **shape)).save_pretrained(made)
    return made


@recipes
def test_its_header_says_how_to_run_it_and_what_it_gave(path: Path) -> None:
    first, *rest = path.read_text().splitlines()
    header = [line for line in rest if line.startswith("#")]
    assert first.startswith(f"# {path.name} — ")
    assert any(line.startswith(f"#   run:     taskkit run recipes/{path.name}") for line in header)
    result = next(line for line in header if line.startswith("#   result:"))
    assert MEASURED.fullmatch(result) or "not measured yet" in result


@recipes
def test_it_has_no_problems_and_takes_two_steps_of_everything(
    path: Path, stand_ins: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path))
    torch.set_num_threads(1)
    task = next(line for line in path.read_text().splitlines() if line.startswith("task:"))
    changes = small(path, task.split("name: ")[1], stand_ins)
    recipe = load([path], changes, plugins).recipe
    assert recipe.title
    run = taskkit.run(path, [*changes, *smoke_changes(recipe)], out=tmp_path / "run", plugins=plugins)
    assert run.status == "finished"
    assert run.metrics[f"test/{run.manifest.protocol.headline[0]}"] >= 0


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem not in LEFT], ids=lambda path: path.stem)
def test_it_is_sound_as_it_is(path: Path, plugins: Plugins) -> None:
    assert load([path], [], plugins).recipe.title


@pytest.mark.parametrize("name", LEFT)
def test_a_recipe_asks_for_what_it_leaves_to_its_user(
    name: str, taskkit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = taskkit("run", next(str(path) for path in RECIPES if path.stem == name))
    assert done.returncode == 2
    assert LEFT[name] in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "path", [path for path in RECIPES if "not measured yet" not in path.read_text()], ids=lambda path: path.stem
)
def test_it_reaches_what_its_header_states(path: Path, tmp_path: Path) -> None:
    stated = next(found for line in path.read_text().splitlines() if (found := MEASURED.fullmatch(line)))
    command = [sys.executable, "-m", "taskkit", "run", str(path), "--out", str(tmp_path / "run")]
    subprocess.run(command, check=True)
    got = taskkit.load_run(tmp_path / "run").metrics[f"test/{stated[1]}"]
    assert got == pytest.approx(float(stated[2]), abs=NOISE)
