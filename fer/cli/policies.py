"""`fer policies`: compare what the policies would accept, on stored predictions, and choose one."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli import int_at_least
from fer.cli.paths import DATA_FOLDER, PARAMS_FILE, REVIEWS_FILE, UNIFIED_FOLDER


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "policies",
        help="compare what the policies of pseudo-labels would accept, or choose one",
        description="Evaluate every policy, with several values of its main option, on the stored predictions of a "
        "teacher, without training; docs/thresholds.md explains the columns. With --set, write a policy into "
        "params.yaml instead.",
    )
    parser.add_argument("--round", type=int_at_least(0), default=0, help="round of the teacher (default: %(default)s)")
    parser.add_argument("--alignment", choices=("none", "valid", "uniform"), help="default: that of params.yaml")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="write a plot")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results with all digits and intervals")
    parser.add_argument(
        "--set", metavar="NAME[=VALUE]", help="choose a policy, as the table names it, and --alignment if it is given"
    )
    parser.set_defaults(call=policies)


def policies(args: argparse.Namespace) -> None:
    from fer.core.files import write_json
    from fer.core.table import read_table, read_truth
    from fer.evaluation.inputs import encode_truth
    from fer.experiments import policies, policies_plot
    from fer.params import load_params
    from fer.params.edit import write_changes
    from fer.pseudo_labels.estimates import format_estimate, measure_shift
    from fer.pseudo_labels.review.answers import match_reviews, read_reviews
    from fer.runtime.errors import InputError

    params = load_params(PARAMS_FILE)
    options, emotions = params.pseudo_label, params.emotions
    if args.set:
        print(*write_changes(PARAMS_FILE, policies.policy_changes(options, args.set, args.alignment)), sep="\n")
        return
    predictions, table_file = DATA_FOLDER / "predictions" / str(args.round), UNIFIED_FOLDER / "table.csv"
    if missing := [path for path in (table_file, predictions) if not path.exists()]:
        rounds = ", ".join(map(str, params.rounds.predict))
        raise InputError(f"{missing[0]}: does not exist; run `dvc repro predict`, which predicts rounds {rounds}")
    table = read_table(table_file)
    truth = encode_truth(read_truth(UNIFIED_FOLDER / "truth.csv"), emotions, len(table))
    reviews, alignment = match_reviews(read_reviews(REVIEWS_FILE), table, emotions), args.alignment or options.alignment
    evidence = policies.read_teacher(predictions, table, reviews, params, alignment)
    n_labels = int((table["fold"] == "train").sum() + (reviews.emotion >= 0).sum())
    candidates = policies.list_candidates(options)
    loss_weight, weights = params.retrain.weight, options.weights
    rows = policies.compare_policies(evidence, candidates, emotions, truth, n_labels, loss_weight, weights)
    warnings = policies.teacher_warnings(evidence, emotions)

    active = policies.format_policy(options.policy, options.active_policy)
    accuracy = (evidence.predicted == evidence.labels)[evidence.valid].mean()
    print(
        f"teacher of round {args.round}, alignment {alignment}: right on {accuracy:.0%} of {evidence.valid.sum():,} "
        f"validation faces; {evidence.pool.sum():,} unlabelled and {n_labels:,} labelled faces\n"
    )
    print(policies.format_comparison(rows, active), "", policies.format_best(rows), sep="\n")
    for line in (*format_estimate(rows[0], measure_shift(evidence))[1:], *(f"warning: {text}" for text in warnings)):
        print(line)
    if args.json:
        head = {"round": args.round, "alignment": alignment, "valid_accuracy": float(accuracy), "labelled": n_labels}
        write_json(args.json, head | {"warnings": warnings, "policies": rows})
    if args.out:
        policies_plot.plot_policies(args.out, rows, active)
