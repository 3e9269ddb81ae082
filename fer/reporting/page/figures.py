"""The tables of the report and the sentences made from metrics."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fer.core.formatting import MISSING_TEXT, format_metric, format_percent
from fer.core.labels import EMOTIONS, ENSEMBLE, FOLDS

CORRECTED_TEXT = "corrected to the class frequencies of validation"
MAX_CONFUSIONS = 5  # listed below the confusion matrix
Metrics = Mapping[str, Any]


class Table(NamedTuple):
    """A table whose first column names the rows. The columns in `text_columns` hold text, all others numbers."""

    caption: str
    head: Sequence[str]
    rows: Iterable[Sequence[object]]
    text_columns: Sequence[str] = ()


def accuracy_section(evaluation: Metrics) -> list[Table]:
    """Return a table of all rounds and networks, with ensembles of several networks, and a table by source.

    Below each network is a row of its predictions corrected to the class frequencies of the validation fold.
    """
    head = ["round", "network", "test accuracy", "single crop", "without twins", "macro F1", "calibration error"]
    rows = []
    for round_, networks in evaluation.items():
        for name, metrics in networks.items():
            if name != ENSEMBLE or len(networks) > 2:
                rows.append(_accuracy_row(round_, name, metrics))
                rows.append(_accuracy_row(round_, f"{name}, {CORRECTED_TEXT}", metrics["corrected_to_prior"]))
    by_source = evaluation[list(evaluation)[-1]][ENSEMBLE]["test_by_source"]
    source_rows = [
        [source, metrics["n"], format_metric(metrics, "accuracy"), format_percent(metrics.get("macro_f1"))]
        for source, metrics in by_source.items()
    ]
    return [
        Table("All rounds and networks", [*head, "on validation"], rows, ["network"]),
        Table("The last round, by source", ["source", "test faces", "accuracy", "macro F1"], source_rows),
    ]


def _accuracy_row(round_: str, name: str, metrics: Metrics) -> list[str]:
    test, raw_ece = metrics["test"], metrics.get("ece_before_calibration", {}).get("test")
    ece = format_percent(test.get("ece"))
    return [
        round_,
        name,
        format_metric(test, "accuracy"),
        format_percent(metrics.get("single_crop", {}).get("test")),
        format_percent(metrics["test_without_twins"].get("accuracy")),
        format_percent(test.get("macro_f1")),
        ece if raw_ece is None else f"{format_percent(raw_ece)} → {ece}",
        format_percent(metrics["valid"].get("accuracy")),
    ]


def emotion_section(test: Metrics, last: str) -> Table:
    """Return the metrics of each emotion on the `test` fold in the round `last`."""
    head = ["emotion", "test faces", "recall", "precision", "F1"]
    rows = [
        [emotion, metrics["support"], *(format_percent(metrics.get(key)) for key in ("recall", "precision", "f1"))]
        for emotion, metrics in test.get("per_emotion", {}).items()
    ]
    return Table(f"Emotions on the test faces, round {last}", head, rows)


def common_confusions(test: Metrics, last: str, confusion: Path) -> list[str]:
    """Return the most frequent confusions on the `test` fold in the round `last`, as sentences."""
    faces = pd.read_csv(confusion, dtype=str)
    faces = faces[faces["round"] == last]
    pairs = Counter(zip(faces["actual"], faces["predicted"], strict=True))
    shares = [
        (count / test["per_emotion"][actual]["support"], actual, predicted)
        for (actual, predicted), count in pairs.items()
        if actual != predicted
    ]
    return [
        f"{format_percent(share)} of {actual} are predicted as {predicted}"
        for share, actual, predicted in sorted(shares, reverse=True)[:MAX_CONFUSIONS]
    ]


def calibration_errors(evaluation: Metrics) -> list[str]:
    ensembles = {round_: networks[ENSEMBLE] for round_, networks in evaluation.items()}
    return [
        f"round {round_} {format_percent(ensemble['ece_before_calibration'].get('test'))} before calibration, "
        f"{format_percent(ensemble['test'].get('ece'))} after it"
        for round_, ensemble in ensembles.items()
    ]


def pseudo_label_section(audits: Metrics) -> list[Table]:
    """Return a table of counts and precision by emotion for each round, and a table of changes between rounds."""
    head = ["emotion", "accepted", "precision", "estimated precision", "share of labelled", "share with pseudo-labels"]
    tables = []
    for round_, audit in audits.items():
        rows = [
            [
                emotion,
                metrics.get("accepted", 0),
                *(format_metric(metrics, key) for key in ("precision", "estimated_precision")),
                *(format_percent(metrics.get(key)) for key in ("share_of_labelled", "share_with_pseudo_labels")),
            ]
            for emotion, metrics in ({"all": audit} | audit["per_emotion"]).items()
        ]
        accepted = f"{audit['accepted']:,}" if audit["accepted"] else "none"
        tables.append(Table(f"Round {round_} used {accepted} of {audit['unlabelled']:,} faces", head, rows))
    changes = {round_: audit["changes"] for round_, audit in audits.items() if "changes" in audit}
    if len(changes) > 1:
        names = ["new", "kept", "dropped", "flipped", "wrong_to_right", "right_to_wrong"]
        head = ["round", "new", "kept", "dropped", "relabelled", "wrong to right", "right to wrong"]
        rows = [[round_, *(counts[name] for name in names)] for round_, counts in changes.items()]
        tables.append(Table("Changes from round to round", head, rows))
    return tables


def data_section(report: Metrics) -> dict[str, Any]:
    """Return the tables, notes and fold counts of the data section."""
    folds = {fold: count for fold in FOLDS if (count := report["folds"].get(fold))}
    sources = [[name, *(counts.get(fold, 0) for fold in folds)] for name, counts in report["sources"].items()]
    supplied = [
        [name, source["reader"], source["pictures"], source["faces"], _format_skipped(source), source["terms"]]
        for name, source in report["supplied"].items()
    ]
    labelled = {fold: counts for fold, counts in report["emotions"].items() if counts}
    balance = [
        [
            emotion,
            *(
                f"{counts.get(emotion, 0):,} ({format_percent(counts.get(emotion, 0) / sum(counts.values()))})"
                for counts in labelled.values()
            ),
        ]
        for emotion in EMOTIONS
        if any(emotion in counts for counts in labelled.values())
    ]
    notes = report["notes"] + [
        f"{name}: {note}" for name, source in report["supplied"].items() for note in source["notes"]
    ]
    identical, similar = (report[f"{kind}_twins_as_supplied"] for kind in ("identical", "similar"))
    twins = [[pair.replace("_", " "), identical[pair], similar[pair]] for pair in identical]
    head = ["source", "reader", "images", "faces", "left out", "terms"]
    return {
        "faces": report["faces"],
        "names": list(report["sources"]),
        "folds": _format_counts(folds),
        "notes": notes,
        "sources": Table("Sources", ["source", *folds], sources),
        "supplied": Table("As supplied", head, supplied, ["reader", "left out", "terms"]),
        "balance": Table("Class balance of the labelled faces", ["emotion", *labelled], balance),
        "excluded": Table("Excluded", ["reason", "faces"], report["excluded"].items()),
        "twins": Table(
            "Faces with a twin in another fold, as supplied", ["faces", "identical", "nearly identical"], twins
        ),
    }


def _format_skipped(source: Metrics) -> str:
    return _format_counts(source["dropped"] | source["left_out"])


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or MISSING_TEXT
