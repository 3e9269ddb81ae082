"""The model card of a package: data, metrics, intended use and limits (Mitchell et al. 2019, arXiv:1810.03993).

Its text is in `card.md`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fer.core.formatting import MISSING_TEXT, format_interval, format_metric, format_percent, markdown_table
from fer.core.labels import FOLDS
from fer.evaluation.inputs import HeldOutFaces, select_held_out
from fer.predictions import metrics
from fer.serving.package.manifest import PackageManifest

CARD_TEMPLATE = Path(__file__).with_suffix(".md")
MIN_GROUP_FACES = 30  # with fewer faces the interval of a group's accuracy is wider than 30 points
MAX_GROUPS = 10

_Probs = Float[np.ndarray, "n classes"]
_Row = Sequence[object]


def render_card(
    manifest: PackageManifest,
    probs: _Probs,
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
    test_probs, test_labels = held_out_probs[faces.test], faces.labels[faces.test]
    counts = metrics.confusion_matrix(test_probs, test_labels)
    by_emotion = metrics.per_emotion_metrics(counts, manifest.emotions)
    groups = _group_accuracy(held_out_probs, faces, table)
    large_groups = groups[groups["size"] >= MIN_GROUP_FACES].sort_values("mean", kind="stable")
    unreadable = sum(sum(supplied["dropped"].values()) for supplied in report["supplied"].values())
    excluded = report["excluded"] | ({"unreadable": unreadable} if unreadable else {})
    environment = Environment(
        loader=FileSystemLoader(CARD_TEMPLATE.parent),
        autoescape=False,  # the card is Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _format_number, "percent": format_percent, "table": _format_table}
    return environment.get_template(CARD_TEMPLATE.name).render(
        manifest=manifest,
        report=report,
        pseudo_labels=pseudo_label_summary,
        networks=[
            (
                f"`{name}`",
                f"{weight:g}",
                f"{manifest.temperatures[name]:.3f}",
                f"`{manifest.weights_sha256[name][:16]}`",
            )
            for name, weight in manifest.vote.items()
        ],
        prior_factors=[(emotion, f"{factor:.3f}") for emotion, factor in (manifest.prior_factors or {}).items()],
        sources=[(f"`{name}`", *(counts.get(fold, 0) for fold in FOLDS)) for name, counts in report["sources"].items()],
        excluded=[f"{reason} ({count:,})" for reason, count in excluded.items()],
        balance=[
            (emotion, *(report["emotions"][fold].get(emotion, 0) for fold in FOLDS[:3]))
            for emotion in manifest.emotions
        ],
        folds=_fold_rows(held_out_probs, faces, manifest.emotions, bins),
        emotions=_emotion_rows(counts, manifest.emotions),
        groups=groups,
        large_groups=large_groups,
        worst_groups=[
            (f"`{source}`: {name}", size, _format_share(correct, size))
            for source, name, correct, size, _ in large_groups.head(MAX_GROUPS).itertuples(index=False)
        ],
        min_group_faces=MIN_GROUP_FACES,
        acceptance=_acceptance_rows(manifest, test_probs, test_labels),
        recall={emotion: scores["recall"] for emotion, scores in by_emotion.items() if "recall" in scores},
        drawn=[f"`{name}`" for name in report["sources"] if name.startswith("sample_")],
    )


def _fold_rows(probs: _Probs, faces: HeldOutFaces, emotions: Sequence[str], bins: int) -> Iterator[_Row]:
    """Yield the metrics of the test fold, of its parts and of the validation fold."""
    sources = pd.unique(faces.sources[faces.test])
    masks = {"test": faces.test, "test, without twins in training": faces.test & ~faces.twin_in_train}
    if len(sources) > 1:
        masks |= {f"test, `{source}`": faces.test & (faces.sources == source) for source in sources}
    masks["validation ¹"] = ~faces.test
    for name, mask in masks.items():
        scores = metrics.compute_metrics(probs[mask], faces.labels[mask], emotions, bins)
        if scores["n"]:
            percents = (format_percent(scores[key]) for key in ("macro_f1", "balanced_accuracy", "ece"))
            yield name, scores["n"], format_metric(scores, "accuracy"), *percents


def _emotion_rows(counts: Int[np.ndarray, "classes classes"], emotions: Sequence[str]) -> Iterator[_Row]:
    """Yield recall, precision and F1 of each emotion from a confusion matrix."""
    sums = counts.diagonal().tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    for emotion, correct, actual, predicted in zip(emotions, *sums, strict=True):
        f1 = 2 * correct / (actual + predicted) if actual + predicted else None
        yield emotion, actual, _format_share(correct, actual), _format_share(correct, predicted), format_percent(f1)


def _group_accuracy(probs: _Probs, faces: HeldOutFaces, table: pd.DataFrame) -> pd.DataFrame:
    """Return source, group, sum (of correct predictions), size and mean of each group of test faces."""
    test_faces = pd.DataFrame({
        "source": faces.sources,
        "group": table["group"].to_numpy(dtype=object)[faces.rows],
        "correct": probs.argmax(axis=1) == faces.labels,
    })[faces.test]  # fmt: skip
    in_groups = test_faces[test_faces["group"] != ""].groupby(["source", "group"], as_index=False)
    return in_groups["correct"].agg(["sum", "size", "mean"])


def _acceptance_rows(manifest: PackageManifest, probs: _Probs, labels: Int[np.ndarray, " n"]) -> Iterator[_Row]:
    """Yield the coverage and precision of accepted predictions, overall and by predicted emotion."""
    thresholds = np.array([manifest.thresholds[emotion] for emotion in manifest.emotions])[probs.argmax(axis=1)]
    audit = metrics.audit_pseudo_labels(probs, probs.max(axis=1) >= thresholds, labels, manifest.emotions)
    for name, scores in ({"all": audit} | audit.get("per_emotion", {})).items():
        threshold = _format_threshold(manifest.thresholds.get(name))
        yield name, threshold, scores["n"], format_percent(scores.get("coverage")), format_metric(scores, "precision")


def _format_table(rows: Iterable[_Row], *head: str) -> str:
    return markdown_table(head, [[_format_number(cell) for cell in row] for row in rows])


def _format_number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def _format_share(successes: int, n: int) -> str:
    return format_percent(successes / n) + format_interval(metrics.wilson_interval(successes, n)) if n else MISSING_TEXT


def _format_threshold(threshold: float | None) -> str:
    """Return the threshold as text. No confidence reaches a threshold above 1."""
    return "" if threshold is None else "never accepted" if threshold > 1 else f"{threshold:.3g}"
