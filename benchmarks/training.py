"""Training: our loop against the ordinary one, with the same network, batch, optimiser, schedule and random changes.

    python -m benchmarks.training [--steps 12] [--batch 64] [--repeats 5] [--out benchmarks/results]
                                  [--epochs 6] [--faces 1500] [--seeds 0 1 2]

The ordinary loop takes batches from a DataLoader with a worker for each core, which changes PIL pictures by
torchvision, and is fp32, eager, AdamW. Ours is `fer.training.loop.train_phase`, whole, with its average of the weights. In
"faces ready" its random changes are left out: the pace of the network on faces that lie ready. On a GPU there is a row
for compiled steps, which takes about `--steps 1000` to tell much.

Then both learn drawn faces for `--epochs` from the same weights, and are tested on a quarter as many others, by each of
`--seeds`; ours without averaging the weights, so that both do the same arithmetic.
"""

import contextlib
import os
import statistics
from collections.abc import Callable, Iterable
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from benchmarks import measuring, ordinary
from fer.data.synthetic.sample import draw_faces
from fer.nn.inference import default_device, to_device
from fer.params import load_params
from fer.training import loop
from fer.training.examples import LabelledSet
from fer.training.optim import make_optimizer, make_schedule
from fer.training.params import Train, resolve_recipe

CLASSES = 7


def train_with_dataloader(
    network: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]], recipe: Train, epochs: int = 1
) -> None:
    where = default_device()
    optimizer = make_optimizer(network, recipe.optimizer)
    schedule = make_schedule(optimizer, recipe.schedule, epochs * len(loader))
    network.train()
    for _ in range(epochs):
        for faces, label in loader:
            outputs = network(faces.to(where, non_blocking=True))
            loss = cross_entropy(outputs, label.to(where), label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def train_with_fer(
    network: nn.Module, train: LabelledSet, valid: LabelledSet, recipe: Train, steps: int, precision: str, seed: int
) -> None:
    """All steps as one epoch, so that there is none to choose by the accuracy on `valid`."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        loop.train_phase(
            to_device(network),
            train,
            valid,
            recipe=recipe.model_copy(update={"epochs": 1}),
            transforms=load_params().transforms,
            steps=steps,
            seed=seed,
            precision=precision,
            name=measuring.NETWORK,
        )


def make_training_loader(pixels: np.ndarray, label: np.ndarray, batch: int) -> DataLoader[tuple[Tensor, Tensor]]:
    change = v2.Compose([ordinary.make_transforms(load_params().transforms, on_pil=True), ordinary.NORMALIZE])
    return ordinary.make_loader(ordinary.FaceDataset(pixels, label, change), batch, shuffle=True)


def make_labelled_set(pixels: np.ndarray, label: np.ndarray) -> LabelledSet:
    return LabelledSet(pixels, np.eye(CLASSES, dtype=np.float32)[label], np.ones(len(label), dtype=np.float32))


def measure_throughputs(recipe: Train, steps: int, repeats: int) -> dict[str, list[float]]:
    """Faces a second in an epoch of `steps`, of each way and repeat."""
    random, count = np.random.default_rng(0), steps * recipe.batch
    pixels = random.integers(0, 256, (count, measuring.SIZE, measuring.SIZE), dtype=np.uint8)
    label = random.integers(0, CLASSES, count)
    loader, train, one = (
        make_training_loader(pixels, label, recipe.batch),
        make_labelled_set(pixels, label),
        make_labelled_set(pixels[:1], label[:1]),
    )
    ready = torch.rand(recipe.batch, measuring.SIZE, measuring.SIZE, device=default_device())

    def ordinarily(network: nn.Module) -> None:
        train_with_dataloader(network, loader, recipe)

    def ours(network: nn.Module, precision: str = "fp32") -> None:
        train_with_fer(network, train, one, recipe, steps, precision, seed=0)

    def with_faces_ready(network: nn.Module) -> None:
        with patch.object(loop, "transform", lambda *_: ready):
            ours(network)

    def compiled(network: nn.Module) -> None:
        with patch.object(loop, "MIN_STEPS_TO_COMPILE", 0):
            ours(network, "bf16")

    def way(learn: Callable[[nn.Module], None]) -> measuring.Workload:
        network = measuring.build_network(seed=0)  # it goes on learning from repeat to repeat

        def work() -> int:
            learn(network)
            return count

        return work

    ways = {
        "DataLoader, fp32": way(ordinarily),
        "ours, fp32": way(ours),
        "ours, fp32, faces ready": way(with_faces_ready),
        "ours, bf16": way(lambda network: ours(network, "bf16")),
    }
    if default_device().type == "cuda":
        ways["ours, bf16, compiled"] = way(compiled)
    return measuring.measure_rates(ways, repeats)


def compare_accuracies(recipe: Train, epochs: int, count: int, seeds: Iterable[int]) -> list[measuring.Row]:
    """Of both ways on faces that were not learnt from, for each seed, and of the difference."""
    rows = []
    for seed in seeds:
        pixels, label = draw_faces(count + count // 4, seed, measuring.SIZE)
        train, valid = (
            make_labelled_set(pixels[:count], label[:count]),
            make_labelled_set(pixels[count:], label[count:]),
        )
        loader = make_training_loader(train.pixels, label[:count], recipe.batch)
        theirs, ours = measuring.build_network(seed), measuring.build_network(seed)
        train_with_dataloader(theirs, loader, recipe, epochs)
        train_with_fer(ours, train, valid, recipe.model_copy(update={"ema": 0.0}), epochs * len(loader), "fp32", seed)
        right = [100 * loop.validate(network, valid, "fp32")[1] for network in (theirs, ours)]
        rows.append({"seed": str(seed), "DataLoader": right[0], "ours": right[1], "difference": right[1] - right[0]})
    if len(rows) > 1:
        for name, summary in (("mean", statistics.mean), ("standard deviation", statistics.stdev)):
            numbers = {key: summary(row[key] for row in rows) for key in ("DataLoader", "ours", "difference")}
            rows.append({"seed": name} | numbers)
    return rows


def main() -> None:
    parser = measuring.make_parser(__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--faces", type=int, default=1500, help="drawn ones, to learn from")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    args = parser.parse_args()
    chosen = load_params()
    recipe = resolve_recipe(measuring.NETWORK, chosen.networks, chosen.train).model_copy(update={"batch": args.batch})

    found = measure_throughputs(recipe, args.steps, args.repeats)
    learnt = compare_accuracies(recipe, args.epochs, args.faces, args.seeds)
    tables = {f"faces a second, batches of {args.batch}": measuring.summarize_rates(found, "DataLoader, fp32")}
    if learnt:
        tables[f"percent right after {args.epochs} epochs of {args.faces:,} drawn faces"] = learnt
    on_gpu = default_device().type == "cuda"
    best = "ours, bf16, compiled" if on_gpu else "ours, bf16"
    wanted = [(best, "DataLoader, fp32", 10 if on_gpu else 1.7), ("ours, fp32", "ours, fp32, faces ready", 0.93)]
    if on_gpu:
        wanted.append((best, "ours, fp32", 2.5))
    targets = [
        measuring.check_target(
            f"training: {one} ÷ {other}", measuring.median_ratio(found[one], found[other]), least=least
        )
        for one, other, least in wanted
    ]
    facts = {
        "batch": args.batch,
        "steps": args.steps,
        "parameters": measuring.EXPECTED_PARAMETERS,
        "recipe": recipe.model_dump(),
    }
    measuring.write_results(args.out, "training", f"Training {measuring.NETWORK}", facts, tables, *targets)


if __name__ == "__main__":
    main()
