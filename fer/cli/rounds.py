"""`fer rounds`: set the number of rounds in params.yaml, or find the best number."""

import argparse
import shutil
import subprocess
from typing import Any

from fer.cli.paths import PARAMS_FILE, ROUND_FOLDERS, SUMMARY_FILE
from fer.experiments.dvc import run_dvc, run_dvc_repro


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "rounds",
        help="set the number of rounds, or find the best",
        description="Write N rounds into params.yaml, in which each round is the teacher of the next, and remove the "
        "outputs of later rounds (DVC's cache keeps them). With --until-best, run `dvc repro` with one round, two "
        "rounds and so on, stop when the validation accuracy no longer improves, and keep the best number of rounds.",
    )
    parser.add_argument("count", type=int, metavar="N", help="rounds after round 0; 0: supervised training alone")
    parser.add_argument("--until-best", action="store_true", help="find the best number of rounds up to N")
    parser.add_argument("--patience", type=int, metavar="P", help="stop after P rounds that are no better (default: 1)")
    parser.set_defaults(call=rounds)


def rounds(args: argparse.Namespace) -> None:
    from fer.runtime.errors import InputError

    min_count = 1 if args.until_best else 0
    if args.count < min_count:
        raise InputError(f"N is {args.count}; must be at least {min_count}")
    if args.patience is not None and not args.until_best:
        raise InputError("--patience: needs --until-best; add it, or leave --patience out")
    if args.patience is not None and args.patience < 1:
        raise InputError(f"--patience {args.patience}: must be at least 1")
    if args.until_best:
        find_best_round_count(args.count, args.patience or 1)
    else:
        set_round_count(args.count)
        print(f"params.yaml has {format_round_count(args.count)}; now run `dvc repro`")


def find_best_round_count(max_rounds: int, patience: int) -> None:
    from fer.experiments.rounds import VALID_METRICS, best_round, format_rounds, should_stop
    from fer.params import load_params
    from fer.runtime.errors import InputError

    params = load_params(PARAMS_FILE)
    if params.package.round != "best":
        raise InputError(f"params.yaml: --until-best needs package.round=best, but it is {params.package.round}")
    initial_count = len(params.rounds.retrain)
    run_dvc("root")  # fails outside of a DVC project, before anything is changed
    try:
        for count in range(1, max_rounds + 1):
            set_round_count(count)
            print(f"{format_round_count(count)}, of at most {max_rounds}", flush=True)
            run_dvc_repro("evaluate")
            summary = read_summary(count)
            accuracies = [metrics[VALID_METRICS[0]] for metrics in summary.values()]
            if should_stop(accuracies, patience):
                break
        best_count = best_round(accuracies)
        set_round_count(best_count)
        run_dvc_repro()
    except (KeyboardInterrupt, subprocess.CalledProcessError) as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "`dvc repro` failed, see above"
        current = format_round_count(len(load_params(PARAMS_FILE).rounds.retrain))
        raise InputError(
            f"{reason}; params.yaml now has {current} (it had {initial_count}); run the same command again to go on "
            "from DVC's cache"
        ) from error
    print("", *format_rounds(summary, best_count), "", sep="\n")
    print(f"params.yaml has {format_round_count(best_count)} and `dvc repro` has run; the table is of validation")


def set_round_count(count: int) -> None:
    """Write `count` rounds into params.yaml and remove the outputs of later rounds.

    `evaluate` and `package` depend on whole folders: later rounds left there would make dvc.lock irreproducible.
    """
    from fer.core.files import atomic_write
    from fer.experiments.rounds import replace_rounds
    from fer.params import load_params
    from fer.runtime.errors import InputError

    packaged = load_params(PARAMS_FILE).package.round
    if isinstance(packaged, int) and packaged > count:
        raise InputError(f"params.yaml: package.round is {packaged}, but must be best or at most {count}")
    text = replace_rounds(PARAMS_FILE.read_bytes().decode(), count)
    with atomic_write(PARAMS_FILE) as part:
        part.write_bytes(text.encode())
    for folder in ROUND_FOLDERS:
        for path in folder.glob("[0-9]*"):
            if path.name.isdecimal() and int(path.name) > count:
                shutil.rmtree(path)


def read_summary(count: int) -> dict[str, dict[str, Any]]:
    """Return `metrics/summary.json`.

    Raises:
        InputError: A round up to `count` has no validation metrics.
    """
    from fer.core.files import read_json
    from fer.experiments.rounds import VALID_METRICS
    from fer.runtime.errors import InputError

    summary = dict(read_json(SUMMARY_FILE))
    for round_ in range(count + 1):
        if missing := [metric for metric in VALID_METRICS if metric not in summary.get(str(round_), {})]:
            raise InputError(f"{SUMMARY_FILE}: round {round_} has no {missing[0]}; run `dvc repro --force evaluate`")
    return summary


def format_round_count(count: int) -> str:
    return "round 0 alone" if not count else f"{count} round{'s' if count > 1 else ''} after round 0"
