"""Batches that are a share of a recipe's, of which as many more make an optimiser step: less memory, the same steps."""

from __future__ import annotations

from dataclasses import replace

from taskkit.contracts.recipe import Recipe


def smaller(recipe: Recipe, times: int) -> Recipe | None:
    """The recipe with batches so many times smaller; None where a batch holds fewer samples than that."""
    loader, trainer = recipe.loader, recipe.trainer
    if loader.budget is None and loader.batch_size < times:
        return None
    judged = loader.eval_batch_size
    return replace(
        recipe,
        loader=replace(
            loader,
            batch_size=max(1, loader.batch_size // times),
            budget=loader.budget and loader.budget / times,
            eval_batch_size=judged and max(1, judged // times),
        ),
        trainer=replace(trainer, accumulate_grad_batches=trainer.accumulate_grad_batches * times),
    )


def changes(before: Recipe, after: Recipe) -> str:
    """What makes the one batches of the other, as it is written on the command line."""
    was, now = before.loader, after.loader
    sizes = {
        "loader.budget": (was.budget, now.budget),
        "loader.batch_size": (was.batch_size, now.batch_size if now.budget is None else was.batch_size),
        "loader.eval_batch_size": (was.eval_batch_size, now.eval_batch_size),
        "trainer.accumulate_grad_batches": (None, after.trainer.accumulate_grad_batches),
    }
    return " ".join(f"{key}={new:.12g}" for key, (old, new) in sizes.items() if new is not None and new != old)
