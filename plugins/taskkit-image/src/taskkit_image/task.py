"""Image classification: the shared task, with pairs of training images mixed on the device."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.transforms import v2

from taskkit import Batch, Classification, DataSpec, Processor
from taskkit_image import sections


class ImageClassification(Classification[sections.ImageClassification, Processor]):
    """Choose one class for each image.

    Training batches may be mixed by MixUp (Zhang et al., 2018) and CutMix (Yun et al., 2019); with both,
    each batch by one of them.
    """

    def __init__(
        self, config: sections.ImageClassification, network: nn.Module, processor: Processor, spec: DataSpec
    ) -> None:
        super().__init__(config, network, processor, spec)
        count = len(self.classes)
        mixers: list[v2.Transform] = []
        if config.mixup:
            mixers.append(v2.MixUp(alpha=config.mixup, num_classes=count))
        if config.cutmix:
            mixers.append(v2.CutMix(alpha=config.cutmix, num_classes=count))
        self.mix = v2.RandomChoice(mixers) if mixers else None

    @property
    def mixes(self) -> bool:
        """Whether a mixer is on."""
        return self.mix is not None

    def soften(self, batch: Batch) -> tuple[Batch, Tensor | None]:
        """Mix each image of a training batch with another, by one of the mixers that are on."""
        if self.mix is None:
            return batch, None
        images, probabilities = self.mix(batch["image"].float(), batch["target"])
        return {**batch, "image": images}, probabilities
