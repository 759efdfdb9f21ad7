"""A model of Hugging Face's transformers as a model of taskkit."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from taskkit import CheckpointError, Classes, DataSpec, Model, Origin, file_sha256
from taskkit_image.processor import ImageProcessor
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

from taskkit_guides import sections

HEAD = "classifier."


class Vit(Model[sections.Vit, ImageProcessor]):
    """A ViT; its shape is in the section, so that a finished run is rebuilt without fetching anything."""

    def processor(self, spec: DataSpec) -> ImageProcessor:
        """Images of one size."""
        return ImageProcessor.for_data(spec, self.config.image_size, "guides.vit")

    def network(self, spec: DataSpec, processor: ImageProcessor) -> nn.Module:
        """Freshly initialised."""
        assert isinstance(spec.target, Classes)
        c = self.config
        shape = ViTConfig(
            image_size=c.image_size,
            patch_size=c.patch,
            num_channels=processor.channels,
            hidden_size=c.width,
            intermediate_size=4 * c.width,
            num_hidden_layers=c.depth,
            num_attention_heads=c.heads,
        )
        shape.num_labels = len(spec.target)
        return Named(ViTForImageClassification(shape))

    def load_pretrained(self, network: nn.Module, processor: ImageProcessor) -> Iterable[Origin]:
        """Put the weights of `weights` into a new network, once, before the first step; a head of other classes is new.

        Raises CheckpointError where they do not fit.
        """
        assert isinstance(network, Named)
        if self.config.weights is None:
            return ()
        folder, ours = Path(self.config.weights), network.network
        loaded: Any = ViTForImageClassification.from_pretrained(
            folder, config=ours.config, output_loading_info=True, ignore_mismatched_sizes=True, local_files_only=True
        )
        theirs, report = loaded
        wrong = [*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]
        if wrong := [name for name in wrong if not name.startswith(HEAD)]:
            raise CheckpointError(f"{folder}: its {wrong[0]} is not of the shape in the section. Correct the section.")
        ours.load_state_dict(theirs.state_dict())
        return (Origin("guides.vit", str(folder), file_sha256(folder / "model.safetensors")),)


class Named(nn.Module):
    """From bytes to the logits alone of what the library answers."""

    def __init__(self, network: ViTForImageClassification) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of 0 to 255 in, logits (batch, classes) out."""
        logits: Tensor = self.network(image.float() / 127.5 - 1).logits
        return logits
