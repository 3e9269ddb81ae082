"""Training: our loop against a common one, with the same network, batch, optimiser, schedule and transforms.

    python -m benchmarks.training [--steps 12] [--batch 64] [--repeats 5] [--out benchmarks/results]
                                  [--epochs 6] [--faces 1500] [--seeds 0 1 2]

The common loop reads batches from a DataLoader with one worker for each core, transforms PIL images with torchvision
and trains eagerly in fp32 with AdamW. Ours is the whole `fer.training.loop.train_phase`, with its EMA model. "faces
ready" leaves the transforms out and measures the network alone. On a GPU, `python -m benchmarks.gpu` measures more.

For each of `--seeds`, both then learn drawn faces for `--epochs` from the same weights and are tested on a quarter as
many new faces. Here ours has no EMA model, so that both do the same arithmetic.
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
from fer.nn.devices import default_device, to_device
from fer.params import load_params
from fer.training import loop, step
from fer.training.examples import LabelledSet
from fer.training.optim import make_optimizer, make_schedule
from fer.training.params import Train, resolve_recipe

CLASSES = 7


def train_with_dataloader(
    network: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]], recipe: Train, epochs: int = 1
) -> None:
    device = default_device()
    optimizer = make_optimizer(network, recipe.optimizer)
    schedule = make_schedule(optimizer, recipe.schedule, epochs * len(loader))
    network.train()
    for _ in range(epochs):
        for faces, labels in loader:
            outputs = network(faces.to(device, non_blocking=True))
            loss = cross_entropy(outputs, labels.to(device), label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def train_with_fer(
    network: nn.Module, train: LabelledSet, valid: LabelledSet, recipe: Train, steps: int, precision: str, seed: int
) -> None:
    """Train for all steps as one epoch, so that there is no epoch to choose by the accuracy on `valid`."""
    params = load_params()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        loop.train_phase(
            to_device(network),
            train,
            valid,
            recipe=recipe.model_copy(update={"epochs": 1}),
            transforms=params.transform_sets[params.transforms],
            steps=steps,
            seed=seed,
            precision=precision,
            name=measuring.NETWORK,
        )


def make_training_loader(pixels: np.ndarray, labels: np.ndarray, batch: int) -> DataLoader[tuple[Tensor, Tensor]]:
    params = load_params()
    transforms = ordinary.make_transforms(params.transform_sets[params.transforms], on_pil=True)
    transform = v2.Compose([transforms, ordinary.NORMALIZE])
    return ordinary.make_loader(ordinary.FaceDataset(pixels, labels, transform), batch, shuffle=True)


def make_labelled_set(pixels: np.ndarray, labels: np.ndarray) -> LabelledSet:
    return LabelledSet(pixels, np.eye(CLASSES, dtype=np.float32)[labels], np.ones(len(labels), dtype=np.float32))


def measure_throughputs(recipe: Train, steps: int, repeats: int) -> dict[str, list[float]]:
    """Return the faces per second of each loop in each repeat of `steps` batches."""
    rng, count = np.random.default_rng(0), steps * recipe.batch
    pixels = rng.integers(0, 256, (count, measuring.SIZE, measuring.SIZE), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, count)
    loader = make_training_loader(pixels, labels, recipe.batch)
    train, valid = make_labelled_set(pixels, labels), make_labelled_set(pixels[:1], labels[:1])
    ready_batch = torch.rand(recipe.batch, measuring.SIZE, measuring.SIZE, device=default_device())

    def run_dataloader(network: nn.Module) -> None:
        train_with_dataloader(network, loader, recipe)

    def run_fer(network: nn.Module, precision: str = "fp32") -> None:
        train_with_fer(network, train, valid, recipe, steps, precision, seed=0)

    def run_without_transforms(network: nn.Module) -> None:
        with patch.object(step, "apply_transforms", lambda *_: ready_batch):
            run_fer(network)

    def make_workload(run: Callable[[nn.Module], None]) -> measuring.Workload:
        network = measuring.build_network(seed=0)  # its training continues from repeat to repeat

        def work() -> int:
            run(network)
            return count

        return work

    workloads = {
        "DataLoader, fp32": make_workload(run_dataloader),
        "ours, fp32": make_workload(run_fer),
        "ours, fp32, faces ready": make_workload(run_without_transforms),
        "ours, bf16": make_workload(lambda network: run_fer(network, "bf16")),
    }
    return measuring.measure_rates(workloads, repeats)


def measure_accuracy(network: nn.Module, labelled_set: LabelledSet) -> float:
    pixels = torch.from_numpy(labelled_set.pixels).to(default_device())
    return loop.validate(network, pixels, labelled_set.targets, "fp32")[1]


def compare_accuracies(recipe: Train, epochs: int, count: int, seeds: Iterable[int]) -> list[measuring.Row]:
    """Return the test accuracies of both loops and their difference, in percent, for each seed."""
    rows = []
    for seed in seeds:
        pixels, labels = draw_faces(count + count // 4, seed, measuring.SIZE)
        train = make_labelled_set(pixels[:count], labels[:count])
        valid = make_labelled_set(pixels[count:], labels[count:])
        loader = make_training_loader(train.pixels, labels[:count], recipe.batch)
        their_network, our_network = measuring.build_network(seed), measuring.build_network(seed)
        train_with_dataloader(their_network, loader, recipe, epochs)
        train_with_fer(
            our_network, train, valid, recipe.model_copy(update={"ema": 0.0}), epochs * len(loader), "fp32", seed
        )
        theirs, ours = (100 * measure_accuracy(network, valid) for network in (their_network, our_network))
        rows.append({"seed": str(seed), "DataLoader": theirs, "ours": ours, "difference": ours - theirs})
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
    parser.add_argument("--faces", type=int, default=1500, help="drawn faces for training")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    args = parser.parse_args()
    params = load_params()
    recipe = resolve_recipe(measuring.NETWORK, params.networks, params.train).model_copy(update={"batch": args.batch})

    rates = measure_throughputs(recipe, args.steps, args.repeats)
    accuracies = compare_accuracies(recipe, args.epochs, args.faces, args.seeds)
    tables = {f"faces a second, batches of {args.batch}": measuring.summarize_rates(rates, "DataLoader, fp32")}
    if accuracies:
        tables[f"accuracy in percent after {args.epochs} epochs of {args.faces:,} drawn faces"] = accuracies
    on_gpu = default_device().type == "cuda"
    bounds = [
        ("ours, bf16", "DataLoader, fp32", 10 if on_gpu else 1.7),
        ("ours, fp32", "ours, fp32, faces ready", 0.93),
    ]
    targets = [
        measuring.check_target(
            f"training: {name} ÷ {baseline}", measuring.median_ratio(rates[name], rates[baseline]), minimum=minimum
        )
        for name, baseline, minimum in bounds
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
