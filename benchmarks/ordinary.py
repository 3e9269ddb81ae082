"""The ordinary way: a Dataset of PIL pictures, torchvision's transforms face by face, a DataLoader with workers."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from fer.nn.inference import default_device
from fer.nn.weights import PIXEL_MEAN, PIXEL_STD
from fer.runtime.parallel import count_cores
from fer.training.augmentation import ERASED_AREA, ERASED_ASPECT_RATIO
from fer.training.params import Transforms

NORMALIZE = v2.Normalize([PIXEL_MEAN], [PIXEL_STD])
UNCHANGED = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), NORMALIZE])


def make_transforms(chosen: Transforms, *, on_pil: bool) -> v2.Compose:
    """What `fer.training.augmentation` does, within the same bounds, to a PIL image or uint8 tensor; floats in 0..1."""
    moves = v2.RandomAffine(
        chosen.rotation_degrees,
        translate=(chosen.shift, chosen.shift),
        scale=(1 - chosen.zoom, 1 + chosen.zoom),
        shear=chosen.shear_degrees,
        interpolation=v2.InterpolationMode.BILINEAR,
        fill=round(255 * PIXEL_MEAN),  # black corners, and black rectangles below, cost 12 to 25 points of accuracy
    )
    light = v2.ColorJitter(brightness=chosen.brightness, contrast=chosen.contrast)
    to_tensor = [v2.PILToTensor()] if on_pil else []
    erase = v2.RandomErasing(chosen.erasing, scale=ERASED_AREA, ratio=ERASED_ASPECT_RATIO, value=PIXEL_MEAN)
    flip = v2.RandomHorizontalFlip(chosen.flip)
    return v2.Compose([flip, moves, light, *to_tensor, v2.ToDtype(torch.float32, scale=True), erase])


class FaceDataset(Dataset[tuple[Tensor, int]]):
    def __init__(self, pixels: np.ndarray, label: np.ndarray, transform: v2.Compose, *, on_pil: bool = True) -> None:
        self.pixels, self.label, self.transform, self.on_pil = pixels, label, transform, on_pil

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        face = self.pixels[row]
        return self.transform(Image.fromarray(face) if self.on_pil else torch.from_numpy(face)[None]), self.label[row]


def make_loader(faces: FaceDataset, batch: int, *, shuffle: bool = False) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches by a worker for each core; the workers stay from one pass to the next."""
    return DataLoader(
        faces,
        batch,
        shuffle=shuffle,
        num_workers=count_cores(),
        persistent_workers=True,
        pin_memory=default_device().type == "cuda",
    )
