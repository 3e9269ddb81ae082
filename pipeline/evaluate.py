"""Predictions, pseudo-labels, curves, table, hidden truth -> figures, tables, pictures, faces' histories, a verdict."""

import argparse
from pathlib import Path

from fer.core.files import read_json, write_csv, write_json
from fer.core.labels import read_table, read_truth
from fer.evaluation import audit, evaluate, history
from fer.params import load_params
from fer.predictions.ensembles import read_predictions
from fer.reporting.plots import audit_plot, plots
from fer.runtime.stage import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("table", "truth", "report", "predictions", "pseudo-labels", "models", "history", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    chosen = load_params()
    weights, emotions, bins = chosen.ensemble, chosen.emotions, chosen.evaluate.bins

    table, truth = read_table(args.table), read_truth(args.truth)
    faces = evaluate.measured(table, emotions)
    said, decided = {}, {}
    for round_ in chosen.rounds.predict:
        predictions = read_predictions(args.predictions / str(round_), weights, emotions, len(table))
        said[round_] = evaluate.answers(predictions, faces, chosen.seed, weights)
    for round_ in chosen.rounds.retrain:
        decided[round_] = evaluate.read_pseudo_labels(args.pseudo_labels / str(round_), table, truth, emotions)
    curves = evaluate.read_curves(args.models, chosen.rounds.predict, weights)

    figures = evaluate.figures(said, faces, emotions, bins)
    report = read_json(args.report)
    estimates = audit.read_estimates(args.pseudo_labels, chosen.rounds.retrain)
    audits = audit.completed(evaluate.audits(decided, emotions), estimates, table, report, emotions)
    pool = table[table["fold"] == "unlabelled"]
    for labels in decided.values():
        pool = table.iloc[labels.rows]  # the same for all: without the faces that people reviewed
    past = history.gathered(decided, len(pool))
    for round_, changes in history.changes(past).items():
        audits[round_]["changes"] = changes
    verdicts = evaluate.verdicts(said, faces)
    confusion = evaluate.confusion(said, faces, emotions)
    reliability = evaluate.reliability(said, faces, bins)
    coverage = evaluate.coverage(decided)

    doubts = evaluate.doubts(said, faces, emotions)
    report["notes"] += doubts
    documents = {"evaluate": figures, "pseudo_labels": audits, "verdict": verdicts, "data": report}
    documents["summary"] = evaluate.headlines(figures, audits, verdicts)
    for name, document in documents.items():
        write_json(args.out / f"{name}.json", document)
    tables = {"curves": curves, "confusion": confusion, "reliability": reliability, "coverage": coverage}
    for name, rows in tables.items():
        write_csv(args.out / f"{name}.csv", rows)
    write_csv(args.history, history.faces(past, pool, emotions))
    plots.curves(args.out / "curves.png", curves)
    plots.confusion(args.out / "confusion.png", confusion, emotions)
    plots.reliability(args.out / "reliability.png", reliability)
    plots.coverage(
        args.out / "coverage.png", coverage, {round_: labels.thresholds for round_, labels in decided.items()}
    )
    audit_plot.audit(args.out / "pseudo_labels.png", audits)
    for doubt in doubts:
        print(f"warning: {doubt}")
    for round_, verdict in verdicts.items():
        print(f"round {round_}: {verdict['verdict']}")


if __name__ == "__main__":
    run(main)
