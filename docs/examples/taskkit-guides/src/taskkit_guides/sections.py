"""The settings of the components, and a fact, without torch."""

from dataclasses import dataclass
from pathlib import Path

from taskkit import Problems, SelfSupervised, setting


@dataclass(frozen=True)
class Itself(SelfSupervised):
    """Each target is the input itself."""


@dataclass
class Lenet:
    """LeNet."""

    image_size: int = setting(32, "height and width in pixels", ge=16)


@dataclass
class Vit:
    """A vision transformer of transformers."""

    weights: str | None = setting(None, "a folder with a model.safetensors to begin with; null: from scratch")
    image_size: int = setting(32, "height and width in pixels", ge=8)
    patch: int = setting(8, "height and width of a patch in pixels", ge=1)
    width: int = setting(32, "size of a token; must be a multiple of heads", ge=4)
    depth: int = setting(2, "layers", ge=1)
    heads: int = setting(2, "attention heads", ge=1)

    def problems(self) -> Problems:
        """Heads that cannot share the width, patches that do not fill an image, a folder that is not there."""
        if self.width % self.heads:
            yield "heads", f"{self.heads} heads cannot share a width of {self.width}. It must be a multiple of heads."
        if self.image_size % self.patch:
            yield "patch", f"{self.patch} does not divide image_size {self.image_size}. Use one of its divisors."
        if self.weights is not None and not Path(self.weights, "model.safetensors").is_file():
            yield "weights", f"{self.weights} holds no model.safetensors. A folder that does was expected."


@dataclass
class Autoencoder:
    """A network that squeezes an image and restores it."""

    image_size: int = setting(16, "height and width in pixels", ge=4)
    code: int = setting(8, "numbers that an image is squeezed into", ge=1)


@dataclass
class Restore:
    """Restore each image."""


@dataclass
class Parity:
    """Handwritten digits, even or odd."""

    root: str | None = setting(None, "a folder that holds digits.csv.gz; null: that of the installed scikit-learn")
