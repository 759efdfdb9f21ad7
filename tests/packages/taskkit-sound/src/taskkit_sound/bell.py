"""What the plugin adds to a run of its model."""

import pytorch_lightning as pl


class Bell(pl.Callback):
    """Rings when training ends."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ring."""
        print("ding")
