"""Networks that begin with ImageNet weights: a backbone of timm's (`pip install '.[transfer]'`) under a new head."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from fer.nn.weights import PIXEL_MEAN, PIXEL_STD
from fer.runtime.errors import InputError


class TransferNetwork(nn.Module):
    """Grey faces of any size, seen by the backbone as the pictures that it knows: `size` pixels wide, of three colours.

    Args:
        backbone: a model's name and tag in timm, as its weights are called on the Hugging Face hub.
        least_px: side of the smallest picture that the backbone can take.
        head: maps (n, channels, h, w) to logits.

    Raises:
        InputError: timm is not installed, or `size` is too small.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, backbone: str, size: int, min_px: int, head: nn.Module) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise InputError(f"{backbone}: this network needs timm; pip install '.[transfer]'") from error
        if size < min_px:
            raise InputError(f"{backbone}: can't take {size} pixels, but {min_px} and more; raise transfer.input_px")
        self.size = size
        model: Any = timm.create_model(backbone, num_classes=0)
        if hasattr(model, "pre_logits"):
            model.pre_logits = nn.Identity()  # VGG's own dense layers
        self.backbone, self.head = model, head
        mean, deviation = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
        self.register_buffer("scale", PIXEL_STD / deviation, persistent=False)
        self.register_buffer("shift", (PIXEL_MEAN - mean) / deviation, persistent=False)

    def forward(self, faces: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n classes"]:
        resized = interpolate(
            faces, size=(self.size, self.size), mode="bilinear", antialias=faces.shape[-1] > self.size
        )
        return self.head(self.backbone.forward_features(resized * self.scale + self.shift))

    def train(self, mode: bool = True) -> "TransferNetwork":
        """As always, but a frozen backbone stays as in evaluation: its batch norm neither learns nor drifts."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self


def pooled_head(channels: int, n_classes: int, dropout: float) -> nn.Sequential:
    """BN · max-pool 2 · global average · dropout · dense (Data 240).

    The pool keeps the last row and column of an odd map, which Keras' drops: of 3 × 3 cells it would see four.
    """
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(channels, n_classes),
    )


def load_imagenet_weights(network: nn.Module, pretrained: bool | str) -> None:
    """Fill the backbone of a `Transfer` network with ImageNet weights.

    True takes them from the Hugging Face hub or its local cache, a string is a safetensors file of timm's whole model.

    Raises:
        InputError: the weights can't be had, or are of another network.
    """
    if not pretrained:
        return
    backbone: Any = network.get_submodule("backbone")
    repository = backbone.pretrained_cfg["hf_hub_id"]
    path = Path(pretrained) if isinstance(pretrained, str) else _download_weights(repository)
    try:
        given = load_file(path)
        wanted = backbone.state_dict().keys()
        backbone.load_state_dict({key: given[key] for key in wanted})
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path}: not a safetensors file with the weights of {repository} ({_first_line(error)})"
        ) from error


def _download_weights(repository: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the ImageNet weights of {repository} can't be had ({_first_line(error)}); run once with a connection to "
            "huggingface.co, or give transfer.pretrained in params.yaml the path of its model.safetensors, or false"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
