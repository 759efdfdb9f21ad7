"""Every model of the timm library (Wightman, 2019), by its own name."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from timm.data import resolve_data_config
from timm.models import PretrainedCfg, clean_state_dict, get_pretrained_cfg, group_parameters
from torch import Tensor, nn

from taskkit import CheckpointError, Classes, DataSpec, Download, Model, Origin, TaskkitError, fetch, file_sha256
from taskkit_image import sections
from taskkit_image.arrays import ImageShape
from taskkit_image.facts import Images
from taskkit_image.normalise import Normalise
from taskkit_image.processor import ImageProcessor

FILE = "model.safetensors"


class TimmModel(Model[sections.Timm, ImageProcessor]):
    """A timm model with the size, crop and normalisation that it was made for."""

    def processor(self, spec: DataSpec) -> ImageProcessor:
        """Images as the model wants them: its channels, its crop, and `image_size` or its own size."""
        data = _data_config(self.config.architecture)
        channels, height, width = data["input_size"]
        size, images = self.config.image_size, spec.input
        assert isinstance(images, Images)
        shape = ImageShape(channels, size or height, size or width, data["crop_pct"], data["interpolation"])
        return ImageProcessor.of_images(images, shape)

    def network(self, spec: DataSpec, processor: ImageProcessor) -> nn.Module:
        """The model with a head for these classes; its weights are not the pretrained ones yet."""
        assert isinstance(spec.target, Classes)
        data = _data_config(self.config.architecture)
        model = self._create(len(spec.target), self.config.dropout, self.config.drop_path)
        return Normalised(Normalise(data["mean"], data["std"]), model)

    def load_pretrained(self, network: nn.Module, processor: ImageProcessor) -> Iterable[Origin]:
        """Put in the pretrained weights; the head stays fresh when they are of another number of classes."""
        assert isinstance(network, Normalised)
        if not self.config.pretrained:
            return []
        path, origin = self._weights()
        donor = self._donor(path).state_dict()
        own = network.model.state_dict()
        fitting = {name: own[name].shape == value.shape for name, value in donor.items() if name in own}
        network.model.load_state_dict({name: donor[name] for name, fits in fitting.items() if fits}, strict=False)
        return [origin]

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The parameters of each layer, as timm itself groups them for layer-wise decay."""
        assert isinstance(network, Normalised)
        model: Any = network.model
        groups = group_parameters(model, model.group_matcher(coarse=False), return_values=True)
        return [nn.ParameterList(groups[layer]) for layer in sorted(groups)]

    def _weights(self) -> tuple[Path, Origin]:
        """The file of the pretrained weights, and where it came from."""
        name = f"timm-{self.config.architecture}"
        if self.config.weights is None:
            hub = Download("the model hub, through timm", partial(_download, self.config.architecture))
            folder, origin = fetch(name, {FILE: None}, [hub], key="model.weights")
            return folder / FILE, origin
        path = Path(self.config.weights).expanduser()
        return path, Origin(name, str(path), file_sha256(path))

    def _donor(self, path: Path) -> nn.Module:
        """The model with all of the pretrained weights in their places, fitted to `image_size` by timm."""
        config = _config(self.config.architecture)
        state = _read_weights(path)
        heads = (config.classifier,) if isinstance(config.classifier, str) else config.classifier
        head = state.get(f"{heads[0]}.weight") if heads else None
        classes = 0 if head is None else len(head)
        # With the number of classes that the file has, timm loads strictly.
        overlay = {"state_dict": state, "num_classes": classes, "label_offset": 0}
        try:
            return self._create(classes, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{path}: these are not weights of {self.config.architecture}: {reason}. All weights of "
                "that model were expected. Correct model.weights or model.architecture."
            ) from None

    def _create(self, classes: int, dropout: float = 0, drop_path: float = 0, **more: Any) -> nn.Module:
        architecture, size = self.config.architecture, self.config.image_size
        if dropout:
            more["drop_rate"] = dropout
        if drop_path:
            more["drop_path_rate"] = drop_path
        if size and _config(architecture).fixed_input_size:
            more["img_size"] = size
        try:
            model = timm.create_model(architecture, num_classes=classes, **more)
        except (TypeError, AssertionError, ValueError) as error:
            raise TaskkitError(
                f"model: timm cannot make {architecture} with {_as_text(more)}: {str(error).rstrip('.')}. "
                "Settings that it has were expected. Leave out image_size, dropout or drop_path."
            ) from None
        assert isinstance(model, nn.Module)
        return model


class Normalised(nn.Module):
    """A timm model that takes bytes."""

    def __init__(self, normalise: Normalise, model: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of 0 to 255 in, logits (batch, classes) out."""
        logits: Tensor = self.model(self.normalise(image))
        return logits


def _config(architecture: str) -> PretrainedCfg:
    """What timm knows of a model; raises TaskkitError for a name that it does not know."""
    try:
        config = get_pretrained_cfg(architecture)
    except RuntimeError:
        config = None
    if not config:
        known = [*timm.list_models(), *timm.list_models(pretrained=True)]
        near = get_close_matches(architecture, known, n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "timm.list_models() lists them."
        raise TaskkitError(f"model.architecture: timm {timm.__version__} has no model {architecture!r}. {hint}")
    return config


def _data_config(architecture: str) -> dict[str, Any]:
    """Its input_size, mean, std, crop_pct and interpolation."""
    known = vars(_config(architecture))
    resolve: Callable[..., dict[str, Any]] = resolve_data_config
    return resolve(pretrained_cfg=known)


def _download(architecture: str, folder: Path) -> None:
    """Let timm fetch the weights from wherever they are published, in its way, and keep them in ours."""
    state = timm.create_model(architecture, pretrained=True).state_dict()
    safetensors.torch.save_file({name: value.clone().contiguous() for name, value in state.items()}, folder / FILE)


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name, without running any code that the file may hold."""
    try:
        if path.suffix.lower() == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: the weights cannot be read: {reason}. A .safetensors file, or a PyTorch file of "
            "nothing but tensors, was expected. Convert it to .safetensors."
        ) from None
    for key in ("state_dict_ema", "state_dict", "model_ema", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path}: it is not a mapping from names to tensors. The weights of a model were expected."
        )
    return dict(clean_state_dict(state))


def _as_text(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in arguments.items() if not k.startswith("pretrained")) or "these settings"
