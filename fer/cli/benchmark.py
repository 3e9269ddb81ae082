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
        description="For each label budget and each seed, train teachers, and a student for each method of learning "
        "from the unlabelled pool, all for the same number of steps. Gains are over the best baseline on validation: "
        "teacher, vote of teachers, each also corrected to validation's prior, and no pool. Writes gains.csv, "
        "gains.md, gains.png and, for several budgets, budgets.png. A finished training is not repeated.",
    )
    ssl.add_argument(
        "arms",
        nargs="*",
        metavar="ARM",
        help="methods of the students: random_labels, true_labels, fixed_95, a policy of params.yaml, "
        "online_fixmatch, online_freematch or online_softmatch (default: all); no_pool is always there",
    )
    ssl.add_argument("--budgets", nargs="+", type=_parse_budget, required=True, help="labels of each emotion, or all")
    ssl.add_argument(
        "--labels",
        choices=("balanced", "natural"),
        default="balanced",
        help="natural: as many labels in all, drawn at the frequencies of the training faces (default: %(default)s)",
    )
    ssl.add_argument(
        "--replicas",
        type=int_at_least(1),
        default=3,
        help="teachers that differ in initial weights and order; their vote labels the pool (default: %(default)s)",
    )
    ssl.add_argument("--seeds", nargs="+", type=int_at_least(0), default=[0, 1, 2], help="default: 0 1 2")
    ssl.add_argument("--steps", type=int_at_least(1), help="batches for each network (default: as in its recipe)")
    ssl.add_argument("--network", help="default: the first of `ensemble` in params.yaml")
    ssl.add_argument("--unified", type=Path, default=UNIFIED_FOLDER, help="default: %(default)s")
    ssl.add_argument("--out", type=Path, default=DATA_FOLDER / "benchmark", help="default: %(default)s")
    ssl.set_defaults(call=benchmark)


def benchmark(args: argparse.Namespace) -> None:
    from fer.core.files import atomic_write
    from fer.core.table import write_csv
    from fer.experiments import benchmark, benchmark_plot, trials
    from fer.experiments.arms import METHODS, NO_POOL, TRUE_LABELS
    from fer.experiments.comparison import fit_steps
    from fer.experiments.gains import compute_gains
    from fer.experiments.gains_table import format_budget, format_gain_verdict, format_gains_table, format_result
    from fer.params import load_params
    from fer.runtime.errors import InputError
    from fer.training.params import resolve_recipe

    params = load_params()
    network = args.network or next(iter(params.ensemble))
    methods = list(dict.fromkeys((NO_POOL, *(args.arms or METHODS))))
    if unknown := [method for method in methods if method not in METHODS]:
        raise InputError(f"{', '.join(unknown)}: no such arm; use {', '.join(METHODS)}")
    recipe = resolve_recipe(network, params.networks, params.train).model_copy(update={"targets": "labels"})
    data = trials.read_benchmark_data(args.unified, params)
    epoch_faces = len(data.rows["train"])
    if args.steps:
        recipe, epoch_faces = fit_steps(recipe, args.steps, network)
    seeds = dict.fromkeys(args.seeds)
    notes = trials.describe_limits(data, params.emotions, args.replicas, len(seeds), args.labels)
    labels = {fold: data.labels[data.rows[fold]] for fold in ("valid", "test")}
    results: dict[tuple[int | None, int], dict[str, Any]] = {}
    for seed in seeds:
        for budget in dict.fromkeys(args.budgets):
            trial = trials.Trial(data, budget, args.labels, seed, args.replicas, network, recipe, epoch_faces, params)
            folder = args.out / trial.folder_name
            teacher_logits = benchmark.train_teachers(trial, folder)
            trial_results = results[budget, seed] = benchmark.evaluate_baselines(trial, teacher_logits)
            for method, result in trial_results.items():
                print(format_result(trial.run_name(method), result, labels), flush=True)
            for method in methods:
                if method == TRUE_LABELS and not trial.has_truth:
                    note = f"{format_budget(budget)}: the truth of the pool is unknown, so the oracle is left out."
                    notes += [note] if note not in notes else []
                    continue
                result = trial_results[method] = benchmark.evaluate_student(trial, method, teacher_logits, folder)
                print(format_result(trial.run_name(method), result, labels), flush=True)
        table = compute_gains(results, labels, params.emotions)
        write_csv(args.out / "gains.csv", table)
        with atomic_write(args.out / "gains.md") as part:
            part.write_text(format_gains_table(table, notes), encoding="utf-8")
    benchmark_plot.plot_gains(args.out / "gains.png", table)
    if len(set(args.budgets)) > 1:
        benchmark_plot.plot_budgets(args.out / "budgets.png", table)
    print(*notes, sep="\n")
    for row in table.to_dict("records"):
        if verdict := format_gain_verdict(row):
            print(f"{format_budget(row['budget'])}, {row['arm']}: {verdict}")


def _parse_budget(text: str) -> int | None:
    return None if text == "all" else int_at_least(1)(text)
