"""`fer rounds`: a number -> the lines of `rounds` in params.yaml; the best number, by running one after another."""

import argparse
import shutil
import subprocess
from typing import Any

from fer.cli.paths import PARAMS_FILE, ROUND_FOLDERS, SUMMARY_FILE
from fer.experiments.dvc_experiments import run_dvc, run_dvc_repro
from fer.params import load_params


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "rounds",
        help="set the number of rounds, or find the best",
        description="Write N rounds into params.yaml, each taught by the one before, and remove what was made of "
        "later rounds (DVC's cache keeps it). With --until-best run `dvc repro` with one round, with two and so on, "
        "stop when the validation accuracy no longer improves, and end with the best number of rounds.",
    )
    parser.add_argument(
        "count", type=int, metavar="N", help="rounds after round 0; 0: learn from the labelled faces alone"
    )
    parser.add_argument("--until-best", action="store_true", help="find the best number of rounds, of at most N")
    parser.add_argument(
        "--patience", type=int, metavar="P", help="stop after P rounds in a row that are no better (default: 1)"
    )
    parser.set_defaults(call=rounds)


def rounds(args: argparse.Namespace) -> None:
    from fer.runtime.errors import InputError

    least = 1 if args.until_best else 0
    if args.count < least:
        raise InputError(f"N is {args.count}; must be at least {least}")
    if args.patience is not None and not args.until_best:
        raise InputError("--patience: goes with --until-best")
    if args.patience is not None and args.patience < 1:
        raise InputError(f"--patience {args.patience}: must be at least 1")
    if args.until_best:
        find_best_round_count(args.count, args.patience or 1)
    else:
        set_round_count(args.count)
        print(f"params.yaml has {format_round_count(args.count)}; now run `dvc repro`")


def find_best_round_count(max_rounds: int, patience: int) -> None:

    from fer.experiments.rounds import VALID_METRICS, best_round, format_rounds, should_stop
    from fer.runtime.errors import InputError

    chosen = load_params(PARAMS_FILE)
    if chosen.package.round != "best":
        raise InputError(f"--until-best: package.round is {chosen.package.round} in params.yaml; write best")
    before = len(chosen.rounds.retrain)
    run_dvc("root")  # fails where there is no project of DVC's, before anything is changed
    try:
        for count in range(1, max_rounds + 1):
            set_round_count(count)
            print(f"{format_round_count(count)}, of at most {max_rounds}", flush=True)
            run_dvc_repro("evaluate")
            summary = read_summary(count)
            accuracies = [told[VALID_METRICS[0]] for told in summary.values()]
            if should_stop(accuracies, patience):
                break
        kept = best_round(accuracies)
        set_round_count(kept)
        run_dvc_repro()
    except (KeyboardInterrupt, subprocess.CalledProcessError) as error:
        what = "interrupted" if isinstance(error, KeyboardInterrupt) else "`dvc repro` failed, see above"
        now = format_round_count(len(load_params(PARAMS_FILE).rounds.retrain))
        again = "the same command goes on from DVC's cache"
        raise InputError(f"{what}; params.yaml now has {now} (it had {before}); {again}") from error
    print("", *format_rounds(summary, kept), "", sep="\n")
    print(
        f"params.yaml has {format_round_count(kept)}, and `dvc repro` has run; the figures are of the validation fold"
    )


def set_round_count(count: int) -> None:
    """Put `count` rounds into params.yaml, and remove what was made of later ones.

    A folder that stays would be part of what `evaluate` and `package` depend on, and dvc.lock true in this place alone.
    """

    from fer.core.files import atomic_write
    from fer.experiments.rounds import replace_rounds
    from fer.runtime.errors import InputError

    shipped = load_params(PARAMS_FILE).package.round
    if isinstance(shipped, int) and shipped > count:
        raise InputError(f"package.round is {shipped} in params.yaml, but would have to be at most {count}, or best")
    text = replace_rounds(PARAMS_FILE.read_bytes().decode(), count)
    with atomic_write(PARAMS_FILE) as part:
        part.write_bytes(text.encode())
    for folder in ROUND_FOLDERS:
        for later in folder.glob("[0-9]*"):
            if later.name.isdecimal() and int(later.name) > count:
                shutil.rmtree(later)


def read_summary(count: int) -> dict[str, dict[str, Any]]:
    """`metrics/summary.json` as `dvc repro` wrote it with `count` rounds."""
    from fer.core.files import read_json
    from fer.experiments.rounds import VALID_METRICS
    from fer.runtime.errors import InputError

    summary = dict(read_json(SUMMARY_FILE))
    for round_ in range(count + 1):
        if missing := [figure for figure in VALID_METRICS if figure not in summary.get(str(round_), {})]:
            raise InputError(f"{SUMMARY_FILE}: round {round_} has no {missing[0]}; run `dvc repro --force evaluate`")
    return summary


def format_round_count(count: int) -> str:
    return "round 0 alone" if not count else f"{count} round{'s' if count > 1 else ''} after round 0"
