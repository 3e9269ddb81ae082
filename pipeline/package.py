"""Trained networks, predictions, table, report and pseudo-labels -> the package that `fer predict` loads."""

import numpy as np

from fer.core.files import atomic_write_folder, read_json
from fer.core.labels import encode_labels
from fer.core.table import read_table
from fer.params import load_params
from fer.predictions.ensembles import calibrate_ensemble, read_stored_logits
from fer.predictions.prior import correct_to_prior, uncorrected_emotions
from fer.pseudo_labels.policy import collect_evidence
from fer.pseudo_labels.selection import thresholds
from fer.runtime.stage import run_stage
from fer.serving.package.card import render_card
from fer.serving.package.manifest import PackageManifest, save_package
from pipeline import parse_paths


def main() -> None:
    args = parse_paths(__doc__, "table", "report", "models", "predictions", "pseudo-labels", "out")
    params = load_params()

    members = {name: weight for name, weight in params.members.items() if weight}
    table = read_table(args.table)
    labels = encode_labels(table["emotion"], params.emotions)
    valid = (table["fold"] == "valid").to_numpy()
    ensembles, probs, factors, accuracy, weights_sha256 = {}, {}, {}, {}, {}
    for round_ in params.rounds.predict if params.package.round == "best" else [params.package.round]:
        predictions = read_stored_logits(args.predictions / str(round_), members, params.emotions, len(table))
        logits = {name: predictions[name].logits for name in predictions}
        ensembles[round_] = calibrate_ensemble(logits, labels, valid, params.seed, members)
        weights_sha256[round_] = {name: predictions[name].weights_sha256 for name in members}
        probs[round_] = ensembles[round_].ensemble_probs
        if params.package.prior == "valid":
            probs[round_], factors[round_] = correct_to_prior(probs[round_], labels, valid, params.seed)
        accuracy[round_] = (probs[round_][valid].argmax(axis=1) == labels[valid]).mean()
    best = max(accuracy, key=accuracy.__getitem__)

    fold, agreement = table["fold"].to_numpy(dtype=object), np.ones(len(table), dtype=bool)
    # `pseudo_label.alignment` is to the frequencies of the pool, which say nothing about future images.
    evidence = collect_evidence(probs[best], labels, fold, agreement, "none")
    emotion_thresholds = thresholds(evidence, params.pseudo_label.active_policy, params.emotions)

    models = args.models / str(best)
    manifest = PackageManifest(
        round=best,
        emotions=tuple(params.emotions),
        size=read_json(models / next(iter(members)) / "model.json")["size"],
        align=params.ingest.align,
        views=tuple(params.predict.views),
        precision=params.precision,
        vote=members,
        temperatures=ensembles[best].temperatures,
        prior_factors=dict(zip(params.emotions, factors[best].tolist(), strict=True)) if factors else None,
        thresholds=dict(zip(params.emotions, emotion_thresholds, strict=True)),
        weights_sha256=weights_sha256[best],
    )
    summary = read_json(args.pseudo_labels / str(best) / "summary.json") if best else None
    card = render_card(manifest, probs[best], table, read_json(args.report), summary, params.evaluate.bins)
    with atomic_write_folder(args.out) as out:
        save_package(manifest, models, out)
        (out / "card.md").write_text(card, encoding="utf-8")
    print(f"packaged round {best} of {', '.join(members)}")
    if factors and (uncorrected := uncorrected_emotions(labels[valid], params.emotions)):
        print(f"warning: too few validation faces to correct predictions of {', '.join(uncorrected)} (package.prior)")


if __name__ == "__main__":
    run_stage(main)
