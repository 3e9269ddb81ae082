"""Predictions of the teacher round, table and reviews -> the pseudo-labels of one round and their summary."""

import argparse
from pathlib import Path

import numpy as np

from fer.core.files import atomic_write_folder, write_array, write_json
from fer.core.labels import encode_labels
from fer.core.table import read_table, write_csv
from fer.params import load_params
from fer.predictions.ensembles import calibrate_ensemble, find_agreement, read_stored_logits
from fer.pseudo_labels import estimates, selection
from fer.pseudo_labels.policy import collect_evidence
from fer.pseudo_labels.review.answers import apply_reviews, match_reviews, read_reviews
from fer.runtime.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", type=int, required=True, help="round that trains on the pseudo-labels")
    parser.add_argument("--teacher", type=int, required=True, help="earlier round whose ensemble predicts the labels")
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True, help="folder of the teacher round")
    parser.add_argument("--reviews", type=Path, required=True, help="CSV file with the decisions of reviewers")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    params = load_params()
    emotions, options = params.emotions, params.pseudo_label

    table = read_table(args.table)
    reviews = match_reviews(read_reviews(args.reviews), table, emotions)
    labels, fold = encode_labels(table["emotion"], emotions), np.where(reviews.reviewed, "reviewed", table["fold"])
    predictions = read_stored_logits(args.predictions, params.members, emotions, len(table))
    logits = {name: predictions[name].logits for name in predictions}
    teachers = calibrate_ensemble(logits, labels, fold == "valid", params.seed, params.members)
    agreement = find_agreement(logits, teachers, params.members, options.agreement)
    evidence = collect_evidence(teachers.ensemble_probs, labels, fold, agreement, options.alignment)
    pseudo_labels = selection.select(evidence, options.active_policy, emotions, options.weights)
    thresholds = selection.thresholds(evidence, options.active_policy, emotions)
    estimate = estimates.estimate_precision(evidence, pseudo_labels, thresholds, emotions)
    shift = estimates.measure_shift(evidence)
    reviewed_labels, targets = apply_reviews(pseudo_labels, evidence.probs, reviews)

    with atomic_write_folder(args.out) as out:
        write_array(out / "accepted.npy", reviewed_labels.accepted)
        write_array(out / "probs.npy", targets)
        write_array(out / "weights.npy", reviewed_labels.weight)
        write_array(out / "reviewed.npy", reviews.reviewed)
        write_csv(out / "labels.csv", selection.decision_table(reviewed_labels, table, emotions))
        summary = {"round": args.round, "teacher": args.teacher}
        summary |= {"alignment": options.alignment, "agreement": options.agreement, "weights": options.weights}
        summary |= {"policy": {"name": options.policy} | options.active_policy.model_dump()}
        summary |= {"thresholds": dict(zip(emotions, thresholds, strict=True))}
        summary |= {"temperatures": teachers.temperatures, "ensemble": params.members}
        summary |= {"weights_sha256": {name: predictions[name].weights_sha256 for name in predictions}}
        summary |= {"estimate": estimate, "shift": shift}
        summary |= selection.count_accepted(pseudo_labels, emotions) | reviews.counts
        write_json(out / "summary.json", summary)
    for note in reviews.notes:
        print(f"note: {note}")
    print(f"round {args.round}: {selection.format_selection(pseudo_labels, emotions)}")
    if message := options.active_policy.format_note(thresholds, emotions):
        print(f"round {args.round}: {message}")
    for line in estimates.format_estimate(estimate, shift):
        print(f"round {args.round}: {line}")
    if reviews.reviewed.any():
        print("people reviewed {reviewed} more and set {set_aside} of them aside".format(**reviews.counts))


if __name__ == "__main__":
    run_stage(main)
