"""The model card (Mitchell et al. 2019, arXiv:1810.03993): what a package is made of, how good, and what not for."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from fer.core.formatting import MISSING_TEXT, format_interval, format_metric, format_percent, markdown_table
from fer.evaluation.evaluate import HeldOutFaces, select_held_out
from fer.predictions import metrics
from fer.serving.package.bundle import PackageManifest

MIN_GROUP_FACES = 30  # below that the interval of a group's accuracy is wider than 30 points
MAX_GROUPS = 10
INTENDED_USE = """## Intended use

Research and teaching on facial expressions and pseudo-labels, and sorting one's own pictures, where a person looks at
what the networks say. They name an **apparent expression**; a face does not reliably tell what a person feels (Barrett
et al. 2019, doi:10.1177/1529100619832930).

**Not** for decisions about people: hiring, policing, insurance, credit, lie detection, diagnosis, surveillance. In the
European Union, inferring people's emotions at work and in education is prohibited, but for medical and safety reasons
(AI Act, Article 5(1)(f)), and people exposed to such a system elsewhere must be told (Article 50(3))."""


def render_card(
    manifest: PackageManifest,
    probs: Float[np.ndarray, "n classes"],
    table: pd.DataFrame,
    report: Mapping[str, Any],
    pseudo_label_summary: Mapping[str, Any] | None,
    bins: int,
) -> str:
    """The card in Markdown. Intervals are of 95 %.

    `probs` is what the package says of each face of the `table`, cross-fitted on the validation fold; `report` is what
    `unify` found, `pseudo_label_summary` the summary of the pseudo-labels that the networks learnt from, None in round 0.
    """
    faces = select_held_out(table, manifest.emotions)
    said = probs[faces.rows]
    sections = (
        _header(manifest),
        INTENDED_USE,
        _data(manifest, report, pseudo_label_summary),
        _accuracy(manifest, said, faces, bins),
        _groups(said, faces, table),
        _acceptance(manifest, said, faces),
        _limits(manifest, said, faces, report),
    )
    return "\n\n".join(sections) + "\n"


def _header(about: PackageManifest) -> str:
    rows = [
        (
            f"`{name}`",
            f"{about.vote[name]:g}",
            f"{about.temperatures[name]:.3f}",
            f"`{about.weights_sha256[name][:16]}`",
        )
        for name in about.vote
    ]
    return f"""# {" + ".join(about.vote)}, round {about.round}

Apparent facial expression of a grey face of {about.size} × {about.size} pixels: {", ".join(about.emotions)}.
Views averaged: {", ".join(about.views)}. Precision: {about.precision}.

{markdown_table(("network", "weight in the vote", "temperature", "SHA-256 of the weights"), rows)}"""


def _data(about: PackageManifest, report: Mapping[str, Any], learnt: Mapping[str, Any] | None) -> str:
    folds = ("train", "valid", "test", "unlabelled", "excluded")
    sources = [
        (f"`{name}`", *(f"{counts.get(fold, 0):,}" for fold in folds)) for name, counts in report["sources"].items()
    ]
    emotions = [
        (emotion, *(f"{report['emotions'][fold].get(emotion, 0):,}" for fold in folds[:3]))
        for emotion in about.emotions
    ]
    terms = [f"- `{name}`: {supplied['terms']}" for name, supplied in report["supplied"].items()]
    unread = sum(sum(supplied["dropped"].values()) for supplied in report["supplied"].values())
    reasons = report["excluded"] | ({"could not be read": unread} if unread else {})
    left_out = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.items())
    pseudo = ""
    if learnt:
        counts = f"{learnt['accepted']:,} of {learnt['unlabelled']:,}"
        labelled = f"as round {learnt['teacher']} labelled them"
        pseudo = f"\n\nRound {about.round} also learnt from {counts} unlabelled faces, {labelled}."
    return f"""## Data

{markdown_table(("source", *folds), sources)}

{textwrap.fill(f"Left out: {left_out or 'nothing'}.", 118)}{pseudo}

{markdown_table(("emotion", *folds[:3]), emotions)}

The owners' terms hold for these weights too:

{chr(10).join(terms)}"""


def _accuracy(about: PackageManifest, said: Float[np.ndarray, "n classes"], faces: HeldOutFaces, bins: int) -> str:
    test = faces.test
    sources = dict.fromkeys(faces.sources[test])
    masks = {"test": test, "test, without twins in training": test & ~faces.twin_in_train}
    masks |= {f"test, `{source}`": test & (faces.sources == source) for source in (sources if len(sources) > 1 else ())}
    masks["validation ¹"] = ~test
    rows = []
    for name, mask in masks.items():
        of = metrics.compute_metrics(said[mask], faces.labels[mask], about.emotions, bins)
        if of["n"]:
            others = (format_percent(of[key]) for key in ("macro_f1", "balanced_accuracy", "ece"))
            rows.append((name, f"{of['n']:,}", format_metric(of, "accuracy"), *others))
    counts = metrics.confusion_matrix(said[test], faces.labels[test])
    sums = (counts.diagonal().tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist())
    emotions = [
        (
            emotion,
            f"{actual:,}",
            _format_share(right, actual),
            _format_share(right, taken),
            format_percent(2 * right / (actual + taken) if actual + taken else None),
        )
        for emotion, right, actual, taken in zip(about.emotions, *sums, strict=True)
    ]
    return f"""## Figures

