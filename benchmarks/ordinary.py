"""The common way to train: a Dataset of PIL images, torchvision's transforms, and a DataLoader with workers."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from fer.nn.devices import default_device
from fer.nn.weights import PIXEL_MEAN, PIXEL_STD
from fer.runtime.parallel import count_cores
from fer.training.augmentation import ERASED_ASPECT_RATIO, MIN_ERASED_AREA
from fer.training.params import Transforms

NORMALIZE = v2.Normalize([PIXEL_MEAN], [PIXEL_STD])
UNCHANGED = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), NORMALIZE])


def make_transforms(transforms: Transforms, *, on_pil: bool) -> v2.Compose:
    """Return the transforms of `fer.training.augmentation`, from a PIL image or uint8 tensor to floats in 0..1."""
    affine = v2.RandomAffine(
        transforms.rotation_degrees,
        translate=(transforms.shift, transforms.shift),
        scale=(1 - transforms.zoom, 1 + transforms.zoom),
        shear=transforms.shear_degrees,
        interpolation=v2.InterpolationMode.BILINEAR,
        fill=round(255 * PIXEL_MEAN),  # black corners and rectangles cost 12 to 25 points of accuracy
    )
    light = v2.ColorJitter(brightness=transforms.brightness, contrast=transforms.contrast)
    to_tensor = [v2.PILToTensor()] if on_pil else []
    erase = v2.RandomErasing(
        transforms.erasing, scale=(MIN_ERASED_AREA, transforms.erased_area), ratio=ERASED_ASPECT_RATIO, value=PIXEL_MEAN
    )
    flip = v2.RandomHorizontalFlip(transforms.flip)
    return v2.Compose([flip, affine, light, *to_tensor, v2.ToDtype(torch.float32, scale=True), erase])


class FaceDataset(Dataset[tuple[Tensor, int]]):
    """Stored faces, opened as PIL images or tensors and transformed one by one."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, transform: v2.Compose, *, on_pil: bool = True) -> None:
        self.pixels, self.labels, self.transform, self.on_pil = pixels, labels, transform, on_pil

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        face = self.pixels[row]
        return self.transform(Image.fromarray(face) if self.on_pil else torch.from_numpy(face)[None]), self.labels[row]


def make_loader(faces: FaceDataset, batch: int, *, shuffle: bool = False) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader with one worker for each core; the workers stay alive between passes."""
    return DataLoader(
        faces,
        batch,
        shuffle=shuffle,
        num_workers=count_cores(),
        persistent_workers=True,
        pin_memory=default_device().type == "cuda",
    )
