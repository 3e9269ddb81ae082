"""Training: our loop against the ordinary one, with the same network, batch, optimiser, schedule and random changes.

    python -m benchmarks.training [--steps 12] [--batch 64] [--repeats 5] [--out benchmarks/results]
                                  [--epochs 6] [--faces 1500] [--seeds 0 1 2]

The ordinary loop takes batches from a DataLoader with a worker for each core, which changes PIL pictures by
torchvision, and is fp32, eager, AdamW. Ours is `fer.training.loop.fit`, whole, with its average of the weights. In
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
from fer.data.synthetic.sample import draw
from fer.nn.inference import device, placed
from fer.params import load_params
from fer.training import loop
from fer.training.examples import Examples
from fer.training.optim import make_optimizer, make_schedule
from fer.training.params import Train, recipe_of

CLASSES = 7


def by_dataloader(
    network: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]], recipe: Train, epochs: int = 1
) -> None:
    where = device()
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


def by_ours(
    network: nn.Module, train: Examples, valid: Examples, recipe: Train, steps: int, precision: str, seed: int
) -> None:
    """All steps as one epoch, so that there is none to choose by the accuracy on `valid`."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        loop.fit(
            placed(network),
            train,
            valid,
            recipe=recipe.model_copy(update={"epochs": 1}),
            transforms=load_params().transforms,
            steps=steps,
            seed=seed,
            precision=precision,
            name=measuring.NETWORK,
        )


def loader_of(pixels: np.ndarray, label: np.ndarray, batch: int) -> DataLoader[tuple[Tensor, Tensor]]:
    change = v2.Compose([ordinary.changes(load_params().transforms, on_pil=True), ordinary.NORMALIZE])
    return ordinary.loader(ordinary.Faces(pixels, label, change), batch, shuffle=True)


def examples(pixels: np.ndarray, label: np.ndarray) -> Examples:
    return Examples(pixels, np.eye(CLASSES, dtype=np.float32)[label], np.ones(len(label), dtype=np.float32))


def paces(recipe: Train, steps: int, repeats: int) -> dict[str, list[float]]:
    """Faces a second in an epoch of `steps`, of each way and repeat."""
    random, count = np.random.default_rng(0), steps * recipe.batch
    pixels = random.integers(0, 256, (count, measuring.SIZE, measuring.SIZE), dtype=np.uint8)
    label = random.integers(0, CLASSES, count)
    loader, train, one = (
        loader_of(pixels, label, recipe.batch),
        examples(pixels, label),
        examples(pixels[:1], label[:1]),
    )
    ready = torch.rand(recipe.batch, measuring.SIZE, measuring.SIZE, device=device())

    def ordinarily(network: nn.Module) -> None:
        by_dataloader(network, loader, recipe)

    def ours(network: nn.Module, precision: str = "fp32") -> None:
        by_ours(network, train, one, recipe, steps, precision, seed=0)

    def with_faces_ready(network: nn.Module) -> None:
        with patch.object(loop, "transform", lambda *_: ready):
            ours(network)

    def compiled(network: nn.Module) -> None:
        with patch.object(loop, "COMPILED_FROM", 0):
            ours(network, "bf16")

    def way(learn: Callable[[nn.Module], None]) -> measuring.Way:
        network = measuring.improved_se(seed=0)  # it goes on learning from repeat to repeat

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
    if device().type == "cuda":
        ways["ours, bf16, compiled"] = way(compiled)
    return measuring.rates(ways, repeats)


def accuracies(recipe: Train, epochs: int, count: int, seeds: Iterable[int]) -> list[measuring.Row]:
    """Of both ways on faces that were not learnt from, for each seed, and of the difference."""
    rows = []
    for seed in seeds:
        pixels, label = draw(count + count // 4, seed, measuring.SIZE)
        train, valid = examples(pixels[:count], label[:count]), examples(pixels[count:], label[count:])
        loader = loader_of(train.pixels, label[:count], recipe.batch)
        theirs, ours = measuring.improved_se(seed), measuring.improved_se(seed)
        by_dataloader(theirs, loader, recipe, epochs)
        by_ours(ours, train, valid, recipe.model_copy(update={"ema": 0.0}), epochs * len(loader), "fp32", seed)
        right = [100 * loop.validate(network, valid, "fp32")[1] for network in (theirs, ours)]
        rows.append({"seed": str(seed), "DataLoader": right[0], "ours": right[1], "difference": right[1] - right[0]})
    if len(rows) > 1:
        for name, summary in (("mean", statistics.mean), ("standard deviation", statistics.stdev)):
            numbers = {key: summary(row[key] for row in rows) for key in ("DataLoader", "ours", "difference")}
            rows.append({"seed": name} | numbers)
    return rows


def main() -> None:
    parser = measuring.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--faces", type=int, default=1500, help="drawn ones, to learn from")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    args = parser.parse_args()
    chosen = load_params()
    recipe = recipe_of(measuring.NETWORK, chosen.networks, chosen.train).model_copy(update={"batch": args.batch})

    found = paces(recipe, args.steps, args.repeats)
    learnt = accuracies(recipe, args.epochs, args.faces, args.seeds)
    tables = {f"faces a second, batches of {args.batch}": measuring.compared(found, "DataLoader, fp32")}
    if learnt:
        tables[f"percent right after {args.epochs} epochs of {args.faces:,} drawn faces"] = learnt
    on_gpu = device().type == "cuda"
    best = "ours, bf16, compiled" if on_gpu else "ours, bf16"
    wanted = [(best, "DataLoader, fp32", 10 if on_gpu else 1.7), ("ours, fp32", "ours, fp32, faces ready", 0.93)]
    if on_gpu:
        wanted.append((best, "ours, fp32", 2.5))
    targets = [
        measuring.target(f"training: {one} ÷ {other}", measuring.ratio(found[one], found[other]), least=least)
        for one, other, least in wanted
    ]
    facts = {
        "batch": args.batch,
        "steps": args.steps,
        "parameters": measuring.PARAMETERS,
        "recipe": recipe.model_dump(),
    }
    measuring.tell(args.out, "training", f"Training {measuring.NETWORK}", facts, tables, *targets)


if __name__ == "__main__":
    main()
