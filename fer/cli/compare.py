"""`fer compare`: train networks of params.yaml on the same faces and compare them in a table and a plot."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli import int_at_least
from fer.cli.paths import DATA_FOLDER, UNIFIED_FOLDER


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="train several networks on the same faces and compare them",
        description="Train networks on the same faces and compare them. Writes comparison.csv, comparison.md, "
        "comparison.png and a folder of logits for each network. A finished run is repeated only if the faces or its "
        "parameters have changed. After a change of the code, use another --out.",
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="of `networks` in params.yaml (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int_at_least(0), default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--faces", type=int_at_least(1), help="size of a random training subset (default: all faces)")
    parser.add_argument("--steps", type=int_at_least(1), help="batches for each network (default: its recipe's)")
    parser.add_argument("--unified", type=Path, default=UNIFIED_FOLDER, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=DATA_FOLDER / "comparison", help="default: %(default)s")
    parser.set_defaults(call=compare)


def compare(args: argparse.Namespace) -> None:
    import sys

    from fer.core.files import atomic_write
    from fer.core.table import write_csv
    from fer.experiments import comparison, comparison_plot
    from fer.experiments.standings import FROM_IMAGENET, FROM_SCRATCH, build_leaderboard, format_leaderboard
    from fer.params import load_params
    from fer.runtime.errors import InputError

    params = load_params()
    names, seeds = list(dict.fromkeys(args.networks or params.networks)), list(dict.fromkeys(args.seeds))
    if unknown := [name for name in names if name not in params.networks]:
        raise InputError(f"{', '.join(unknown)}: not in `networks` of params.yaml; use {', '.join(params.networks)}")
    recipes = {name: params.train.with_overrides(params.networks[name]) for name in names}
    data_by_targets = {
        targets: comparison.read_comparison_data(args.unified, params, targets, args.faces)
        for targets in {recipe.targets for recipe in recipes.values()}
    }
    data = next(iter(data_by_targets.values()))
    plans = {
        name: comparison.fit_steps(recipe, args.steps, name) if args.steps else (recipe, len(data.train))
        for name, recipe in recipes.items()
    }
    kinds = {
        name: FROM_IMAGENET if recipe.transfer and recipe.transfer.pretrained else FROM_SCRATCH
        for name, recipe in recipes.items()
    }
    results, failed = {}, []
    for name, (recipe, epoch_faces) in plans.items():
        jobs = [
            comparison.TrainingJob(name, seed, recipe, epoch_faces, data_by_targets[recipe.targets], params)
            for seed in seeds
        ]
        try:
            results[name] = {job.seed: comparison.run_job(job, args.out / name, params.evaluate.bins) for job in jobs}
        except InputError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            failed.append(name)
    if results:
        table = build_leaderboard(results, kinds, data.held_out, params.emotions, params.evaluate.bins)
        write_csv(args.out / "comparison.csv", table)
        with atomic_write(args.out / "comparison.md") as part:
            part.write_text(format_leaderboard(table, len(data.train), data.held_out), encoding="utf-8")
        comparison_plot.plot_comparison(args.out / "comparison.png", table)
        print(f"{args.out}: comparison.csv, comparison.md, comparison.png")
    if failed:
        raise InputError(f"{', '.join(failed)}: training failed, see above; the other networks were compared")
