"""Random changes of faces: ours, a batch at a time, against the ordinary ways of making the same ones.

    python -m benchmarks.augmentation [--repeats 5] [--out benchmarks/results]

All flip, turn, shear, zoom, shift, change light and erase within the bounds of params.yaml, each face by its own draw.
torchvision's transforms draw once for a whole batch, so they are called face by face, on PIL pictures and on tensors;
kornia (`pip install '.[bench]'`) draws for each face of a batch.
"""

from functools import partial

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks import measuring
from fer import params
from fer.augmentation import transform

FACES, SIZE = 512, 48


def ordinary(chosen: params.Transforms, *, pil: bool) -> v2.Compose:
    """torchvision's chain with the bounds of `chosen`, from a PIL picture or a uint8 tensor to floats in 0..1."""
    zoom = (1 - chosen.zoom, 1 + chosen.zoom)
    moves = [
        v2.RandomHorizontalFlip(chosen.flip),
        v2.RandomAffine(
            chosen.rotation_degrees, (chosen.shift,) * 2, zoom, chosen.shear_degrees, v2.InterpolationMode.BILINEAR
        ),
        v2.ColorJitter(brightness=chosen.brightness, contrast=chosen.contrast),
    ]
    to_floats = ([v2.PILToTensor()] if pil else []) + [v2.ToDtype(torch.float32, scale=True)]
    return v2.Compose([*moves, *to_floats, v2.RandomErasing(chosen.erasing)])


def kornia_chain(chosen: params.Transforms) -> torch.nn.Module | None:
    try:
        from kornia import augmentation as kornia
    except ImportError:
        print("kornia is not installed, so it is left out: pip install '.[bench]'")
        return None
    zoom, degrees = (1 - chosen.zoom, 1 + chosen.zoom), chosen.rotation_degrees
    return kornia.AugmentationSequential(
        kornia.RandomHorizontalFlip(p=chosen.flip),
        kornia.RandomAffine(degrees, (chosen.shift,) * 2, zoom, chosen.shear_degrees, padding_mode="border", p=1.0),
        kornia.RandomBrightness((1 - chosen.brightness, 1 + chosen.brightness), p=1.0),
        kornia.RandomContrast((1 - chosen.contrast, 1 + chosen.contrast), p=1.0),
        kornia.RandomErasing(p=chosen.erasing),
    )


def main() -> None:
    args = measuring.arguments(__doc__, "augmentation").parse_args()
    chosen = params.load().transforms
    pixels = np.random.default_rng(0).integers(0, 256, (FACES, SIZE, SIZE), dtype=np.uint8)
    pictures, faces = [Image.fromarray(face) for face in pixels], torch.from_numpy(pixels)
    on_pil, on_tensors, together = ordinary(chosen, pil=True), ordinary(chosen, pil=False), kornia_chain(chosen)
    random = torch.Generator().manual_seed(0)

    def with_pil() -> int:
        return len(torch.stack([on_pil(picture) for picture in pictures]))

    def with_tensors() -> int:
        return len(torch.stack([on_tensors(face[None]) for face in faces]))

    def with_kornia() -> int:
        return len(together(faces[:, None].float() / 255)) if together else 0

    def with_ours() -> int:
        return len(transform(faces, chosen, random))

    sides: dict[str, measuring.Side] = {"torchvision, PIL": with_pil, "torchvision, tensors": with_tensors}
    sides |= ({"kornia, a batch": with_kornia} if together else {}) | {"ours, a batch": partial(with_ours)}
    parts = {}
    threads = torch.get_num_threads()
    for count in dict.fromkeys((1, threads)):
        torch.set_num_threads(count)
        found = measuring.rates(sides, args.repeats)
        parts[f"{count} thread{'s' * (count > 1)}"] = measuring.compared(found, "torchvision, PIL")
    about = {"claim": "Augmentation, 48 x 48 pixels", "faces": FACES, "transforms": chosen.model_dump()}
    measuring.tell(args.out, "augmentation", about, parts)


if __name__ == "__main__":
    main()
