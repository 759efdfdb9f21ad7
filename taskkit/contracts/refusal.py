"""What an author writes and nobody would call is refused when the class is defined, by name and with what to do."""

from __future__ import annotations

from collections.abc import Mapping

_STEP = "Write `step(batch)`, which returns a taskkit.Step; the host trains, validates and tests with it"
_LOADERS = "The host makes the loaders of what `prepare` returns; the recipe's `loader` section says how"
_LOG = "Return scalars in Step(scalars={name: tensor})"
_OPTIMISERS = "The recipe's `optim` section says it; a task with several optimisers names `phases`"
_HOOKS = (
    "The host is not a LightningModule's Trainer. A plugin adds Lightning callbacks with the hook `taskkit_callbacks`"
)

LIGHTNING: Mapping[str, str] = {
    **dict.fromkeys(("training_step", "validation_step", "test_step", "predict_step"), _STEP),
    **dict.fromkeys(("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"), _LOADERS),
    **dict.fromkeys(("prepare_data", "setup", "teardown", "transfer_batch_to_device"), _LOADERS),
    **dict.fromkeys(("log", "log_dict"), _LOG),
    **dict.fromkeys(
        (
            "automatic_optimization",
            "backward",
            "configure_gradient_clipping",
            "configure_optimizers",
            "lr_scheduler_step",
            "manual_backward",
            "optimizer_step",
            "optimizer_zero_grad",
        ),
        _OPTIMISERS,
    ),
    **dict.fromkeys(
        ("configure_callbacks", "configure_model", "configure_sharded_model", "save_hyperparameters"), _HOOKS
    ),
}
"""Names of Lightning's own classes that a plugin may write out of habit, and what to do instead."""


def refuse_ignored(cls: type) -> None:
    """Raise TypeError for a name in a class that nobody would call or read."""
    for name, value in vars(cls).items():
        advice = LIGHTNING.get(name) or (_HOOKS if name.startswith("on_") else None)
        if advice is not None:
            verb = "called" if callable(value) else "read"
            raise TypeError(f"{cls.__name__}.{name} would never be {verb}. {advice}.")
