"""What the LightningModule was, in its new places: the network in a model, the steps in a task."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from taskkit import Attachment, Batch, DataSpec, Example, Headline, Mean, Model, Prediction, Statistic, Step, Task
from taskkit_image.processor import ImageProcessor
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, Metric

from taskkit_guides import sections


class Autoencoder(Model[sections.Autoencoder, ImageProcessor]):
    """`__init__` and `save_hyperparameters` became a section and this; the transforms became the processor."""

    def processor(self, spec: DataSpec) -> ImageProcessor:
        """Images of one size."""
        return ImageProcessor.for_data(spec, self.config.image_size, "guides.autoencoder")

    def network(self, spec: DataSpec, processor: ImageProcessor) -> nn.Module:
        """As large as the images are."""
        return Network((processor.channels, processor.height, processor.width), self.config.code)


class Network(nn.Module):
    """The layers, as they were."""

    def __init__(self, shape: tuple[int, int, int], code: int) -> None:
        super().__init__()
        pixels = shape[0] * shape[1] * shape[2]
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 64), nn.ReLU(), nn.Linear(64, code))
        self.decoder = nn.Sequential(nn.Linear(code, 64), nn.ReLU(), nn.Linear(64, pixels), nn.Unflatten(1, shape))

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of 0 to 255 in, restored ones of 0 to 1 out."""
        restored: Tensor = self.decoder(self.encoder(image.float() / 255))
        return restored


class Restore(Task[sections.Restore, ImageProcessor]):
    """`training_step` and `validation_step` became `step`; what was logged is what metrics and reports are made of."""

    headline = Headline("error", "min")

    def step(self, batch: Batch) -> Step:
        """The squared error is learnt by, the absolute one judged by."""
        restored, image = self(batch), batch["image"].float() / 255
        loss = functional.mse_loss(restored, image)
        return Step(loss, len(image), outputs=restored, scored={"preds": restored.detach(), "target": image})

    def metrics(self) -> Mapping[str, Metric]:
        """The mean absolute error of a pixel."""
        return {"error": MeanAbsoluteError()}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The error of each image."""
        return {"error": (step.outputs - batch["image"].float() / 255).abs().mean(dim=(1, 2, 3))}

    def statistics(self) -> Mapping[str, Statistic]:
        """The metric is the mean of the scores."""
        return {"error": Mean("error", ideal=0.0)}

    def predict(self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """The restored image, as a file that every program reads."""
        pixels = (255 * outputs.float().clamp(0, 1)).round().to(torch.uint8).cpu()
        return [{"prediction": Attachment(_portable(image[0]), ".pgm")} for image in pixels]


def _portable(grey: Tensor) -> bytes:
    """A portable graymap of bytes (height, width)."""
    height, width = grey.shape
    return f"P5 {width} {height} 255\n".encode() + grey.numpy().tobytes()
