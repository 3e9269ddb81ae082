"""Trained networks, predictions, table, report and pseudo-labels -> the bundle that `fer predict` loads."""

import argparse
from pathlib import Path

import numpy as np

from fer.core.files import atomic_write_folder, read_json
from fer.core.labels import encode_labels, read_table
from fer.nn import weights
from fer.params import load_params
from fer.predictions.ensembles import calibrate_ensemble, read_stored_logits
from fer.pseudo_labels.policy import collect_evidence
from fer.pseudo_labels.selection import thresholds
from fer.runtime.stage import run_stage
from fer.serving.package import bundle
from fer.serving.package import card as package_card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("table", "report", "models", "predictions", "pseudo-labels", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    chosen = load_params()

    voters = {name: weight for name, weight in chosen.ensemble.items() if weight}
    table = read_table(args.table)
    label = encode_labels(table["emotion"], chosen.emotions)
    valid = (table["fold"] == "valid").to_numpy()
    answers, accuracy = {}, {}
    for number in chosen.rounds.predict if chosen.package.round == "best" else [chosen.package.round]:
        said = read_stored_logits(args.predictions / str(number), voters, chosen.emotions, len(table))
        logits = {name: prediction.logits for name, prediction in said.items()}
        answers[number] = calibrate_ensemble(logits, label, valid, chosen.seed, voters)
        accuracy[number] = (answers[number].ensemble_probs[valid].argmax(axis=1) == label[valid]).mean()
    best = max(accuracy, key=accuracy.__getitem__)

    fold, everyone = table["fold"].to_numpy(dtype=object), np.ones(len(table), dtype=bool)
    evidence = collect_evidence(
        answers[best].ensemble_probs, label, fold, everyone, "none"
    )  # of faces to come no frequencies are known
    needed = thresholds(evidence, chosen.pseudo_label.active_policy, chosen.emotions)

    trained = args.models / str(best)
    about = bundle.PackageManifest(
        round=best,
        emotions=tuple(chosen.emotions),
        size=weights.read_model_config(trained / next(iter(voters))).size,
        align=chosen.ingest.align,
        views=tuple(chosen.predict.views),
        precision=chosen.precision,
        vote=voters,
        temperatures=answers[best].temperatures,
        thresholds=dict(zip(chosen.emotions, needed, strict=True)),
        weights_sha256={name: weights.hash_weights(trained / name) for name in voters},
    )
    learnt = read_json(args.pseudo_labels / str(best) / "summary.json") if best else None
    card = package_card.render_card(
        about, answers[best].ensemble_probs, table, read_json(args.report), learnt, chosen.evaluate.bins
    )
    with atomic_write_folder(args.out) as out:
        bundle.save_package(about, trained, out)
        (out / "card.md").write_text(card, encoding="utf-8")
    print(f"packaged round {best} of {', '.join(voters)}")


if __name__ == "__main__":
    run_stage(main)
