"""Predictions of the teacher round, table and reviews -> which unlabelled faces a round learns from, and as what."""

import argparse
from pathlib import Path

import numpy as np

from fer.core.files import atomic_write_folder, write_array, write_csv, write_json
from fer.core.labels import encode_labels, read_table
from fer.params import load_params
from fer.predictions.ensembles import calibrate_ensemble, find_agreement, read_stored_logits
from fer.pseudo_labels import estimates
from fer.pseudo_labels import selection as pseudo_labels_selection
from fer.pseudo_labels.policy import collect_evidence
from fer.pseudo_labels.review.answers import apply_reviews, match_reviews, read_reviews
from fer.runtime.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", type=int, required=True, help="the round that will learn from the pseudo-labels")
    parser.add_argument("--teacher", type=int, required=True, help="the earlier round whose networks vote")
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True, help="folder of the teacher round")
    parser.add_argument("--reviews", type=Path, required=True, help="what people said of faces")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    chosen = load_params()
    emotions, rules = chosen.emotions, chosen.pseudo_label

    table = read_table(args.table)
    people = match_reviews(read_reviews(args.reviews), table, emotions)
    labels, fold = encode_labels(table["emotion"], emotions), np.where(people.reviewed, "reviewed", table["fold"])
    said = read_stored_logits(args.predictions, chosen.ensemble, emotions, len(table))
    logits = {network: prediction.logits for network, prediction in said.items()}
    teachers = calibrate_ensemble(logits, labels, fold == "valid", chosen.seed, chosen.ensemble)
    agreed = find_agreement(logits, teachers, chosen.ensemble, rules.agreement)
    evidence = collect_evidence(teachers.ensemble_probs, labels, fold, agreed, rules.alignment)
    selection = pseudo_labels_selection.select(evidence, rules.active_policy, emotions)
    thresholds = pseudo_labels_selection.thresholds(evidence, rules.active_policy, emotions)
    estimate = estimates.estimate_precision(evidence, selection, thresholds, emotions)
    shift = estimates.measure_shift(evidence)
    final, learnt = apply_reviews(selection, evidence.probs, people)

    with atomic_write_folder(args.out) as out:
        write_array(out / "accepted.npy", final.accepted)
        write_array(out / "probs.npy", learnt)
        write_array(out / "weights.npy", final.weight)
        write_array(out / "reviewed.npy", people.reviewed)
        write_csv(out / "labels.csv", pseudo_labels_selection.decision_table(final, table, emotions))
        facts = {"round": args.round, "teacher": args.teacher}
        facts |= {"alignment": rules.alignment, "agreement": rules.agreement}
        facts |= {"policy": {"name": rules.policy} | rules.active_policy.model_dump()}
        facts |= {"thresholds": dict(zip(emotions, thresholds, strict=True))}
        facts |= {"temperatures": teachers.temperatures, "ensemble": chosen.ensemble}
        facts |= {"weights_sha256": {network: prediction.weights_sha256 for network, prediction in said.items()}}
        facts |= {"estimate": estimate, "shift": shift}
        write_json(
            out / "summary.json", facts | pseudo_labels_selection.count_accepted(selection, emotions) | people.counts
        )
    for note in people.notes:
        print(f"note: {note}")
    print(f"round {args.round}: {pseudo_labels_selection.format_selection(selection, emotions)}")
    if policy_note := rules.active_policy.format_note(thresholds, emotions):
        print(f"round {args.round}: {policy_note}")
    for line in estimates.format_estimate(estimate, shift):
        print(f"round {args.round}: {line}")
    if people.reviewed.any():
        print("people decided {reviewed} more, and set {set_aside} of them aside".format(**people.counts))


if __name__ == "__main__":
    run_stage(main)
