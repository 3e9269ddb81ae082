"""Predictions, pseudo-labels, learning curves, table and hidden truth -> metrics, plots and pseudo-label history."""

from fer.core.files import read_json, write_json
from fer.core.table import read_table, read_truth, write_csv
from fer.evaluation import audit, evaluate, history, inputs
from fer.evaluation.verdict import compare_rounds
from fer.params import load_params
from fer.predictions.ensembles import read_stored_logits
from fer.reporting.plots import audit_plot, plots
from fer.runtime.stage import run_stage
from pipeline import parse_paths


def main() -> None:
    args = parse_paths(__doc__, "table", "truth", "report", "predictions", "pseudo-labels", "models", "history", "out")
    params = load_params()
    weights, emotions, bins = params.members, params.emotions, params.evaluate.bins

    table, truth = read_table(args.table), read_truth(args.truth)
    faces = inputs.select_held_out(table, emotions)
    predictions, pseudo_labels = {}, {}
    for round_ in params.rounds.predict:
        logits = read_stored_logits(args.predictions / str(round_), weights, emotions, len(table))
        predictions[round_] = inputs.calibrate_round(logits, faces, params.seed, weights)
    for round_ in params.rounds.retrain:
        pseudo_labels[round_] = inputs.read_pseudo_labels(args.pseudo_labels / str(round_), table, truth, emotions)
    curves = inputs.read_learning_curves(args.models, params.rounds.predict, weights)

    metrics = evaluate.evaluate_rounds(predictions, faces, emotions, bins)
    report = read_json(args.report)
    audits = evaluate.audit_rounds(pseudo_labels, emotions)
    audits = audit.complete_audits(audits, pseudo_labels, table, report, emotions)
    pool = table[table["fold"] == "unlabelled"]
    for labels in pseudo_labels.values():
        pool = table.iloc[labels.rows]  # The pool is the same in all rounds. It has no reviewed faces.
    label_history = history.build_history(pseudo_labels, len(pool))
    for round_, changes in history.count_changes(label_history).items():
        audits[round_]["changes"] = changes
    replicas = [params.members_of(replica) for replica in params.replicas]
    verdicts = compare_rounds(predictions, faces, replicas, emotions, params.seed)
    confusion = evaluate.confusion_table(predictions, faces, emotions)
    reliability = evaluate.reliability_table(predictions, faces, bins)
    coverage = evaluate.coverage_table(pseudo_labels)

    warnings = evaluate.sanity_warnings(predictions, faces, emotions)
    report["notes"] += warnings
    documents = {"evaluate": metrics, "pseudo_labels": audits, "verdict": verdicts, "data": report}
    documents["summary"] = evaluate.summary_metrics(metrics, audits, verdicts)
    for name, document in documents.items():
        write_json(args.out / f"{name}.json", document)
    tables = {"curves": curves, "confusion": confusion, "reliability": reliability, "coverage": coverage}
    for name, rows in tables.items():
        write_csv(args.out / f"{name}.csv", rows)
    write_csv(args.history, history.history_table(label_history, pool, emotions))
    plots.plot_learning_curves(args.out / "curves.png", curves)
    plots.plot_confusion(args.out / "confusion.png", confusion, emotions)
    plots.plot_reliability(args.out / "reliability.png", reliability)
    thresholds = {round_: labels.summary["thresholds"] for round_, labels in pseudo_labels.items()}
    plots.plot_coverage(args.out / "coverage.png", coverage, thresholds)
    audit_plot.plot_audit(args.out / "pseudo_labels.png", audits)
    for warning in warnings:
        print(f"warning: {warning}")
    for round_, verdict in verdicts.items():
        for sentence in filter(None, (verdict["verdict"], verdict["losses"])):
            print(f"round {round_}: {sentence}")


if __name__ == "__main__":
    run_stage(main)
