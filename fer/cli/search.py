"""`fer search`: hyper-parameters to try -> experiments in DVC's queue -> a table and a picture of how they did."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer.experiments.dvc_experiments import run_dvc
from fer.params import load_params

if TYPE_CHECKING:
    from fer.experiments.dvc_experiments import Experiment


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "search",
        help="try many values of hyper-parameters and compare them",
        description="Put an experiment into DVC's queue for each combination of the values, or for N drawn at random; "
        "those that are there are not repeated. Without KEY=VALUES compare the experiments of the current commit by "
        "their validation accuracy, and write search.csv, search.md and search.png. See docs/search.md.",
    )
    parser.add_argument(
        "keys", nargs="*", metavar="KEY=VALUES", help="of params.yaml: train.batch=16,32, or train.dropout=0.1..0.5"
    )
    parser.add_argument("--random", type=int, metavar="N", help="draw N points (default: all combinations)")
    parser.add_argument("--rounds", action="store_true", help="with the rounds of pseudo-labels (default: without)")
    parser.add_argument("--out", type=Path, default=Path("data/search"), help="default: %(default)s")
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
    from fer.runtime.errors import InputError

    if args.random is not None and args.random < 1:
        raise InputError(f"--random {args.random}: must be at least 1")
    seed, asked = load_params().seed, search.parse_search_space(args.keys)
    points = search.grid_points(asked) if args.random is None else search.draw_points(asked, args.random, seed)
    current, ran = load_experiments()
    contents = search.params_at_points(current, points, args.rounds)
    there = [experiment.params for experiment in ran if experiment.state != "failed"]
    new = [(point, content) for point, content in zip(points, contents, strict=True) if content not in there]
    for point, _ in tqdm(new, unit="experiment", disable=None):
        run_dvc("exp", "run", "--queue", *search.dvc_exp_arguments(current, point, args.rounds), "evaluate")
    there = [experiment.params for experiment in load_experiments()[1]] if new else []
    if lost := next((point for point, content in new if content not in there), None):
        asked_for = ", ".join(f"{key}={value}" for key, value in lost.items())
        raise InputError(
            f"DVC queued other values than {asked_for}: write out what params.yaml shares by & and * there, "
            "`dvc queue remove --queued`, and search again"
        )
    print(f"queued {len(new)}; {len(points) - len(new)} were queued or finished before")
    print("run them with `dvc queue start`, compare them with `fer search`")


def compare_experiments(args: argparse.Namespace) -> None:
    from fer.core.files import atomic_write, write_csv
    from fer.experiments import search, search_plot
    from fer.experiments.dvc_experiments import format_search_report, format_values, rank_experiments

    current, found = load_experiments()
    rounds = current["rounds"] if args.rounds else search.SUPERVISED_ROUNDS
    ran = [experiment for experiment in found if experiment.params.get("rounds") == rounds]
    if others := len(found) - len(ran):
        print(f"left out: {others} experiments with{'out' if args.rounds else ''} rounds of pseudo-labels")
    table = rank_experiments(ran)
    text = format_search_report(ran, table, current)
    print(text)
    if table.empty:
        return
    write_csv(args.out / "search.csv", format_values(table))
    with atomic_write(args.out / "search.md") as part:
        part.write_text(text, encoding="utf-8")
    search_plot.plot_search(args.out / "search.png", table)
    print(f"wrote search.csv, search.md and search.png into {args.out}")


def load_experiments() -> "tuple[dict[str, Any], list[Experiment]]":
    from fer.experiments.dvc_experiments import parse_experiments

    return parse_experiments(json.loads(run_dvc("exp", "show", "--json")))
