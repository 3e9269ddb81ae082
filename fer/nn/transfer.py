"""Transfer networks: a timm backbone with ImageNet weights (`pip install '.[transfer]'`) and a new head."""

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
    """A timm backbone and a head; grey faces are resized to `size` pixels and normalised as RGB images of ImageNet.

    Args:
        backbone: Name and tag of a model in timm, as on the Hugging Face hub.
        min_px: Side of the smallest image that the backbone accepts.
        head: Maps (n, channels, h, w) to logits.

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
            raise InputError(f"{backbone}: timm is not installed; run `pip install '.[transfer]'`") from error
        if size < min_px:
            raise InputError(f"{backbone}: transfer.input_px={size} is below the minimum of {min_px} pixels; raise it")
        self.size = size
        model: Any = timm.create_model(backbone, num_classes=0)
        if hasattr(model, "pre_logits"):
            model.pre_logits = nn.Identity()  # the dense layers of VGG
        self.backbone, self.head = model, head
        mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
        self.register_buffer("scale", PIXEL_STD / std, persistent=False)
        self.register_buffer("shift", (PIXEL_MEAN - mean) / std, persistent=False)

    def forward(self, faces: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n classes"]:
        resized = interpolate(
            faces, size=(self.size, self.size), mode="bilinear", antialias=faces.shape[-1] > self.size
        )
        return self.head(self.backbone.forward_features(resized * self.scale + self.shift))

    def train(self, mode: bool = True) -> "TransferNetwork":
        """Set the mode, but keep a frozen backbone in evaluation mode, so that its batch norm statistics stay."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self


def pooled_head(channels: int, n_classes: int, dropout: float) -> nn.Sequential:
    """Return BN · max-pool 2 · global average · dropout · dense (Data 240).

    The max-pool keeps the last row and column of an odd map. Keras drops them and would use four of 3 × 3 cells.
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
    """Load ImageNet weights into the backbone of a `TransferNetwork`.

    Args:
        pretrained: True: from the Hugging Face hub or its local cache; a string: from this safetensors file of the
            complete timm model; False: keep the weights.

    Raises:
        InputError: The weights cannot be downloaded or read, or belong to another network.
    """
    if not pretrained:
        return
    backbone: Any = network.get_submodule("backbone")
    repository = backbone.pretrained_cfg["hf_hub_id"]
    path = Path(pretrained) if isinstance(pretrained, str) else _download_weights(repository)
    try:
        tensors = load_file(path)
        backbone.load_state_dict({key: tensors[key] for key in backbone.state_dict()})
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path}: not a safetensors file with the weights of {repository} ({_first_line(error)}); download it again"
        ) from error


def _download_weights(repository: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot download the ImageNet weights of {repository} ({_first_line(error)}); run once with access to "
            "huggingface.co, or set transfer.pretrained in params.yaml to the path of model.safetensors, or to false"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
