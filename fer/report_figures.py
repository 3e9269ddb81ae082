"""The parts of the report that are made of figures: of networks, emotions, confidence, pseudo-labels and data."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fer.labels import EMOTIONS, FOLDS
from fer.markup import PLOT, bullets, paragraph, picture, table
from fer.percentages import NONE, figure, percent

VOTE = "ensemble"  # the key of the networks' vote in evaluate.json
MISTAKES = 5  # told in words
Figures = Mapping[str, Any]


def figures(figured: Figures) -> str:
    """A row for each round and network, and for the vote where there are several."""
    head = ["round", "network", "test accuracy", "single crop", "without twins", "macro F1", "calibration error"]
    rows = []
    for round_, networks in figured.items():
        for name, of in networks.items():
            if name != VOTE or len(networks) > 2:
                test, before = of["test"], of["ece_before_calibration"].get("test")
                rows.append([
                    round_,
                    "their vote" if name == VOTE else name,
                    figure(test, "accuracy"),
                    percent(of.get("single_crop", {}).get("test")),
                    percent(of["test_without_twins"].get("accuracy")),
                    percent(test.get("macro_f1")),
                    f"{percent(before)} → {percent(test.get('ece'))}" if "ece" in test else NONE,
                    percent(of["valid"].get("accuracy")),
                ])  # fmt: skip
    by_source = figured[list(figured)[-1]][VOTE]["test_by_source"]
    each = [[source, of["n"], figure(of, "accuracy"), percent(of.get("macro_f1"))] for source, of in by_source.items()]
    return table("All rounds and networks", [*head, "on validation"], rows, ["network"]) + table(
        "The last round, by source", ["source", "test faces", "accuracy", "macro F1"], each
    )


def emotions(figured: Figures, metrics: Path) -> str:
    """The commonest mistakes in words, the figures of each emotion, the confusion."""
    last = list(figured)[-1]
    test = figured[last][VOTE]["test"]
    if not test["n"]:
        return paragraph("There are no test faces.")
    faces = pd.read_csv(metrics / "confusion.csv", dtype=str)
    faces = faces[faces["round"] == last]
    wrong = Counter(zip(faces["actual"], faces["predicted"], strict=True))
    shares = [
        (count / test["per_emotion"][actual]["support"], actual, other) for (actual, other), count in wrong.items()
    ]
    shares = sorted((of for of in shares if of[1] != of[2]), reverse=True)
    mistakes = [f"{percent(share)} of {actual} are taken for {other}" for share, actual, other in shares[:MISTAKES]]
    rows = [
        [emotion, of["support"], percent(of.get("recall")), percent(of.get("precision")), percent(of.get("f1"))]
        for emotion, of in test["per_emotion"].items()
    ]
    head = ["emotion", "test faces", "of these found (recall)", "of those named right (precision)", "F1"]
    alt = f"Confusion matrix of the test faces, for each round. Round {last}: {'; '.join(mistakes)}"
    return (
        paragraph(f"The commonest mistakes of round {last}:" if mistakes else "All test faces are right.")
        + bullets(mistakes)
        + picture(metrics / "confusion.png", alt, **PLOT)
        + table(f"Emotions on the test faces, round {last}", head, rows)
    )


def confidence(figured: Figures, metrics: Path) -> str:
    errors = [
        f"round {round_} {percent(of[VOTE]['ece_before_calibration'].get('test'))} before calibration, "
        f"{percent(of[VOTE]['test'].get('ece'))} after it"
        for round_, of in figured.items()
    ]
    return picture(metrics / "reliability.png", f"Share right by confidence. Error: {'; '.join(errors)}", **PLOT)


def pseudo_labels(audits: Figures, metrics: Path) -> str:
    """What was accepted, and how much of it is right: in pictures, by emotion, from round to round."""
    if not audits:
        return paragraph("No round learned from pseudo-labels; `fer rounds 1` adds one.")
    by_threshold = "What one threshold for all emotions would accept, and how much of that would be right"
    parts = [
        paragraph(f"{by_threshold}. Lines are at the thresholds that were chosen."),
        picture(metrics / "coverage.png", by_threshold, **PLOT),
        picture(
            metrics / "pseudo_labels.png",
            "Of each emotion how many are right and how frequent it is, as in the table",
            **PLOT,
        ),
    ]
    head = [
        "emotion",
        "accepted",
        "right, in truth",
        "right, as estimated",
        "share of labelled",
        "share with pseudo-labels",
    ]
    for round_, audit in audits.items():
        rows = [
            [
                emotion,
                of.get("accepted", 0),
                figure(of, "precision"),
                figure(of, "estimated_precision"),
                percent(of.get("share_of_labelled")),
                percent(of.get("share_with_pseudo_labels")),
            ]
            for emotion, of in ({"all": audit} | audit["per_emotion"]).items()
        ]
        accepted = f"{audit['accepted']:,}" if audit["accepted"] else "none"
        parts.append(table(f"Round {round_} learned from {accepted} of {audit['unlabelled']:,} faces", head, rows))
    changes = {round_: audit["changes"] for round_, audit in audits.items() if "changes" in audit}
    if len(changes) > 1:
        names = ["new", "kept", "dropped", "flipped", "wrong_to_right", "right_to_wrong"]
        head = ["round", "new", "kept", "dropped", "taken for another emotion", "of these to right", "to wrong"]
        parts.append(
            table("From round to round", head, [[key, *(of[name] for name in names)] for key, of in changes.items()])
        )
    return "".join(parts)


def data(report: Figures, sheets: Path, preview: Path) -> str:
    """Where the faces come from and what became of them."""
    folds = [fold for fold in FOLDS if report["folds"].get(fold)]
    counts = ", ".join(f"{report['folds'][fold]:,} {fold}" for fold in folds)
    sources = [[name, *(of.get(fold, 0) for fold in folds)] for name, of in report["sources"].items()]
    supplied = [
        [name, of["reader"], of["pictures"], of["faces"], _counts(of["dropped"] | of["left_out"]), of["terms"]]
        for name, of in report["supplied"].items()
    ]
    labelled = {fold: of for fold, of in report["emotions"].items() if of}
    balance = [
        [
            emotion,
            *(f"{of.get(emotion, 0):,} ({percent(of.get(emotion, 0) / sum(of.values()))})" for of in labelled.values()),
        ]
        for emotion in EMOTIONS
        if any(emotion in of for of in labelled.values())
    ]
    notes = [*report["notes"], *(f"{name}: {note}" for name, of in report["supplied"].items() for note in of["notes"])]
    identical, similar = (report[f"{kind}_twins_as_supplied"] for kind in ("identical", "similar"))
    twins = [[pair.replace("_", " "), identical[pair], similar[pair]] for pair in identical]
    return "".join([
        paragraph(f"{report['faces']:,} faces from {len(sources)} sources: {counts}."),
        table("Sources", ["source", *folds], sources),
        table(
            "As supplied",
            ["source", "read by", "pictures", "faces", "left out", "terms"],
            supplied,
            ["read by", "left out", "terms"],
        ),
        bullets(notes),
        table("Class balance of the labelled faces", ["emotion", *labelled], balance),
        table("Excluded", ["reason", "faces"], report["excluded"].items()),
        table("Faces with a twin in another fold, as supplied", ["faces", "identical", "nearly identical"], twins),
        *(
            picture(sheets / f"{name}.png", f"Faces, counts, brightness of {name}; what was left out", least=0.6)
            for name in report["sources"]
        ),
        picture(preview, "What augmentation does to faces, a row for each", **PLOT),
    ])  # fmt: skip


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or NONE
