"""The tables of the report and the texts made of figures: networks, emotions, confidence, pseudo-labels and data."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fer.core.formatting import MISSING_TEXT, format_metric, format_percent
from fer.core.labels import EMOTIONS, ENSEMBLE, FOLDS

MAX_CONFUSIONS = 5  # told in words
Metrics = Mapping[str, Any]


class Table(NamedTuple):
    """A table whose first column names the rows. The columns `words` hold text, the others figures."""

    caption: str
    head: Sequence[str]
    rows: Iterable[Sequence[object]]
    words: Sequence[str] = ()


def accuracy_section(evaluation: Metrics) -> list[Table]:
    """Return a row for each round and network, and for the ensemble of several, then a row for each source."""
    head = ["round", "network", "test accuracy", "single crop", "without twins", "macro F1", "calibration error"]
    rows = []
    for round_, networks in evaluation.items():
        for name, of in networks.items():
            if name != ENSEMBLE or len(networks) > 2:
                test, before = of["test"], of["ece_before_calibration"].get("test")
                rows.append([
                    round_,
                    "their vote" if name == ENSEMBLE else name,
                    format_metric(test, "accuracy"),
                    format_percent(of.get("single_crop", {}).get("test")),
                    format_percent(of["test_without_twins"].get("accuracy")),
                    format_percent(test.get("macro_f1")),
                    f"{format_percent(before)} → {format_percent(test.get('ece'))}" if "ece" in test else MISSING_TEXT,
                    format_percent(of["valid"].get("accuracy")),
                ])  # fmt: skip
    by_source = evaluation[list(evaluation)[-1]][ENSEMBLE]["test_by_source"]
    each = [
        [source, of["n"], format_metric(of, "accuracy"), format_percent(of.get("macro_f1"))]
        for source, of in by_source.items()
    ]
    return [
        Table("All rounds and networks", [*head, "on validation"], rows, ["network"]),
        Table("The last round, by source", ["source", "test faces", "accuracy", "macro F1"], each),
    ]


def emotion_section(test: Metrics, last: str) -> Table:
    """Return the figures of each emotion on the `test` fold in the round `last`."""
    head = ["emotion", "test faces", "of these found (recall)", "of those named right (precision)", "F1"]
    rows = [
        [
            emotion,
            of["support"],
            format_percent(of.get("recall")),
            format_percent(of.get("precision")),
            format_percent(of.get("f1")),
        ]
        for emotion, of in test.get("per_emotion", {}).items()
    ]
    return Table(f"Emotions on the test faces, round {last}", head, rows)


def mistakes(test: Metrics, last: str, confusion: Path) -> list[str]:
    """Return the commonest mistakes on the `test` fold in the round `last`."""
    faces = pd.read_csv(confusion, dtype=str)
    faces = faces[faces["round"] == last]
    pairs = Counter(zip(faces["actual"], faces["predicted"], strict=True))
    shares = [
        (count / test["per_emotion"][actual]["support"], actual, other)
        for (actual, other), count in pairs.items()
        if actual != other
    ]
    return [
        f"{format_percent(share)} of {actual} are taken for {other}"
        for share, actual, other in sorted(shares, reverse=True)[:MAX_CONFUSIONS]
    ]


def calibration_errors(figured: Metrics) -> list[str]:
    return [
        f"round {round_} {format_percent(of[ENSEMBLE]['ece_before_calibration'].get('test'))} before calibration, "
        f"{format_percent(of[ENSEMBLE]['test'].get('ece'))} after it"
        for round_, of in figured.items()
    ]


def pseudo_label_section(audits: Metrics) -> list[Table]:
    """Return how many pseudo-labels were accepted and are right, by emotion, and what changed between rounds."""
    head = ["emotion", "accepted", "right, in truth", "right, as estimated", "share of labelled"]
    head.append("share with pseudo-labels")
    tables = []
    for round_, audit in audits.items():
        rows = [
            [
                emotion,
                of.get("accepted", 0),
                format_metric(of, "precision"),
                format_metric(of, "estimated_precision"),
                format_percent(of.get("share_of_labelled")),
                format_percent(of.get("share_with_pseudo_labels")),
            ]
            for emotion, of in ({"all": audit} | audit["per_emotion"]).items()
        ]
        accepted = f"{audit['accepted']:,}" if audit["accepted"] else "none"
        tables.append(Table(f"Round {round_} learned from {accepted} of {audit['unlabelled']:,} faces", head, rows))
    changes = {round_: audit["changes"] for round_, audit in audits.items() if "changes" in audit}
    if len(changes) > 1:
        names = ["new", "kept", "dropped", "flipped", "wrong_to_right", "right_to_wrong"]
        head = ["round", "new", "kept", "dropped", "taken for another emotion", "of these to right", "to wrong"]
        rows = [[round_, *(of[name] for name in names)] for round_, of in changes.items()]
        tables.append(Table("From round to round", head, rows))
    return tables


def data_section(report: Metrics) -> dict[str, Any]:
    """Return the tables, the notes and the count of each fold that tell where the faces come from."""
    folds = {fold: count for fold in FOLDS if (count := report["folds"].get(fold))}
    sources = [[name, *(of.get(fold, 0) for fold in folds)] for name, of in report["sources"].items()]
    supplied = [
        [name, of["reader"], of["pictures"], of["faces"], _format_counts(of["dropped"] | of["left_out"]), of["terms"]]
        for name, of in report["supplied"].items()
    ]
    labelled = {fold: of for fold, of in report["emotions"].items() if of}
    balance = [
        [
            emotion,
            *(
                f"{of.get(emotion, 0):,} ({format_percent(of.get(emotion, 0) / sum(of.values()))})"
                for of in labelled.values()
            ),
        ]
        for emotion in EMOTIONS
        if any(emotion in of for of in labelled.values())
    ]
    notes = [*report["notes"], *(f"{name}: {note}" for name, of in report["supplied"].items() for note in of["notes"])]
    identical, similar = (report[f"{kind}_twins_as_supplied"] for kind in ("identical", "similar"))
    twins = [[pair.replace("_", " "), identical[pair], similar[pair]] for pair in identical]
    words = ["read by", "left out", "terms"]
    return {
        "faces": report["faces"],
        "names": list(report["sources"]),
        "folds": _format_counts(folds),
        "notes": notes,
        "sources": Table("Sources", ["source", *folds], sources),
        "supplied": Table("As supplied", ["source", "read by", "pictures", "faces", *words[1:]], supplied, words),
        "balance": Table("Class balance of the labelled faces", ["emotion", *labelled], balance),
        "excluded": Table("Excluded", ["reason", "faces"], report["excluded"].items()),
        "twins": Table(
            "Faces with a twin in another fold, as supplied", ["faces", "identical", "nearly identical"], twins
        ),
    }


def _format_counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counted.items()) or MISSING_TEXT
