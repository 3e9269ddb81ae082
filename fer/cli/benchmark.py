"""`fer benchmark ssl`: measure what pseudo-labels gain, with controls."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli import int_at_least
from fer.cli.paths import DATA_FOLDER, UNIFIED_FOLDER


def add_to(commands: Any) -> None:
    parser = commands.add_parser("benchmark", help="measure what pseudo-labels gain, with controls")
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    ssl = kinds.add_parser(
        "ssl",
        help="semi-supervised learning: label budgets × methods × seeds",
        description="For each label budget and each seed, train a teacher, and a student for each method of learning "
        "from the unlabelled pool, all for the same number of steps. Controls: no pool, random labels, true labels, "
        "and plain pseudo-labels with a threshold of 0.95. Writes gains.csv, gains.md and gains.png. A finished "
        "training is not repeated.",
    )
    ssl.add_argument(
        "arms",
        nargs="*",
        metavar="ARM",
        help="methods of the students: no_pool, random_labels, true_labels, fixed_95, a policy of params.yaml, "
        "online_fixmatch, online_freematch or online_softmatch (default: all)",
    )
    ssl.add_argument("--budgets", nargs="+", type=_parse_budget, required=True, help="labels of each emotion, or all")
    ssl.add_argument("--seeds", nargs="+", type=int_at_least(0), default=[0, 1, 2], help="default: 0 1 2")
    ssl.add_argument("--steps", type=int_at_least(1), help="batches for each network (default: as in its recipe)")
    ssl.add_argument("--network", help="default: the first of `ensemble` in params.yaml")
    ssl.add_argument("--unified", type=Path, default=UNIFIED_FOLDER, help="default: %(default)s")
    ssl.add_argument("--out", type=Path, default=DATA_FOLDER / "benchmark", help="default: %(default)s")
    ssl.set_defaults(call=benchmark)


def benchmark(args: argparse.Namespace) -> None:
    from fer.core.files import atomic_write
    from fer.core.table import write_csv
    from fer.experiments import benchmark, benchmark_plot
    from fer.experiments.arms import METHODS
    from fer.experiments.comparison import fit_steps
    from fer.experiments.gains import TEACHER, compute_gains, format_budget, format_gain_verdict, format_gains_table
    from fer.params import load_params
    from fer.runtime.errors import InputError
    from fer.training.params import resolve_recipe

    params = load_params()
    network = args.network or next(iter(params.ensemble))
    methods = list(dict.fromkeys(args.arms or METHODS))
    if unknown := [method for method in methods if method not in METHODS]:
        raise InputError(f"{', '.join(unknown)}: no such arm; use {', '.join(METHODS)}")
    recipe = resolve_recipe(network, params.networks, params.train).model_copy(update={"targets": "labels"})
    data = benchmark.read_benchmark_data(args.unified, params)
    epoch_faces = len(data.rows["train"])
    if args.steps:
        recipe, epoch_faces = fit_steps(recipe, args.steps, network)
    results: dict[tuple[int | None, int], dict[str, Any]] = {}
    for seed in dict.fromkeys(args.seeds):
        for budget in dict.fromkeys(args.budgets):
            trial = benchmark.Trial(data, budget, seed, network, recipe, epoch_faces, params)
            folder = args.out / f"{budget or 'all'}" / str(seed)
            teacher_logits = benchmark.train_teacher(trial, folder)
            trial_results = results.setdefault((budget, seed), {})
            for method in (TEACHER, *methods):
                result = benchmark.evaluate_method(trial, method, teacher_logits, folder)
                trial_results[method] = result
                precision = result.pseudo_label_precision
                correct = "" if precision is None else f", {precision:.1%} of them correct"
                print(
                    f"{trial.run_name(method)}: {result.valid.mean():.1%} on validation faces, "
                    f"{result.test.mean():.1%} on test faces; {result.n_pseudo_labels} pool faces{correct}",
                    flush=True,
                )
            table = compute_gains(results)
            write_csv(args.out / "gains.csv", table)
            with atomic_write(args.out / "gains.md") as part:
                part.write_text(format_gains_table(table), encoding="utf-8")
            benchmark_plot.plot_gains(args.out / "gains.png", table)
    for row in table.to_dict("records"):
        if verdict := format_gain_verdict(row):
            print(f"{format_budget(row['budget'])}, {row['arm']}: {verdict}")


def _parse_budget(text: str) -> int | None:
    return None if text == "all" else int_at_least(1)(text)
