"""Random changes of faces: ours, a batch at a time, against the ordinary ways of making the same ones.

    python -m benchmarks.augmentation [--faces 1024] [--repeats 5] [--out benchmarks/results]

All flip, turn, shear, zoom, shift, change light and erase within the bounds of params.yaml, each face by its own draw.
torchvision draws once for a whole batch, so it is called face by face, on PIL pictures and on tensors: in a loop on one
core, by a DataLoader with a worker for each on all. kornia (`pip install '.[bench]'`) draws for each face of a batch.
"""

import numpy as np
import torch

from benchmarks import measuring, ordinary
from fer.params import load_params
from fer.runtime.parallel import count_cores
from fer.training.augmentation import ERASED_AREA, ERASED_ASPECT_RATIO, transform_faces
from fer.training.params import Transforms

BATCH = 64


def build_kornia(chosen: Transforms) -> torch.nn.Module | None:
    try:
        from kornia import augmentation as kornia
    except ImportError:
        print("kornia is not installed, so it is left out; pip install '.[bench]'")
        return None
    zoom, shift = (1 - chosen.zoom, 1 + chosen.zoom), (chosen.shift, chosen.shift)
    return kornia.AugmentationSequential(
        kornia.RandomHorizontalFlip(p=chosen.flip),
        kornia.RandomAffine(chosen.rotation_degrees, shift, zoom, chosen.shear_degrees, padding_mode="border", p=1.0),
        kornia.RandomContrast((1 - chosen.contrast, 1 + chosen.contrast), p=1.0),
        kornia.RandomBrightness((1 - chosen.brightness, 1 + chosen.brightness), p=1.0),
        kornia.RandomErasing(scale=ERASED_AREA, ratio=ERASED_ASPECT_RATIO, p=chosen.erasing),
    )


def main() -> None:
    parser = measuring.make_parser(__doc__)
    parser.add_argument("--faces", type=int, default=1024)
    args = parser.parse_args()
    chosen = load_params().transforms
    pixels = np.random.default_rng(0).integers(0, 256, (args.faces, measuring.SIZE, measuring.SIZE), dtype=np.uint8)
    batches = torch.from_numpy(pixels).split(BATCH)
    random, kornia = torch.Generator().manual_seed(0), build_kornia(chosen)
    of_pil, of_tensors = (
        ordinary.FaceDataset(
            pixels, np.zeros(len(pixels)), ordinary.make_transforms(chosen, on_pil=on_pil), on_pil=on_pil
        )
        for on_pil in (True, False)
    )

    def in_a_loop(faces: ordinary.FaceDataset) -> int:
        for start in range(0, len(faces), BATCH):
            torch.stack([faces[row][0] for row in range(start, min(start + BATCH, len(faces)))])
        return len(faces)

    def by_workers(loader: torch.utils.data.DataLoader) -> int:
        return sum(len(faces) for faces, _ in loader)

    def together() -> int:
        return sum(len(kornia(faces[:, None].float() / 255)) for faces in batches) if kornia else 0

    def ours() -> int:
        return sum(len(transform_faces(faces, chosen, random)) for faces in batches)

    of_batches: dict[str, measuring.Workload] = ({"kornia": together} if kornia else {}) | {"ours": ours}
    loops = {"PIL": lambda: in_a_loop(of_pil), "torchvision on tensors": lambda: in_a_loop(of_tensors)}
    workers = [ordinary.make_loader(faces, BATCH) for faces in (of_pil, of_tensors)]
    loaders = {
        "PIL, DataLoader": lambda: by_workers(workers[0]),
        "torchvision on tensors, DataLoader": lambda: by_workers(workers[1]),
    }
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = measuring.measure_rates(loops | of_batches, args.repeats)
    torch.set_num_threads(cores)
    shared = measuring.measure_rates(loaders | of_batches, args.repeats)
    measuring.write_results(
        args.out,
        "augmentation",
        "Random changes of faces of 48 pixels",
        {"faces": args.faces, "batch": BATCH, "precision": "fp32", "transforms": chosen.model_dump()},
        {
            "faces a second on one core": measuring.summarize_rates(alone, "PIL"),
            f"faces a second on {count_cores()} cores": measuring.summarize_rates(shared, "PIL, DataLoader"),
        },
        measuring.check_target(
            "augmentation on one core: ours ÷ PIL", measuring.median_ratio(alone["ours"], alone["PIL"]), least=5
        ),
    )


if __name__ == "__main__":
    main()
