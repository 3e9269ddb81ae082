"""Predictions, pseudo-labels, curves, table, hidden truth -> figures, tables, pictures, faces' histories, a verdict."""

import argparse
from pathlib import Path

from fer.core.files import read_json, write_csv, write_json
from fer.core.labels import read_table, read_truth
from fer.evaluation import audit, evaluate, history
from fer.params import load_params
from fer.predictions.ensembles import read_stored_logits
from fer.reporting.plots import audit_plot, plots
from fer.runtime.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("table", "truth", "report", "predictions", "pseudo-labels", "models", "history", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    chosen = load_params()
    weights, emotions, bins = chosen.ensemble, chosen.emotions, chosen.evaluate.bins

    table, truth = read_table(args.table), read_truth(args.truth)
    faces = evaluate.select_held_out(table, emotions)
    said, decided = {}, {}
    for round_ in chosen.rounds.predict:
        predictions = read_stored_logits(args.predictions / str(round_), weights, emotions, len(table))
        said[round_] = evaluate.calibrate_round(predictions, faces, chosen.seed, weights)
    for round_ in chosen.rounds.retrain:
        decided[round_] = evaluate.read_pseudo_labels(args.pseudo_labels / str(round_), table, truth, emotions)
    curves = evaluate.read_learning_curves(args.models, chosen.rounds.predict, weights)

    figures = evaluate.evaluate_rounds(said, faces, emotions, bins)
    report = read_json(args.report)
    estimates = audit.read_estimates(args.pseudo_labels, chosen.rounds.retrain)
    audits = audit.complete_audits(evaluate.audit_rounds(decided, emotions), estimates, table, report, emotions)
    pool = table[table["fold"] == "unlabelled"]
    for labels in decided.values():
        pool = table.iloc[labels.rows]  # the same for all: without the faces that people reviewed
    past = history.build_history(decided, len(pool))
    for round_, changes in history.count_changes(past).items():
        audits[round_]["changes"] = changes
    verdicts = evaluate.compare_rounds(said, faces)
    confusion = evaluate.confusion_table(said, faces, emotions)
    reliability = evaluate.reliability_table(said, faces, bins)
    coverage = evaluate.coverage_table(decided)

    doubts = evaluate.sanity_warnings(said, faces, emotions)
    report["notes"] += doubts
    documents = {"evaluate": figures, "pseudo_labels": audits, "verdict": verdicts, "data": report}
    documents["summary"] = evaluate.summary_metrics(figures, audits, verdicts)
    for name, document in documents.items():
        write_json(args.out / f"{name}.json", document)
    tables = {"curves": curves, "confusion": confusion, "reliability": reliability, "coverage": coverage}
    for name, rows in tables.items():
        write_csv(args.out / f"{name}.csv", rows)
    write_csv(args.history, history.history_table(past, pool, emotions))
    plots.plot_learning_curves(args.out / "curves.png", curves)
    plots.plot_confusion(args.out / "confusion.png", confusion, emotions)
    plots.plot_reliability(args.out / "reliability.png", reliability)
    plots.plot_coverage(
        args.out / "coverage.png", coverage, {round_: labels.thresholds for round_, labels in decided.items()}
    )
    audit_plot.plot_audit(args.out / "pseudo_labels.png", audits)
    for doubt in doubts:
        print(f"warning: {doubt}")
    for round_, verdict in verdicts.items():
        print(f"round {round_}: {verdict['verdict']}")


if __name__ == "__main__":
    run_stage(main)
