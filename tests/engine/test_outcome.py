"""What is printed of a task's tables at the end of a run."""

import shlex
from pathlib import Path

from taskkit.contracts.task import Headline
from taskkit.engine.outcome import in_words, next_step, small
from taskkit.runs.manifest import WeightsTested

CLASSES = {"class": ["cat", "a dog"], "examples": [3, 12], "recall": [0.5, 1 / 3]}


def test_a_table_is_printed_in_aligned_columns_with_its_name() -> None:
    (text,) = small({"classes": CLASSES}, 80)
    assert text.splitlines() == [
        "classes",
        "class  examples  recall",
        "cat           3  0.5000",
        "a dog        12  0.3333",
    ]


def test_a_table_that_no_terminal_shows_well_is_left_to_its_file() -> None:
    long = {"class": [str(i) for i in range(30)]}
    wide = {str(i): [0.5] for i in range(12)}
    assert list(small({"long": long, "wide": wide}, 200)) == []


def test_words_in_a_table_are_no_markup_and_fit_a_narrow_terminal() -> None:
    (text,) = small({"classes": {"class": ["[red]x[/red]" * 9], "recall": [0.5]}}, 40)
    assert "[red]x[/red]" in text
    assert max(map(len, text.splitlines())) <= 40


def test_weights_that_were_not_trained_are_of_no_epoch() -> None:
    headline = Headline("accuracy", "max")
    assert in_words(WeightsTested("best", 30, 2, 0.912), headline) == (
        "tested: the best weights, of epoch 3, step 30 (val/accuracy 0.9120)"
    )
    assert in_words(WeightsTested("last", 0, 0, None), headline) == "tested: the model without a step of training"


def test_commands_can_be_copied_whatever_a_run_is_called() -> None:
    for name in ("my run", "a$b'c", "runs/vit/2026-11-27T12-00-00_seed=7"):
        for line in next_step(Path(name), predicts=True).splitlines():
            command = shlex.split(line.partition(":")[2])
            assert command[:1] + command[2:3] == ["taskkit", name]
    assert next_step(Path("runs/a_seed=7"), predicts=False).endswith("taskkit eval runs/a_seed=7")
