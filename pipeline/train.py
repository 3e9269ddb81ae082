"""Labelled faces and their augmented copies -> one trained network and its learning curve."""

import argparse
from pathlib import Path

import pandas as pd

from fer.core.files import atomic_write_folder
from fer.core.labels import member_name
from fer.core.table import write_csv
from fer.nn import distributed, weights
from fer.nn.devices import default_device, supports_bf16, to_device
from fer.params import load_params
from fer.params.profiles import faster_profile_hint
from fer.training.examples import read_labelled_sets
from fer.training.loop import init_model, train_network
from fer.training.params import resolve_recipe
from fer.training.step import replica_seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--replica", type=int, required=True)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--augmented", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    params = load_params()
    member, seed = member_name(args.network, args.replica), replica_seed(params.seed, args.replica)
    recipe = resolve_recipe(args.network, params.networks, params.train)
    device = default_device()
    if hint := faster_profile_hint(params, member, device.type, supports_bf16(device)):
        print(f"hint: {hint}", flush=True)

    train_set, valid_set = read_labelled_sets(args.faces, args.table, args.augmented, params.emotions, recipe.targets)
    network, config = init_model(args.network, recipe, params.emotions, train_set.size, seed, args.replica)
    curve = train_network(
        to_device(network, device),
        train_set,
        valid_set,
        recipe=recipe,
        transforms=params.transform_sets[params.transforms],
        seed=seed,
        precision=params.precision,
        name=member,
        checkpoint=args.out.with_name(f".{member}.checkpoint"),
        epoch_faces=len(train_set),
    )
    if distributed.is_main_process():
        with atomic_write_folder(args.out) as out:
            weights.save_model(network, config, out)
            write_csv(out / "curve.csv", pd.DataFrame(curve))


if __name__ == "__main__":
    distributed.run_distributed_stage(main)
