"""The network of lenet.py as a model of taskkit."""

from taskkit import Classes, DataSpec, Model
from taskkit_image.processor import ImageProcessor
from torch import Tensor, nn

from taskkit_guides import sections
from taskkit_guides.lenet import LeNet


class Lenet(Model[sections.Lenet, ImageProcessor]):
    """LeNet, and the way in of taskkit-image."""

    def processor(self, spec: DataSpec) -> ImageProcessor:
        """Images of one size."""
        return ImageProcessor.for_data(spec, self.config.image_size, "guides.lenet")

    def network(self, spec: DataSpec, processor: ImageProcessor) -> nn.Module:
        """For as many channels and classes as the data have."""
        assert isinstance(spec.target, Classes)
        return Named(LeNet(processor.channels, self.config.image_size, len(spec.target)))


class Named(nn.Module):
    """Takes the batch's tensor by its name, and as bytes: what stood in front of the network elsewhere stands here."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of 0 to 255 in, logits (batch, classes) out."""
        logits: Tensor = self.network(image.float() / 255)
        return logits
