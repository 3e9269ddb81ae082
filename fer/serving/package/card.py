"""The model card of a package: data, metrics, intended use and limits (Mitchell et al. 2019, arXiv:1810.03993)."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from fer.core.formatting import MISSING_TEXT, format_interval, format_metric, format_percent, markdown_table
from fer.evaluation.inputs import HeldOutFaces, select_held_out
from fer.predictions import metrics
from fer.serving.package.manifest import PackageManifest

MIN_GROUP_FACES = 30  # with fewer faces the interval of a group's accuracy is wider than 30 points
MAX_GROUPS = 10
INTENDED_USE = """## Intended use

Research and teaching on facial expressions and pseudo-labels, and sorting one's own images, where a person checks the
predictions. The networks predict an **apparent expression**; a face does not reliably show what a person feels (Barrett
et al. 2019, doi:10.1177/1529100619832930).

**Not** for decisions about people: hiring, policing, insurance, credit, lie detection, diagnosis, surveillance. In the
European Union, inferring people's emotions at work and in education is prohibited except for medical and safety reasons
(AI Act, Article 5(1)(f)), and people exposed to such a system elsewhere must be informed (Article 50(3))."""


def render_card(
    manifest: PackageManifest,
    probs: Float[np.ndarray, "n classes"],
    table: pd.DataFrame,
    report: Mapping[str, Any],
    pseudo_label_summary: Mapping[str, Any] | None,
    bins: int,
) -> str:
    """Return the card in Markdown, with 95 % intervals.

    Args:
        probs: The package's probabilities of each face of `table`, cross-fitted on the validation fold.
        report: The data report of `unify`.
        pseudo_label_summary: The summary of the pseudo-labels of this round, or None in round 0.
        bins: The number of bins of the calibration error.
    """
    faces = select_held_out(table, manifest.emotions)
    held_out_probs = probs[faces.rows]
    sections = (
        _header(manifest),
        INTENDED_USE,
        _data(manifest, report, pseudo_label_summary),
        _metrics(manifest, held_out_probs, faces, bins),
        _groups(held_out_probs, faces, table),
        _acceptance(manifest, held_out_probs, faces),
        _limits(manifest, held_out_probs, faces, report),
    )
    return "\n\n".join(sections) + "\n"


def _header(manifest: PackageManifest) -> str:
    rows = [
        (f"`{name}`", f"{weight:g}", f"{manifest.temperatures[name]:.3f}", f"`{manifest.weights_sha256[name][:16]}`")
        for name, weight in manifest.vote.items()
    ]
    return f"""# {" + ".join(manifest.vote)}, round {manifest.round}

Apparent facial expression of a grey face of {manifest.size} × {manifest.size} pixels: {", ".join(manifest.emotions)}.
Averaged views: {", ".join(manifest.views)}. Precision: {manifest.precision}.

{markdown_table(("network", "weight in the ensemble", "temperature", "SHA-256 of the weights"), rows)}"""


def _data(manifest: PackageManifest, report: Mapping[str, Any], pseudo_labels: Mapping[str, Any] | None) -> str:
    folds = ("train", "valid", "test", "unlabelled", "excluded")
    sources = [
        (f"`{name}`", *(f"{counts.get(fold, 0):,}" for fold in folds)) for name, counts in report["sources"].items()
    ]
    emotions = [
        (emotion, *(f"{report['emotions'][fold].get(emotion, 0):,}" for fold in folds[:3]))
        for emotion in manifest.emotions
    ]
    terms = [f"- `{name}`: {supplied['terms']}" for name, supplied in report["supplied"].items()]
    unreadable = sum(sum(supplied["dropped"].values()) for supplied in report["supplied"].values())
    reasons = report["excluded"] | ({"unreadable": unreadable} if unreadable else {})
    excluded = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.items())
    sentence = ""
    if pseudo_labels:
        counts = f"{pseudo_labels['accepted']:,} of {pseudo_labels['unlabelled']:,} unlabelled faces"
        sentence = f"\n\nRound {manifest.round} also used {counts}, labelled by round {pseudo_labels['teacher']}."
    return f"""## Data

{markdown_table(("source", *folds), sources)}

{textwrap.fill(f"Excluded: {excluded or 'nothing'}.", 118)}{sentence}

{markdown_table(("emotion", *folds[:3]), emotions)}

The terms of the data owners also apply to these weights:

