"""Training: our loop against the ordinary stack, at the same network, batch, optimiser and changes of the faces.

    python -m benchmarks.training [--steps 20] [--batch 64] [--epochs 6] [--seeds 0 1] [--out benchmarks/results]

The ordinary stack is a Dataset of PIL pictures with torchvision's transforms, a DataLoader with a worker for each core,
and an eager fp32 loop with AdamW. Ours is `fer.training.fit` as it is, EMA included. "Same faces again" is that loop on
a batch that lies ready, which leaves the network's own pace. On a GPU there is a row for compiled steps.

Then both learn the same drawn faces for `--epochs`, and the accuracies on 500 others are told for each seed.
"""

import contextlib
import io
import statistics
from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import measuring
from benchmarks.augmentation import ordinary
from fer import models, params, recipes, training
from fer.examples import Examples
from fer.inference import device
from fer.models import DEVIATION, MEAN
from fer.processes import available_cores
from fer.recipes import recipe_of
from fer.sample import draw
from fer.training import fit

NETWORK, PARAMETERS, SIZE = "improved_se", 5_232_071, 48
LEARNT, JUDGED = 1_500, 500  # drawn faces


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Faces as PIL pictures, changed one by one."""

    def __init__(self, pixels: np.ndarray, label: np.ndarray, transforms: params.Transforms) -> None:
        self.pixels, self.label = pixels, label
        self.change = v2.Compose([ordinary(transforms, pil=True), v2.Normalize([MEAN], [DEVIATION])])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.change(Image.fromarray(self.pixels[row])), int(self.label[row])


def network(chosen: params.Params, seed: int) -> torch.nn.Module:
    facts = models.Facts(network=NETWORK, emotions=tuple(chosen.emotions), size=SIZE, dropout=0.2, input_px=None)
    torch.manual_seed(seed)
    made = models.build(facts)
    if models.parameter_counts(made)[0] != PARAMETERS:
        raise SystemExit(f"error: {NETWORK} has {models.parameter_counts(made)[0]} parameters, not {PARAMETERS}")
    return made.to(device())


def endless(loader: DataLoader[tuple[torch.Tensor, int]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from loader


def with_dataloader(
    made: torch.nn.Module,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    recipe: recipes.Train,
    steps: int,
) -> int:
    """The loop of a tutorial, with our schedule, smoothing and weight decay."""
    where = next(made.parameters()).device
    optimizer = training.make_optimizer(made, recipe.optimizer)
    schedule = training.make_schedule(optimizer, recipe.schedule, steps)
    made.train()
    for _ in range(steps):
        faces, label = next(batches)
        loss = cross_entropy(made(faces.to(where)), label.to(where), label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return steps * recipe.batch


def with_ours(
    made: torch.nn.Module,
    train: Examples,
    valid: Examples,
    recipe: recipes.Train,
    transforms: params.Transforms,
    steps: int,
    precision: str,
    seed: int = 0,
) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        fit(
            made,
            train,
            valid,
            recipe=recipe,
            transforms=transforms,
            steps=steps,
            seed=seed,
            precision=precision,
            name=NETWORK,
        )
    return steps * recipe.batch


def examples(pixels: np.ndarray, label: np.ndarray) -> Examples:
    return Examples(pixels, np.eye(7, dtype=np.float32)[label], np.ones(len(label), dtype=np.float32))


def pace(chosen: params.Params, recipe: recipes.Train, steps: int, repeats: int) -> dict[str, list[float]]:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (4096, SIZE, SIZE), dtype=np.uint8)
    label = random.integers(0, 7, len(pixels))
    workers = available_cores()
    loader = DataLoader(
        Pictures(pixels, label, chosen.transforms),
        recipe.batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )
    train, one = examples(pixels, label), examples(pixels[:1], label[:1])
    ours = partial(with_ours, train=train, valid=one, recipe=recipe, transforms=chosen.transforms, steps=steps)

    def same_faces_again() -> int:
        ready = torch.rand(recipe.batch, SIZE, SIZE, device=device())
        with patch.object(training, "transform", lambda faces, transforms, random: ready):
            return ours(network(chosen, 0), precision="fp32")

    def compiled() -> int:
        with patch.object(training, "COMPILED_FROM", 0):
            return ours(network(chosen, 0), precision="bf16")

    batches = endless(loader)
    sides: dict[str, measuring.Side] = {
        "DataLoader, fp32": lambda: with_dataloader(network(chosen, 0), batches, recipe, steps),
        "ours, fp32": lambda: ours(network(chosen, 0), precision="fp32"),
        "ours, fp32, same faces again": same_faces_again,
        "ours, bf16": lambda: ours(network(chosen, 0), precision="bf16"),
    }
    if torch.cuda.is_available():
        sides["ours, bf16, compiled"] = compiled
    return measuring.rates(sides, repeats)


def accuracies(chosen: params.Params, recipe: recipes.Train, seed: int) -> dict[str, float]:
    """Of both after the same steps on the same drawn faces, on others; ours without its average of the weights."""
    pixels, label = draw(LEARNT + JUDGED, seed, SIZE)
    train, valid = examples(pixels[:LEARNT], label[:LEARNT]), examples(pixels[LEARNT:], label[LEARNT:])
    steps = recipe.epochs * LEARNT // recipe.batch
    theirs, ours = network(chosen, seed), network(chosen, seed)
    pictures = Pictures(train.pixels, label[:LEARNT], chosen.transforms)
    random = torch.Generator().manual_seed(seed)
    loader = DataLoader(pictures, recipe.batch, shuffle=True, drop_last=True, num_workers=0, generator=random)
    with_dataloader(theirs, endless(loader), recipe, steps)
    with_ours(ours, train, valid, recipe.model_copy(update={"ema": 0.0}), chosen.transforms, steps, "fp32", seed)
    return {
        name: training.validate(made, valid, "fp32")[1] for name, made in {"DataLoader": theirs, "ours": ours}.items()
    }


def main() -> None:
    parser = measuring.arguments(__doc__, "training")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    args = parser.parse_args()
    chosen = params.load()
    recipe = recipe_of(NETWORK, chosen.networks, chosen.train).model_copy(update={"batch": args.batch, "epochs": 1})

    found = pace(chosen, recipe, args.steps, args.repeats)
    learning = recipe.model_copy(update={"epochs": args.epochs})
    each = {seed: accuracies(chosen, learning, seed) for seed in args.seeds}
    about = {"claim": f"Training, {NETWORK}, batch {args.batch}", "batch": args.batch, "steps": args.steps}
    about |= {"parameters": PARAMETERS, "epochs": args.epochs, "faces": LEARNT, "accuracy": each}
    share = [one / other for one, other in zip(found["ours, fp32"], found["ours, fp32, same faces again"], strict=True)]
    about |= {"of_the_pace_on_the_same_faces_again": statistics.median(share)}
    rows = measuring.compared(found, "DataLoader, fp32")
    measuring.tell(args.out, "training", about, {f"{torch.get_num_threads()} threads": rows})
    print(f"\nof the pace on the same faces again: {statistics.median(share):.2f}")
    for seed, one in each.items():
        print(f"seed {seed}, {args.epochs} epochs: " + ", ".join(f"{name} {value:.1%}" for name, value in one.items()))


if __name__ == "__main__":
    main()
