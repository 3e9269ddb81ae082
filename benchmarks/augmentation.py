"""Augmentation of a batch at once (ours) against common ways to apply the same transforms.

    python -m benchmarks.augmentation [--faces 1024] [--repeats 5] [--out benchmarks/results]

All flip, rotate, shear, zoom, shift, change light and erase within the bounds of params.yaml, with random parameters
for each face. torchvision draws parameters once for a whole batch, so it is called for each face, on PIL images and on
tensors: in a loop on one core, and in a DataLoader with one worker for each core. kornia (`pip install '.[bench]'`)
draws parameters for each face of a batch.
"""

import numpy as np
import torch

from benchmarks import measuring, ordinary
from fer.params import load_params
from fer.runtime.parallel import count_cores
from fer.training.augmentation import ERASED_ASPECT_RATIO, MIN_ERASED_AREA, transform_faces
from fer.training.params import Transforms

BATCH = 64


def build_kornia(transforms: Transforms) -> torch.nn.Module | None:
    try:
        from kornia import augmentation as kornia
    except ImportError:
        print("kornia is not installed and is left out; pip install '.[bench]'")
        return None
    zoom, shift = (1 - transforms.zoom, 1 + transforms.zoom), (transforms.shift, transforms.shift)
    return kornia.AugmentationSequential(
        kornia.RandomHorizontalFlip(p=transforms.flip),
        kornia.RandomAffine(
            transforms.rotation_degrees, shift, zoom, transforms.shear_degrees, padding_mode="border", p=1.0
        ),
        kornia.RandomContrast((1 - transforms.contrast, 1 + transforms.contrast), p=1.0),
        kornia.RandomBrightness((1 - transforms.brightness, 1 + transforms.brightness), p=1.0),
        kornia.RandomErasing(
            scale=(MIN_ERASED_AREA, transforms.erased_area), ratio=ERASED_ASPECT_RATIO, p=transforms.erasing
        ),
    )


def main() -> None:
    parser = measuring.make_parser(__doc__)
    parser.add_argument("--faces", type=int, default=1024)
    args = parser.parse_args()
    params = load_params()
    transforms = params.transform_sets[params.transforms]
    pixels = np.random.default_rng(0).integers(0, 256, (args.faces, measuring.SIZE, measuring.SIZE), dtype=np.uint8)
    batches = torch.from_numpy(pixels).split(BATCH)
    generator, kornia = torch.Generator().manual_seed(0), build_kornia(transforms)
    pil_faces, tensor_faces = (
        ordinary.FaceDataset(
            pixels, np.zeros(len(pixels)), ordinary.make_transforms(transforms, on_pil=on_pil), on_pil=on_pil
        )
        for on_pil in (True, False)
    )

    def run_loop(faces: ordinary.FaceDataset) -> int:
        for start in range(0, len(faces), BATCH):
            torch.stack([faces[row][0] for row in range(start, min(start + BATCH, len(faces)))])
        return len(faces)

    def run_loader(loader: torch.utils.data.DataLoader) -> int:
        return sum(len(faces) for faces, _ in loader)

    def run_kornia() -> int:
        return sum(len(kornia(faces[:, None].float() / 255)) for faces in batches) if kornia else 0

    def run_ours() -> int:
        return sum(len(transform_faces(faces, transforms, generator)) for faces in batches)

    batch_workloads: dict[str, measuring.Workload] = ({"kornia": run_kornia} if kornia else {}) | {"ours": run_ours}
    loop_workloads = {"PIL": lambda: run_loop(pil_faces), "torchvision on tensors": lambda: run_loop(tensor_faces)}
    loaders = [ordinary.make_loader(faces, BATCH) for faces in (pil_faces, tensor_faces)]
    loader_workloads = {
        "PIL, DataLoader": lambda: run_loader(loaders[0]),
        "torchvision on tensors, DataLoader": lambda: run_loader(loaders[1]),
    }
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    one_core = measuring.measure_rates(loop_workloads | batch_workloads, args.repeats)
    torch.set_num_threads(cores)
    all_cores = measuring.measure_rates(loader_workloads | batch_workloads, args.repeats)
    measuring.write_results(
        args.out,
        "augmentation",
        "Augmentation of faces of 48 pixels",
        {"faces": args.faces, "batch": BATCH, "precision": "fp32", "transforms": transforms.model_dump()},
        {
            "faces a second on one core": measuring.summarize_rates(one_core, "PIL"),
            f"faces a second on {count_cores()} cores": measuring.summarize_rates(all_cores, "PIL, DataLoader"),
        },
        measuring.check_target(
            "augmentation on one core: ours ÷ PIL", measuring.median_ratio(one_core["ours"], one_core["PIL"]), minimum=5
        ),
    )


if __name__ == "__main__":
    main()
