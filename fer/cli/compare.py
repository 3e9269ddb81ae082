"""`fer compare`: networks of params.yaml -> a table and a picture of how they do on the same faces."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli.arguments import int_at_least
from fer.params import load_params


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="train several networks alike and compare them",
        description="Train networks on the same faces and compare them. Writes comparison.csv, .md and .png, and a "
        "folder for each network with what it said. A run that is there is not repeated, unless the faces or what "
        "params.yaml says of it have changed; after a change of code, start with another --out.",
    )
    parser.add_argument(
        "networks", nargs="*", metavar="NETWORK", help="rows of `networks` in params.yaml (default: all)"
    )
    parser.add_argument("--seeds", nargs="+", type=int_at_least(0), default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--faces", type=int_at_least(1), help="training faces, drawn once (default: all)")
    parser.add_argument("--steps", type=int_at_least(1), help="batches for every network (default: as its recipe says)")
    parser.add_argument("--unified", type=Path, default=Path("data/unified"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("data/comparison"), help="default: %(default)s")
    parser.set_defaults(call=compare)


def compare(args: argparse.Namespace) -> None:
    import sys

    from fer.core.files import atomic_write, write_csv
    from fer.experiments import comparison, comparison_plot
    from fer.experiments.standings import FROM_IMAGENET, FROM_SCRATCH, build_leaderboard, format_leaderboard
    from fer.runtime.errors import InputError

    chosen = load_params()
    names, seeds = list(dict.fromkeys(args.networks or chosen.networks)), list(dict.fromkeys(args.seeds))
    if unknown := [name for name in names if name not in chosen.networks]:
        raise InputError(
            f"{', '.join(unknown)}: not in `networks` of params.yaml, which has {', '.join(chosen.networks)}"
        )
    recipes = {name: chosen.train.with_overrides(chosen.networks[name]) for name in names}
    of = {
        targets: comparison.read_comparison_data(args.unified, chosen, targets, args.faces)
        for targets in {recipe.targets for recipe in recipes.values()}
    }
    material = next(iter(of.values()))
    plans = {
        name: comparison.fit_steps(recipe, args.steps, name) if args.steps else (recipe, len(material.train))
        for name, recipe in recipes.items()
    }
    kinds = {
        name: FROM_IMAGENET if recipe.transfer and recipe.transfer.pretrained else FROM_SCRATCH
        for name, recipe in recipes.items()
    }
    runs, failed = {}, []
    for name, (recipe, epoch_faces) in plans.items():
        tasks = [comparison.TrainingJob(name, seed, recipe, epoch_faces, of[recipe.targets], chosen) for seed in seeds]
        try:
            runs[name] = {task.seed: comparison.run_job(task, args.out / name, chosen.evaluate.bins) for task in tasks}
        except InputError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            failed.append(name)
    if runs:
        table = build_leaderboard(runs, kinds, material.held_out, chosen.emotions, chosen.evaluate.bins)
        write_csv(args.out / "comparison.csv", table)
        with atomic_write(args.out / "comparison.md") as part:
            part.write_text(format_leaderboard(table, len(material.train), material.held_out), encoding="utf-8")
        comparison_plot.plot_comparison(args.out / "comparison.png", table)
        print(f"{args.out}: comparison.csv, comparison.md, comparison.png")
    if failed:
        raise InputError(f"{', '.join(failed)}: could not be run, see above; the others were compared")
