"""`fer search`: queue DVC experiments that try hyper-parameters, and compare the finished ones."""

import argparse
import json
from pathlib import Path
from typing import Any

from fer.cli.paths import DATA_FOLDER
from fer.experiments.dvc import run_dvc


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "search",
        help="try many values of hyper-parameters and compare them",
        description="Queue a DVC experiment for each combination of the values, or for N random points; existing "
        "experiments are not repeated. Without KEY=VALUES, compare the experiments of the current commit by their "
        "validation accuracy and write search.csv, search.md and search.png. See docs/search.md.",
    )
    parser.add_argument(
        "keys",
        nargs="*",
        metavar="KEY=VALUES",
        help="values of a key of params.yaml: train.batch=16,32, or a range: train.dropout=0.1..0.5",
    )
    parser.add_argument("--random", type=int, metavar="N", help="try N random points (default: all combinations)")
    parser.add_argument("--rounds", action="store_true", help="keep the rounds (default: supervised training alone)")
    parser.add_argument("--out", type=Path, default=DATA_FOLDER / "search", help="default: %(default)s")
    parser.set_defaults(call=search)


def search(args: argparse.Namespace) -> None:
    from fer.runtime.errors import InputError

    if args.keys:
        queue_experiments(args)
    elif args.random is None:
        compare_experiments(args)
    else:
        raise InputError("--random: needs KEY=VALUES to draw from, such as train.optimizer.lr=1e-4..1e-1")


def queue_experiments(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from fer.experiments import search
    from fer.params import load_params
    from fer.runtime.errors import InputError

    if args.random is not None and args.random < 1:
        raise InputError(f"--random {args.random}: must be at least 1")
    seed, space = load_params().seed, search.parse_search_space(args.keys)
    points = search.grid_points(space) if args.random is None else search.draw_points(space, args.random, seed)
    current_params, experiments = load_experiments()
    contents = search.params_at_points(current_params, points, args.rounds)
    existing = [experiment.params for experiment in experiments if experiment.state != "failed"]
    new = [(point, content) for point, content in zip(points, contents, strict=True) if content not in existing]
    for point, _ in tqdm(new, unit="experiment", disable=None):
        run_dvc("exp", "run", "--queue", *search.dvc_exp_arguments(current_params, point, args.rounds), "evaluate")
    existing = [experiment.params for experiment in load_experiments()[1]] if new else []
    if lost := next((point for point, content in new if content not in existing), None):
        values = ", ".join(f"{key}={value}" for key, value in lost.items())
        raise InputError(
            f"DVC queued other values than {values}; replace & and * in params.yaml by the values they stand for, "
            "run `dvc queue remove --queued`, and search again"
        )
    print(f"queued {len(new)}; {len(points) - len(new)} were queued or finished before")
    print("run them with `dvc queue start`, compare them with `fer search`")


def compare_experiments(args: argparse.Namespace) -> None:
    from fer.core.files import atomic_write
    from fer.core.table import write_csv
    from fer.experiments import search, search_plot
    from fer.experiments.dvc_experiments import format_search_report, rank_experiments

    current_params, all_experiments = load_experiments()
    rounds = current_params["rounds"] if args.rounds else search.SUPERVISED_ROUNDS
    experiments = [experiment for experiment in all_experiments if experiment.params.get("rounds") == rounds]
    if n_left_out := len(all_experiments) - len(experiments):
        print(f"left out: {n_left_out} experiments with{'out' if args.rounds else ''} rounds of pseudo-labels")
    table = rank_experiments(experiments)
    text = format_search_report(experiments, table, current_params)
    print(text)
    if table.empty:
        return
    write_csv(args.out / "search.csv", table)
    with atomic_write(args.out / "search.md") as part:
        part.write_text(text, encoding="utf-8")
    search_plot.plot_search(args.out / "search.png", table)
    print(f"wrote search.csv, search.md and search.png into {args.out}")


def load_experiments() -> tuple[dict[str, Any], list[Any]]:
    """Return the current content of `params.yaml` and the experiments of DVC."""
    from fer.experiments.dvc_experiments import parse_experiments

    return parse_experiments(json.loads(run_dvc("exp", "show", "--json")))
