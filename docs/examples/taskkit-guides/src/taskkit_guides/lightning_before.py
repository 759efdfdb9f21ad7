"""A LightningModule as people have them."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Resize, ToTensor


class LitAutoencoder(pl.LightningModule):
    def __init__(self, code: int = 8, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, code))
        self.decoder = nn.Sequential(nn.Linear(code, 64), nn.ReLU(), nn.Linear(64, 256), nn.Unflatten(1, (1, 16, 16)))

    def training_step(self, batch, batch_idx):
        image, _ = batch
        loss = functional.mse_loss(self.decoder(self.encoder(image)), image)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        image, _ = batch
        self.log("val_error", functional.l1_loss(self.decoder(self.encoder(image)), image))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)

    def train_dataloader(self):
        return DataLoader(MNIST(".", download=True, transform=Compose([Resize(16), ToTensor()])), batch_size=64)
