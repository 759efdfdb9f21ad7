"""What this plugin brings to taskkit; importing it loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from taskkit import CLASSIFICATION_METRICS, Component, Guess, RecipeFile, UserData, hookimpl, recipes_in

taskkit_api = ">=0.2,<0.3"

METRICS: Mapping[str, Literal["max", "min"]] = {
    **CLASSIFICATION_METRICS,
    **dict.fromkeys(("micro_precision", "micro_recall", "micro_f1"), "max"),
}


PORTABLE = {
    "task": "taskkit:ArrayClassification",
    "bag": "taskkit_text.arrays:BagArrays",
    "lstm": "taskkit_text.arrays:TokenArrays",
    "transformer": "taskkit_text.arrays:TokenArrays",
}


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """The task, its models and its data."""
    yield _component("task", "classification", "choose one class for each text or pair", "task:TextClassification")
    yield _component("model", "transformer", "any encoder of Hugging Face transformers", "transformer:Transformer")
    yield _component("model", "lstm", "a bidirectional LSTM, from scratch", "lstm:Lstm")
    yield _component("model", "bag", "a linear classifier of n-grams: the honest baseline", "bag:Bag")
    yield _component("data", "r8", "Reuters news in 8 classes", "corpora:R8", "Corpus")
    yield _component("data", "r52", "Reuters news in 52 classes, most of them rare", "corpora:R52", "Corpus")
    yield _component("data", "newsgroups", "posts to 20 newsgroups, split by date", "corpora:Newsgroups", "Corpus")
    yield _component("data", "review_sentiment_zh", "Chinese reviews, favourable or not", "reviews:ReviewSentimentZh")
    yield _component("data", "table", "your own texts and labels, in a CSV, JSON lines or Parquet file", "table:Table")
    yield _component(
        "data", "huggingface", "a data set of the Hugging Face hub, by its name", "huggingface:HuggingFace"
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """The recipes that come inside the package."""
    return recipes_in("taskkit_text")


@hookimpl
def taskkit_recognise(data: UserData) -> Iterable[Guess]:
    """Texts and their classes in a table."""
    from taskkit_text.recognise import guesses

    return guesses(data)


def _component(
    kind: Literal["task", "model", "data"], name: str, summary: str, implementation: str, section: str = ""
) -> Component:
    return Component(
        kind,
        f"text.{name}",
        summary,
        implementation=f"taskkit_text.{implementation}",
        section=f"taskkit_text.sections:{section or implementation.partition(':')[2]}",
        input="taskkit_text.facts:Text",
        targets=("taskkit:Classes",),
        metrics=METRICS if kind == "task" else {},
        portable=PORTABLE.get(name if kind == "model" else kind, ""),
    )
