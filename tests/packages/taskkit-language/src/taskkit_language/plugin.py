"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

TEXT = "taskkit_language.sections:Text"
NEXT = "taskkit_language.sections:Next"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    yield Component(
        kind="task",
        name="language.next",
        summary="learn which byte follows, and go on with a text",
        implementation="taskkit_language.gpt:Language",
        section="taskkit_language.sections:Language",
        input=TEXT,
        targets=(NEXT,),
        metrics={"perplexity": "min"},
        statistics=("taskkit_language.measures:perplexity",),
    )
    yield Component(
        kind="model",
        name="language.gpt",
        summary="a small GPT on bytes",
        implementation="taskkit_language.gpt:Gpt",
        section="taskkit_language.sections:Gpt",
        input=TEXT,
        targets=(NEXT,),
    )
    yield Component(
        kind="data",
        name="language.docstrings",
        summary="docstrings of Python's standard library",
        implementation="taskkit_language.gpt:Docstrings",
        section="taskkit_language.sections:Docstrings",
        input=TEXT,
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship one recipe."""
    yield RecipeFile("language", Path(__file__).parent / "language.yaml")
