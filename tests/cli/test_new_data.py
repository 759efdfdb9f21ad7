"""What `taskkit new data` takes people's files for, and the recipes that it writes of them."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from click.testing import CliRunner, Result

import taskkit
from taskkit.cli import main
from taskkit.plugins.discovery import discover
from tests.conftest import Site

DATA = Path(__file__).parents[1] / "runs" / "0.1" / "data"
SMALL = {
    "images": ["model.image_size=8", "model.widths=[4]", "model.depths=[1]"],
    "texts.csv": [],
    "log": ["model.width=8"],
    "recordings": ["model.layers=1", "model.width=8", "model.heads=2", "model.conv_widths=[8, 8, 8]"],
}
TASKS = {
    "images": "image.classification",
    "texts.csv": "text.classification",
    "log": "recsys.next_item",
    "recordings": "speech.ctc",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with small data of every modality, in which taskkit is called."""
    shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _invoke(*words: str) -> Result:
    return CliRunner().invoke(main, ["new", "data", *words])


def _table(path: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.mark.parametrize("name", TASKS)
def test_data_of_each_modality_are_known_and_the_recipe_checks_and_runs(name: str, place: Path) -> None:
    ended = _invoke(name)
    assert ended.exit_code == 0, ended.output
    assert f"a recipe for {TASKS[name]}" in ended.output
    recipe = f"{Path(name).stem}.yaml"
    assert CliRunner().invoke(main, ["check", recipe, "--data"]).exit_code == 0
    short = ["trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "trainer.accelerator=cpu", *SMALL[name]]
    run = taskkit.run(recipe, short, out=place / "run", plugins=discover())
    assert run.status == "finished"


def test_names_with_blanks_are_one_word_of_the_next_command(place: Path) -> None:
    shutil.copytree("images", "my images")
    ended = _invoke("my images")
    assert "taskkit check 'my images.yaml' --data\n  taskkit run 'my images.yaml'" in ended.output
    header = Path("my images.yaml").read_text()
    assert "taskkit run 'my images.yaml'" in header
    assert "taskkit new data 'my images'" in header


def test_a_log_brings_the_titles_of_its_items_along(place: Path) -> None:
    _invoke("log")
    text = Path("log.yaml").read_text()
    assert "events: log/log.csv" in text
    assert "items: log/books.csv" in text
    assert "rating_column: null" in text


def test_folders_of_splits_are_no_classes(place: Path) -> None:
    shutil.copytree("images", "split/train")
    shutil.copytree("images", "split/test")
    assert "images in 3 folders, one for each class, by split" in _invoke("split").output


def test_a_table_of_images_is_told_from_one_of_texts(place: Path) -> None:
    rows = [[f"images/{path.parent.name}/{path.name}", path.parent.name] for path in Path("images").rglob("*.png")]
    _table("listed.csv", ["file", "kind"], rows)
    ended = _invoke("listed.csv")
    assert "images that a table lists, with classes in 'kind'" in ended.output
    assert CliRunner().invoke(main, ["check", "listed.yaml", "--data"]).exit_code == 0


def test_columns_of_other_names_and_semicolons_are_found(place: Path) -> None:
    rows = [[f"the parcel number {n} came {'late' if n % 2 else 'early'}", "no" if n % 2 else "yes"] for n in range(60)]
    with Path("post.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["what they wrote", "content"], *rows])
    ended = _invoke("post.csv")
    assert "texts in 'what they wrote' with classes in 'content' (70%)" in ended.output
    assert CliRunner().invoke(main, ["check", "post.yaml", "--data"]).exit_code == 0


@pytest.mark.parametrize("distinct", [60, 4])
def test_short_texts_are_known_by_the_name_of_their_column(distinct: int, place: Path) -> None:
    rows = [[f"film {n % distinct}", "no" if n % 2 else "yes"] for n in range(60)]
    _table("short.csv", ["text", "label"], rows)
    assert _invoke("short.csv", "--as", "text.classification").exit_code == 0
    assert "text_column: text" in Path("short.yaml").read_text()
    assert CliRunner().invoke(main, ["check", "short.yaml", "--data"]).exit_code == 0


def test_a_table_that_cannot_be_read_is_passed_over_and_named(place: Path) -> None:
    Path("log/bad.csv").touch()
    ended = _invoke("log")
    assert ended.exit_code == 0, ended.output
    assert "passed over: log/bad.csv: " in ended.output


def test_what_may_be_two_things_is_asked_for(place: Path) -> None:
    table = Path("recordings/table.csv").read_text().splitlines()
    voices = ["voice", *(f"{'high' if number % 2 else 'low'}" for number in range(len(table) - 1))]
    Path("recordings/table.csv").write_text(
        "\n".join(f"{row},{voice}" for row, voice in zip(table, voices, strict=True))
    )
    ended = _invoke("recordings")
    assert ended.exit_code == 2
    assert "Choose one: --as NAME, one of speech.ctc, speech.classification" in ended.output
    assert not Path("recordings.yaml").exists()
    assert _invoke("recordings", "--as", "speech.classification").exit_code == 0
    assert "label_column: voice" in Path("recordings.yaml").read_text()


def test_ratings_are_a_second_question(place: Path) -> None:
    rows = [[f"u{n % 7}", f"m{n % 11}", str(1 + n % 5), str(1_700_000_000 + n)] for n in range(80)]
    _table("ratings.csv", ["userId", "movieId", "rating", "timestamp"], rows)
    ended = _invoke("ratings.csv")
    assert "a recipe for recsys.next_item" in ended.output
    assert "how much will somebody like an item? (80%)" in ended.output
    assert _invoke("ratings.csv", "--as", "recsys.rating", "-o", "second.yaml").exit_code == 0
    assert "name: recsys.mf" in Path("second.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone"], "no such file or folder"),
        (["make_data.py"], "not a table by its name"),
        (["numbers.csv"], "no installed plugin knows what this is"),
        (["numbers.csv"], "taskkit new plugin NAME --like table"),
        (["images", "--as", "speech"], "images: it is not recognised as 'speech'.\n  It may be image.classification."),
        (["images", "--as", "nonsense"], "--as: 'nonsense' is no task or modality. There are image, "),
        (["empty"], "empty: it is empty: there is no file"),
        (["visits.csv", "--as", "recsys.next_item"], "has the columns 'Besucher', 'Artikel', 'Zeitpunkt'"),
        (
            ["visits.csv", "--as", "recsys.next_item"],
            "recsys.interactions takes columns by settings, here with the names that it expects: user_column ('user'),",
        ),
        (["images", "-o", "texts.csv"], "nothing is overwritten"),
    ],
)
def test_what_cannot_be_said_is_told(words: list[str], said: str, place: Path) -> None:
    Path("make_data.py").touch()
    _table("numbers.csv", ["a", "b"], [[str(n), str(n * n)] for n in range(30)])
    _table("visits.csv", ["Besucher", "Artikel", "Zeitpunkt"], [[str(n % 7), str(n), f"{n}"] for n in range(30)])
    Path("empty").mkdir()
    Path("empty/.hidden").touch()
    before = sorted(place.iterdir())
    ended = _invoke(*words)
    assert ended.exit_code == 2, ended.output
    assert said in ended.output
    assert sorted(place.iterdir()) == before


def test_a_plugin_that_cannot_look_is_named(site: Site, taskkit: Callable[..., CompletedProcess[str]]) -> None:
    source = "import taskkit\n@taskkit.hookimpl\ndef taskkit_recognise(data):\n    raise KeyError('x')\n"
    site.add("taskkit-blind", {"blind": "taskkit_blind"}, {"taskkit_blind.py": source})
    ended = taskkit("new", "data", str(DATA / "images"), sites=(site.path,))
    assert ended.returncode == 2
    assert "taskkit-blind 0.1 cannot look at" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_looking_loads_no_torch(tmp_path: Path) -> None:
    source = """
import sys
from click.testing import CliRunner
from taskkit.cli import main
for path in sys.argv[1:]:
    assert CliRunner().invoke(main, ["new", "data", path]).exit_code == 0
print(*sys.modules)
"""
    words = [sys.executable, "-c", source, *(str(DATA / name) for name in TASKS)]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not {"torch", "torchaudio", "transformers"} & set(ended.stdout.split())