95 % intervals in brackets. ECE is the expected calibration error, after calibration.

{markdown_table(("fold", "faces", "accuracy", "macro F1", "balanced accuracy", "ECE"), rows)}

¹ chose the epoch, the temperature and the round, and so looks better than new faces will.

{markdown_table(("emotion, test", "faces", "recall", "precision", "F1"), emotions)}"""


def _groups(said: Float[np.ndarray, "n classes"], faces: HeldOutFaces, table: pd.DataFrame) -> str:
    group = table["group"].to_numpy(dtype=object)[faces.rows][faces.test]
    right = (said.argmax(axis=1) == faces.labels)[faces.test]
    each = pd.DataFrame({"source": faces.sources[faces.test], "group": group, "right": right})[group != ""]
    found = each.groupby(["source", "group"], as_index=False)["right"].agg(["sum", "size"])
    large = found[found["size"] >= MIN_GROUP_FACES]
    large = large.assign(share=large["sum"] / large["size"]).sort_values("share", kind="stable")
    rows = [
        (f"`{source}`: {name}", f"{size:,}", _format_share(right, size))
        for source, name, right, size, _ in large.head(MAX_GROUPS).itertuples(index=False)
    ]
    if found.empty:
        told = "The sources tell no groups (persons, films) in the test fold, so there are no figures by group."
    elif large.empty:
        told = f"None of the {len(found):,} groups (persons, films) in the test fold has {MIN_GROUP_FACES} faces."
    else:
        told = (
            f"Of {len(found):,} groups (persons, films) in the test fold {len(large):,} have {MIN_GROUP_FACES} faces and "
            f"more; the median of their accuracies is {format_percent(large['share'].median())}, the lowest are:\n\n"
            + markdown_table(("group", "faces", "accuracy"), rows)
        )
    return f"""## Groups

{told}

Age, gender, origin and skin colour are not known of any face, nor guessed: how much worse the networks are for some
people than for others has not been measured."""


def _acceptance(about: PackageManifest, said: Float[np.ndarray, "n classes"], faces: HeldOutFaces) -> str:
    probs, labels = said[faces.test], faces.labels[faces.test]
    needed = np.array([about.thresholds[emotion] for emotion in about.emotions])[probs.argmax(axis=1)]
    audit = metrics.audit_pseudo_labels(probs, probs.max(axis=1) >= needed, labels, about.emotions)
    of_all = {"all": audit} | audit.get("per_emotion", {})
    rows = [
        (
            name,
            _format_threshold(about.thresholds.get(name)),
            f"{of['n']:,}",
            format_percent(of.get("coverage")),
            format_metric(of, "precision"),
        )
        for name, of in of_all.items()
    ]
    return f"""## Acceptance

A prediction less sure than its emotion's threshold is not accepted: the networks abstain. On the test fold:

{markdown_table(("taken for", "threshold", "faces", "accepted", "of these right"), rows)}"""


def _limits(
    about: PackageManifest, said: Float[np.ndarray, "n classes"], faces: HeldOutFaces, report: Mapping[str, Any]
) -> str:
    counts = metrics.confusion_matrix(said[faces.test], faces.labels[faces.test])
    recall = {
        emotion: of["recall"]
        for emotion, of in metrics.per_emotion_metrics(counts, about.emotions).items()
        if "recall" in of
    }
    lines = ["It is wrong at the rates above, and more often on people and in settings unlike those of the sources."]
    if recall:
        least = min(recall, key=recall.__getitem__)
        lines.append(f"It recognises {least} the least: {format_percent(recall[least])} of the test faces.")
    if drawn := [f"`{name}`" for name in report["sources"] if name.startswith("sample_")]:
        lines.append(f"The faces of {', '.join(drawn)} are drawn: figures on them say nothing about real faces.")
    lines.append("It always names one of its emotions, whatever is in the picture: what is no face must be kept away.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _format_share(successes: int, n: int) -> str:
    return format_percent(successes / n) + format_interval(metrics.wilson_interval(successes, n)) if n else MISSING_TEXT


def _format_threshold(threshold: float | None) -> str:
    """As text; above 1 no confidence reaches it."""
    return "" if threshold is None else "never accepted" if threshold > 1 else f"{threshold:.3g}"
