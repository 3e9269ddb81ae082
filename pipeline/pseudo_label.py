"""Predictions of the teacher round, table and reviews -> which unlabelled faces a round learns from, and as what."""

import argparse
from pathlib import Path

import numpy as np

from fer.core.files import replacing_folder, write_array, write_csv, write_json
from fer.core.labels import codes, read_table
from fer.params import load_params
from fer.predictions.ensembles import agreement, calibrated_vote, read_predictions
from fer.pseudo_labels import estimates
from fer.pseudo_labels import selection as pseudo_labels_selection
from fer.pseudo_labels.policy import gathered
from fer.pseudo_labels.review.answers import answers, decided, read_reviews
from fer.runtime.stage import run


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
    people = answers(read_reviews(args.reviews), table, emotions)
    labels, fold = codes(table["emotion"], emotions), np.where(people.given, "reviewed", table["fold"])
    said = read_predictions(args.predictions, chosen.ensemble, emotions, len(table))
    logits = {network: prediction.logits for network, prediction in said.items()}
    teachers = calibrated_vote(logits, labels, fold == "valid", chosen.seed, chosen.ensemble)
    agreed = agreement(logits, teachers, chosen.ensemble, rules.agreement)
    evidence = gathered(teachers.vote, labels, fold, agreed, rules.alignment)
    selection = pseudo_labels_selection.select(evidence, rules.chosen, emotions)
    thresholds = pseudo_labels_selection.thresholds(evidence, rules.chosen, emotions)
    estimate = estimates.estimate(evidence, selection, thresholds, emotions)
    shift = estimates.shift(evidence)
    final, learnt = decided(selection, evidence.probs, people)

    with replacing_folder(args.out) as out:
        write_array(out / "accepted.npy", final.accepted)
        write_array(out / "probs.npy", learnt)
        write_array(out / "weights.npy", final.weight)
        write_array(out / "reviewed.npy", people.given)
        write_csv(out / "labels.csv", pseudo_labels_selection.decisions(final, table, emotions))
        facts = {"round": args.round, "teacher": args.teacher}
        facts |= {"alignment": rules.alignment, "agreement": rules.agreement}
        facts |= {"policy": {"name": rules.policy} | rules.chosen.model_dump()}
        facts |= {"thresholds": dict(zip(emotions, thresholds, strict=True))}
        facts |= {"temperatures": teachers.temperatures, "ensemble": chosen.ensemble}
        facts |= {"weights_sha256": {network: prediction.weights_sha256 for network, prediction in said.items()}}
        facts |= {"estimate": estimate, "shift": shift}
        write_json(out / "summary.json", facts | pseudo_labels_selection.counts(selection, emotions) | people.counts)
    for note in people.notes:
        print(f"note: {note}")
    print(f"round {args.round}: {pseudo_labels_selection.in_words(selection, emotions)}")
    if words := pseudo_labels_selection.not_reached(thresholds, rules.chosen, emotions):
        print(f"round {args.round}: {words}")
    for line in estimates.in_words(estimate, shift):
        print(f"round {args.round}: {line}")
    if people.given.any():
        print("people decided {reviewed} more, and set {set_aside} of them aside".format(**people.counts))


if __name__ == "__main__":
    run(main)