{chr(10).join(terms)}"""


def _metrics(manifest: PackageManifest, probs: Float[np.ndarray, "n classes"], faces: HeldOutFaces, bins: int) -> str:
    test = faces.test
    sources = dict.fromkeys(faces.sources[test])
    masks = {"test": test, "test, without twins in training": test & ~faces.twin_in_train}
    masks |= {f"test, `{source}`": test & (faces.sources == source) for source in (sources if len(sources) > 1 else ())}
    masks["validation ¹"] = ~test
    rows = []
    for name, mask in masks.items():
        scores = metrics.compute_metrics(probs[mask], faces.labels[mask], manifest.emotions, bins)
        if scores["n"]:
            percents = (format_percent(scores[key]) for key in ("macro_f1", "balanced_accuracy", "ece"))
            rows.append((name, f"{scores['n']:,}", format_metric(scores, "accuracy"), *percents))
    counts = metrics.confusion_matrix(probs[test], faces.labels[test])
    sums = (counts.diagonal().tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist())
    emotions = [
        (
            emotion,
            f"{actual:,}",
            _format_share(right, actual),
            _format_share(right, predicted),
            format_percent(2 * right / (actual + predicted) if actual + predicted else None),
        )
        for emotion, right, actual, predicted in zip(manifest.emotions, *sums, strict=True)
    ]
    return f"""## Metrics

95 % intervals are in brackets. ECE is the expected calibration error after calibration.

{markdown_table(("fold", "faces", "accuracy", "macro F1", "balanced accuracy", "ECE"), rows)}

¹ used to select the epoch, the temperature and the round, so its metrics are optimistic.

{markdown_table(("emotion, test", "faces", "recall", "precision", "F1"), emotions)}"""


def _groups(probs: Float[np.ndarray, "n classes"], faces: HeldOutFaces, table: pd.DataFrame) -> str:
    group = table["group"].to_numpy(dtype=object)[faces.rows][faces.test]
    right = (probs.argmax(axis=1) == faces.labels)[faces.test]
    grouped = pd.DataFrame({"source": faces.sources[faces.test], "group": group, "right": right})[group != ""]
    groups = grouped.groupby(["source", "group"], as_index=False)["right"].agg(["sum", "size"])
    large = groups[groups["size"] >= MIN_GROUP_FACES]
    large = large.assign(share=large["sum"] / large["size"]).sort_values("share", kind="stable")
    rows = [
        (f"`{source}`: {name}", f"{size:,}", _format_share(right, size))
        for source, name, right, size, _ in large.head(MAX_GROUPS).itertuples(index=False)
    ]
    if groups.empty:
        text = "The sources name no groups (persons, films) in the test fold, so there are no metrics by group."
    elif large.empty:
        text = f"None of the {len(groups):,} groups (persons, films) in the test fold has {MIN_GROUP_FACES} faces."
    else:
        text = (
            f"The test fold has {len(groups):,} groups (persons, films), of which {len(large):,} have at least "
            f"{MIN_GROUP_FACES} faces. Their median accuracy is {format_percent(large['share'].median())}, "
            "the lowest accuracies are:\n\n" + markdown_table(("group", "faces", "accuracy"), rows)
        )
    return f"""## Groups

{text}

Age, gender, origin and skin colour of the faces are unknown and were not estimated, so differences in accuracy between
such groups of people have not been measured."""


def _acceptance(manifest: PackageManifest, probs: Float[np.ndarray, "n classes"], faces: HeldOutFaces) -> str:
    probs, labels = probs[faces.test], faces.labels[faces.test]
    thresholds = np.array([manifest.thresholds[emotion] for emotion in manifest.emotions])[probs.argmax(axis=1)]
    audit = metrics.audit_pseudo_labels(probs, probs.max(axis=1) >= thresholds, labels, manifest.emotions)
    audits = {"all": audit} | audit.get("per_emotion", {})
    rows = [
        (
            name,
            _format_threshold(manifest.thresholds.get(name)),
            f"{scores['n']:,}",
            format_percent(scores.get("coverage")),
            format_metric(scores, "precision"),
        )
        for name, scores in audits.items()
    ]
    return f"""## Acceptance

The networks abstain if the confidence is below the threshold of the predicted emotion. On the test fold:

{markdown_table(("predicted", "threshold", "faces", "accepted", "precision"), rows)}"""


def _limits(
    manifest: PackageManifest, probs: Float[np.ndarray, "n classes"], faces: HeldOutFaces, report: Mapping[str, Any]
) -> str:
    counts = metrics.confusion_matrix(probs[faces.test], faces.labels[faces.test])
    recall = {
        emotion: scores["recall"]
        for emotion, scores in metrics.per_emotion_metrics(counts, manifest.emotions).items()
        if "recall" in scores
    }
    lines = ["Expect the error rates above, and more errors on people and in settings unlike those of the sources."]
    if recall:
        worst = min(recall, key=recall.__getitem__)
        lines.append(f"Recall is lowest for {worst}: {format_percent(recall[worst])} of the test faces.")
    if synthetic := [f"`{name}`" for name in report["sources"] if name.startswith("sample_")]:
        lines.append(f"The faces of {', '.join(synthetic)} are drawn: their metrics say nothing about real faces.")
    lines.append("The networks predict an emotion for every image: exclude images without a face.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _format_share(successes: int, n: int) -> str:
    return format_percent(successes / n) + format_interval(metrics.wilson_interval(successes, n)) if n else MISSING_TEXT


def _format_threshold(threshold: float | None) -> str:
    """Return the threshold as text. No confidence reaches a threshold above 1."""
    return "" if threshold is None else "never accepted" if threshold > 1 else f"{threshold:.3g}"
