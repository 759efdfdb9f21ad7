"""The documentation against the code: its commands, recipes, errors, keys and pages."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

import taskkit
from taskkit.cli import VERBS, Context, main
from taskkit.contracts.facts import Example
from taskkit.errors import DataError
from taskkit.plugins.discovery import discover

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "plugins/*/README.md")
    for path in ROOT.glob(pattern)
    # Pages of other people's plugins, which speak of what is installed there.
    if "examples" not in path.relative_to(ROOT).parts
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    title: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    fence = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
    for language, title, text in fence.findall((ROOT / page).read_text()):
        yield Block(page, language, title, text)


LISTING = re.compile(r"^(<!-- listing: (\S+) -->\n\n```[^\n]*\n).*?^```", re.MULTILINE | re.DOTALL)
"""A file of the repository that a page shows whole: the comment names it."""


def with_listings(text: str) -> str:
    """A page with each listing as its file is."""
    return LISTING.sub(lambda found: f"{found[1]}{(ROOT / found[2]).read_text().rstrip()}\n```", text)


BLOCKS = [block for page in PAGES for block in blocks(page)]
LISTED = {
    (ROOT / name).read_text().rstrip() for page in PAGES for _, name in LISTING.findall((ROOT / page).read_text())
}


def commands(block: Block) -> Iterator[tuple[str, ...]]:
    """The arguments of each call of taskkit in a block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for command in line.split("&&"):
            words = shlex.split(command, comments=True)
            at = [i for i, word in enumerate(words) if Path(word).name == "taskkit"]
            if at and (at[0] == 0 or words[0] in ("srun", "torchrun")):
                yield tuple(words[at[0] + 1 :])


COMMANDS = sorted({words for block in BLOCKS if block.language == "bash" for words in commands(block)})
NEEDS_A_RUN = {"card", "eval", "export", "predict", "scrub", "RUN", "STUDY", "STUDY.yaml"}
NEEDS_A_PLUGIN = {"taskkit-weather", "weather"}
"""That is written on the pages; tests/scaffold does what they say."""
SHIPPED = {path.stem: f"recipes/{path.name}" for path in ROOT.glob("recipes/*.yaml")}
"""What a wheel of the plugin ships by name; the editable one finds it in the repository."""


WHOLE = {"image": "flowers.yaml", "recsys": "books.yaml", "speech": "mine.yaml", "text": "tickets.yaml"}
"""A recipe of the documentation for each modality, which parts of recipes are laid over."""


@pytest.fixture
def place(tmp_path: Path, series_site: Path, tabular_site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which what the pages speak of is there."""
    for folder in ("recipes", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for folder in ("root", "birds", "runs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "flowers").symlink_to(ROOT / "tests/runs/0.1/data/images")
    for block in BLOCKS:
        if block.title and block.text.rstrip() not in LISTED:
            (tmp_path / block.title).write_text(block.text)
    for site in (series_site, tabular_site):
        monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TASKKIT_PLUGIN_FILES", "")  # What a call of --plugin sets is taken back.
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_pages_and_commands() -> None:
    assert len(PAGES) > 10
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_listing_is_its_file(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert text == with_listings(text), "run `python tests/test_docs.py`"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_in_the_documentation_has_a_verb_and_options_that_exist(words: tuple[str, ...]) -> None:
    context = click.Context(main, obj=Context())
    words = tuple(word for word in _without_files(words)[0] if word not in ("--no-plugins", "--debug"))
    command = main.get_command(context, words[0])
    assert command is not None
    command.make_context(words[0], list(words[1:]), parent=context)


@pytest.mark.parametrize(
    "words",
    [words for words in COMMANDS if not (NEEDS_A_RUN | NEEDS_A_PLUGIN) & {word.partition("/")[0] for word in words}],
    ids=" ".join,
)
def test_a_command_in_the_documentation_works(words: tuple[str, ...], place: Path) -> None:
    (verb, *rest), files = _without_files(words)
    # Training takes too long for a test, and data may be elsewhere: the recipe and its changes are checked.
    if verb == "study":
        rest = [*rest, "--check"]
    if verb == "find":
        rest = rest[1:]
    if verb in ("run", "check", "bench", "find"):
        rest = ["check", *(SHIPPED.get(word, word) for word in _without_options(rest))]
    else:
        rest = [verb, *rest]
    ended = CliRunner().invoke(main, [*rest, *files])
    # A page may show what `check` finds.
    assert ended.exit_code in ((0, 2) if verb in ("check", "bench", "find") else (0,)), ended.output
    assert "Usage:" not in ended.output
    assert "Traceback" not in ended.output


def _without_files(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a call without its plugins that are files, and these, each with its option."""
    files = [at for at, word in enumerate(words) if "--plugin" in (word, words[at - 1] if at else "")]
    return [word for at, word in enumerate(words) if at not in files], [words[at] for at in files]


def _without_options(words: list[str]) -> list[str]:
    """The recipes and changes of a call."""
    valued = ("--out", "--resume", "--seed")
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in valued
    ]


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "yaml" and block.text.rstrip() not in LISTED],
    ids=lambda block: f"{block.page}: {block.title or block.text[:30]!r}",
)
def test_a_recipe_in_the_documentation_has_no_problems(block: Block, place: Path) -> None:
    shown = yaml.safe_load(block.text)
    assert isinstance(shown, Mapping)
    (place / "shown.yaml").write_text(block.text)
    if "recipes" in shown:
        for key, package in (("search", "optuna"), ("kind: ray", "ray"), ("kind: slurm", "submitit")):
            if key in block.text:
                pytest.importorskip(package)
        ended = CliRunner().invoke(main, ["study", "shown.yaml", "--check"])
        assert ended.exit_code == 0, ended.output
        return
    modality = str(shown.get("task", {}).get("name", "image")).partition(".")[0]
    ended = CliRunner().invoke(main, ["check", WHOLE.get(modality, WHOLE["image"]), "shown.yaml"])
    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python" and block.text.rstrip() not in LISTED], ids=str
)
def test_python_in_the_documentation_takes_names_that_exist(block: Block) -> None:
    imports = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports if node.module == "taskkit" for alias in node.names}
    assert names <= set(taskkit.__all__)


