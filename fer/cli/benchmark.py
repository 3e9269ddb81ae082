"""`fer benchmark`: what is it worth? `fer benchmark ssl` measures what pseudo-labels gain, with controls."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli.arguments import int_at_least
from fer.params import load_params


def add_to(commands: Any) -> None:
    parser = commands.add_parser("benchmark", help="measure what pseudo-labels gain, with controls")
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    ssl = kinds.add_parser(
        "ssl",
        help="label budgets × policies × seeds",
        description="For each number of labels and each seed, train a teacher, and students that learn from the "
        "pool by different policies, all for as many steps. Controls: no pool, random labels, true labels, and plain "
        "pseudo-labels from .95 on. Writes gains.csv, .md and .png. What was trained is not trained again.",
    )
    ssl.add_argument(
        "arms",
        nargs="*",
        metavar="ARM",
        help="what students learn by: no_pool, random_labels, true_labels, fixed_95, a policy of params.yaml, or "
        "online_fixmatch, online_freematch, online_softmatch (default: all)",
    )
    ssl.add_argument("--budgets", nargs="+", type=_parse_budget, required=True, help="labels of each emotion, or all")
    ssl.add_argument("--seeds", nargs="+", type=int_at_least(0), default=[0, 1, 2], help="default: 0 1 2")
    ssl.add_argument(
        "--steps",
        type=int_at_least(1),
        help="batches for each network (default: as its recipe says of all training faces)",
    )
    ssl.add_argument("--network", help="default: the first of `ensemble` in params.yaml")
    ssl.add_argument("--unified", type=Path, default=Path("data/unified"), help="default: %(default)s")
    ssl.add_argument("--out", type=Path, default=Path("data/benchmark"), help="default: %(default)s")
    ssl.set_defaults(call=benchmark)


def benchmark(args: argparse.Namespace) -> None:
    from fer.core.files import atomic_write, write_csv
    from fer.experiments import benchmark, benchmark_plot
    from fer.experiments.arms import METHODS
    from fer.experiments.comparison import fit_steps
    from fer.experiments.gains import TEACHER, compute_gains, format_budget, format_gain_verdict, format_gains_table
    from fer.runtime.errors import InputError
    from fer.training.params import resolve_recipe

    chosen = load_params()
    network = args.network or next(iter(chosen.ensemble))
    arms = list(dict.fromkeys(args.arms or METHODS))
    if unknown := [arm for arm in arms if arm not in METHODS]:
        raise InputError(f"{', '.join(unknown)}: no such arm; there are {', '.join(METHODS)}")
    recipe = resolve_recipe(network, chosen.networks, chosen.train).model_copy(update={"targets": "labels"})
    faces = benchmark.read_benchmark_data(args.unified, chosen)
    epoch_faces = len(faces.train)
    if args.steps:
        recipe, epoch_faces = fit_steps(recipe, args.steps, network)
    outcomes: dict[tuple[int | None, int], dict[str, Any]] = {}
    for seed in dict.fromkeys(args.seeds):
        for budget in dict.fromkeys(args.budgets):
            trial = benchmark.Trial(faces, budget, seed, network, recipe, epoch_faces, chosen)
            folder = args.out / f"{budget or 'all'}" / str(seed)
            teacher = benchmark.train_teacher(trial, folder)
            found = outcomes.setdefault((budget, seed), {})
            for arm in (TEACHER, *arms):
                found[arm] = one = benchmark.evaluate_method(trial, arm, teacher, folder)
                told = f"{one.valid.mean():.1%} on validation faces, {one.test.mean():.1%} on test faces"
                right = (
                    "" if one.pseudo_label_precision is None else f", {one.pseudo_label_precision:.1%} of them right"
                )
                print(f"{trial.run_name(arm)}: {told}; {one.n_pseudo_labels} pool faces{right}", flush=True)
            table = compute_gains(outcomes)
            write_csv(args.out / "gains.csv", table)
            with atomic_write(args.out / "gains.md") as part:
                part.write_text(format_gains_table(table), encoding="utf-8")
            benchmark_plot.plot_gains(args.out / "gains.png", table)
    for row in table.to_dict("records"):
        if said := format_gain_verdict(row):
            print(f"{format_budget(row['budget'])}, {row['arm']}: {said}")


def _parse_budget(text: str) -> int | None:
    return None if text == "all" else int_at_least(1)(text)
