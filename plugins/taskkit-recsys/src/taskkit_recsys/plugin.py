"""What this plugin brings to taskkit; importing it loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from taskkit import Component, Guess, RecipeFile, UserData, hookimpl, recipes_in

taskkit_api = ">=0.2,<0.3"
NEXT = "taskkit_recsys.facts:NextItem"
RATING = "taskkit_recsys.facts:Rating"
METRICS: Mapping[str, Mapping[str, Literal["max", "min"]]] = {
    "next_item": {
        **dict.fromkeys(("mrr*", "ndcg@*", "hr@*", "recall@*", "coverage@10"), "max"),
        "gini@10": "min",
    },
    "rating": {"rmse": "min", "mae": "min"},
}
"""The metrics of each task that are better one way, at whatever cutoffs."""
PORTABLE = {"next_item": "taskkit_recsys.arrays:NextItemArrays", "model": "taskkit_recsys.arrays:HistoryArrays"}


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """The tasks, models and data."""
    yield _component("task", "next_item", "rank all items for each user", "next_item:NextItem", NEXT)
    yield _component("task", "rating", "how much a user likes an item", "rating:Rating", RATING)
    yield _component("model", "sasrec", "self-attention over a history", "sasrec:Sasrec", NEXT)
    yield _component("model", "bert4rec", "self-attention that fills in masked items", "bert4rec:Bert4rec", NEXT)
    yield _component("model", "gru4rec", "a recurrent network over a history", "gru4rec:Gru4rec", NEXT)
    yield _component("model", "lightgcn", "vectors spread over the graph of who took what", "lightgcn:Lightgcn", NEXT)
    yield _component("model", "mf", "matrix factorisation, also of ratings", "mf:Mf", NEXT, RATING)
    yield _component("model", "popular", "what most users took; needs no training", "popular:Popular", NEXT)
    yield _component("model", "item_knn", "what the same users took; needs no training", "item_knn:ItemKnn", NEXT)
    yield _component(
        "data", "movielens_100k", "100 000 ratings of films by 943 people", "movielens_100k:Movielens100k", NEXT, RATING
    )
    yield _component("data", "movielens", "MovieLens-1M to 32M, from GroupLens", "movielens:Movielens", NEXT, RATING)
    yield _component(
        "data", "interactions", "your own log: who took what when", "interactions:Interactions", NEXT, RATING
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """The recipes that come inside the package."""
    return recipes_in("taskkit_recsys")


@hookimpl
def taskkit_recognise(data: UserData) -> Iterable[Guess]:
    """A log of users, items and times."""
    from taskkit_recsys.recognise import guesses

    return guesses(data)


def _component(
    kind: Literal["task", "model", "data"], name: str, summary: str, implementation: str, *targets: str
) -> Component:
    return Component(
        kind,
        f"recsys.{name}",
        summary,
        implementation=f"taskkit_recsys.{implementation}",
        section=f"taskkit_recsys.sections:{implementation.partition(':')[2]}",
        input="taskkit_recsys.facts:Histories",
        targets=targets,
        metrics=METRICS.get(name, {}),
        portable=PORTABLE.get(name if kind == "task" else kind, ""),
    )