def test_the_processor_of_samples_of_different_lengths_pads_them() -> None:
    (block,) = (each for each in BLOCKS if each.language == "python" and 'layout = "padded"' in each.text)
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    processor = names["Measurements"]()
    samples = [*processor.encode(Example("a", "1,2,3", 0)), *processor.encode(Example("b", ",".join("123456789"), 1))]
    batch = processor.collate(samples)
    assert batch["values"].shape == batch["mask"].shape == (2, 16)
    assert batch["mask"].sum(1).tolist() == [processor.length(sample) for sample in samples] == [3, 9]
    assert batch["values"].sum(1).tolist() == [6.0, 45.0]
    assert processor.padded_size(batch) == 32
    with pytest.raises(DataError, match="no measurements"):
        processor.encode(Example("c", "", None))


def test_every_error_that_is_explained_is_one_that_the_code_raises() -> None:
    sources = [*ROOT.glob("taskkit/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    code = "\n".join(path.read_text() for path in sources)
    first_cells = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/how-to/errors.md").read_text(), re.MULTILINE)
    quoted = [fragment for cell in first_cells for fragment in re.findall("`(.*?)`", cell)]
    assert len(quoted) > 20
    assert [fragment for fragment in quoted if fragment not in code] == []


def test_the_plugin_of_the_documentation_trains_predicts_and_leaves_what_is_explained(place: Path) -> None:
    recipe, out = place / "docs/how-to/waves.yaml", place / "run"
    plugins = discover({"series"})
    run = taskkit.run(recipe, ["trainer.max_epochs=1", "trainer.accelerator=cpu"], out=out, plugins=plugins)
    plain = [words for words in COMMANDS if words[0] == "predict" and "--plugin" not in words]
    ((_, _, values),) = [words for words in plain if "," in words[2]]
    assert len(run.predict([values])[0]["prediction"]) == 3

    files, keys, cost = (_first_column(heading) for heading in ("# Run directories", "## run.json", "### cost"))
    manifest = json.loads((out / "run.json").read_text())
    assert set(manifest) == keys
    assert set(manifest["cost"]) == cost
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {name for name in files if "*" not in name}


def _first_column(heading: str) -> set[str]:
    """What the first table after a heading of the page about run directories names in its first column."""
    text = (ROOT / "docs/reference/run-directory.md").read_text()
    table = re.split(r"^#", text.partition(f"{heading}\n")[2], flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall("`(.*?)`", cell)}


def test_ci_runs_the_line_of_the_readme() -> None:
    lines = [line for block in blocks(Path("README.md")) for line in block.text.splitlines()]
    (test_line,) = [line for line in lines if line.endswith("/pytest")]
    assert test_line in (ROOT / ".ci/run").read_text().splitlines()


def test_what_a_reader_copies_runs_as_it_stands() -> None:
    shells = [block for block in BLOCKS if block.language in ("bash", "console", "sh", "shell")]
    prompts = [(block.page, line) for block in shells for line in block.text.splitlines() if line.startswith("$ ")]
    assert prompts == []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built from another directory, with every warning an error."""
    out = tmp_path_factory.mktemp("docs")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(out),
        "-f",
        str(ROOT / "mkdocs.yml"),
    ]
    variables = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=out, env=variables, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return out


def test_the_documentation_builds_and_loads_nothing_from_elsewhere(built: Path) -> None:
    loaded = re.compile(r'<(?:link[^>]*rel="stylesheet"[^>]*href|script[^>]*src|img[^>]*src)="(https?:[^"]*)"')
    pages = list(built.rglob("*.html"))
    assert len(pages) > 10
    assert [url for page in pages for url in loaded.findall(page.read_text())] == []


def test_the_reference_has_every_verb_component_and_public_name(built: Path) -> None:
    def anchors(page: str) -> set[str]:
        return set(re.findall(r'id="([^"]*)"', (built / "reference" / page / "index.html").read_text()))

    assert set(VERBS) <= anchors("verbs")
    plugins = discover({"image", "recsys", "speech", "text"})
    names = {component.name.replace(".", "") for component in plugins.components}
    assert names
    assert names <= anchors("components")
    assert {f"taskkit.{name}" for name in taskkit.__all__} <= anchors("python")


if __name__ == "__main__":
    for page in PAGES:
        (ROOT / page).write_text(with_listings((ROOT / page).read_text()))
