"""The pages of pictures that `explain` writes, and what the report says of each."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8

from fer.nn.weights import Voter
from fer.reporting.explanation import saliency, selection
from fer.reporting.explanation.heatmaps import (
    ABREAST,
    CELLS_KEY,
    HEAT_KEY,
    Row,
    cells,
    enlarged,
    gallery,
    overlay,
    page,
)

Faces = UInt8[np.ndarray, "n size size"]
Probs = Float[np.ndarray, "n classes"]
Codes = Int[np.ndarray, " n"]
Page = dict[str, str]  # part (tests, pseudo_labels, ways or maps), file, title, alt

CHANNELS = 8  # shown of a map
ABOUT = "Below each face what in it speaks for the likelier of the two emotions"


def test_pages(out: Path, voter: Voter, faces: Faces, probs: Probs, labels: Codes, table: pd.DataFrame) -> list[Page]:
    """A page for each emotion: faces taken for it rightly, wrongly or nearly, with what speaks for the likeliest."""
    shown = [selection.of_emotion(code, probs, labels, table, ABREAST) for code in range(len(voter.emotions))]
    rows = _union(rows for groups in shown for rows in groups.values())
    way, heat = saliency.explained(voter.network, faces[rows], probs[rows].argmax(axis=1))
    heat_of = dict(zip(rows.tolist(), heat, strict=True))
    words = {row: selection.in_words(probs[row], voter.emotions) for row in heat_of}
    pages = []
    for emotion, groups in zip(voter.emotions, shown, strict=True):
        title = f"Test faces labelled {emotion}"
        about = f"{ABOUT}\n({way} of {voter.name})"
        name = f"test_{emotion}.png"
        page(out / name, title, about, gallery(groups, faces, words, heat_of), HEAT_KEY)
        told = ", ".join(f"{len(rows)} {heading}" for heading, rows in groups.items())
        pages.append({"part": "tests", "file": name, "title": title, "alt": f"{told}; below each the heat of {way}"})
    return pages


def pseudo_label_pages(
    out: Path,
    round_: int,
    emotions: tuple[str, ...],
    faces: Faces,
    probs: Probs,
    accepted: Bool[np.ndarray, " n"],
    pool: Bool[np.ndarray, " n"],
    table: pd.DataFrame,
) -> list[Page]:
    """A page for each emotion: unlabelled faces taken for it that round `round_` learns from, and that it does not."""
    pages = []
    for code, emotion in enumerate(emotions):
        groups = selection.of_pseudo_label(code, probs, accepted, pool, table, 2 * ABREAST)
        words = {row: selection.in_words(probs[row], emotions) for rows in groups.values() for row in rows.tolist()}
        title = f"Unlabelled faces taken for {emotion}"
        about = f"For round {round_}; from the surest to the least sure"
        name = f"pseudo_labels_{emotion}.png"
        page(out / name, title, about, gallery(groups, faces, words))
        told = ", ".join(f"{len(rows)} {heading}" for heading, rows in groups.items())
        pages.append({"part": "pseudo_labels", "file": name, "title": title, "alt": told})
    return pages


def ways_page(out: Path, voter: Voter, faces: Faces, codes: Codes) -> Page:
    """A face a row, as it is and with the heat of each way of explaining that the network allows."""
    ways = {
        "Grad-CAM": saliency.grad_cam(voter.network, faces, codes),
        "CAM": saliency.cam(voter.network, faces, codes),
        "pixel gradient": saliency.saliency(voter.network, faces, codes),
    }
    heats = {way: heat for way, heat in ways.items() if heat is not None}
    rows = []
    for number, code in enumerate(codes.tolist()):
        tiles = [enlarged(faces[number]), *(overlay(faces[number], heat[number]) for heat in heats.values())]
        rows.append(Row(tiles, words=[voter.emotions[code], *heats]))
    title = f"{len(heats)} ways to ask {voter.name}"
    page(out / "ways.png", title, "What in the face speaks for the emotion that it is taken for?", rows, HEAT_KEY)
    alt = f"{len(faces)} faces, each as it is and with the heat of {', '.join(heats)}"
    return {"part": "ways", "file": "ways.png", "title": title, "alt": alt}


def maps_page(out: Path, voter: Voter, face: UInt8[np.ndarray, "size size"]) -> Page:
    """A face, and the channels that it excites most in the last map of each size."""
    rows = [Row([enlarged(face)])]
    for each in saliency.feature_maps(voter.network, face):
        channels, height, width = each.shape
        most = np.argsort(-np.ptp(each, axis=(1, 2)), kind="stable")[:CHANNELS]
        heading = f"{height} × {width} cells, {min(CHANNELS, channels)} of {channels} channels"
        rows.append(Row([cells(each[channel]) for channel in most], heading))
    title = f"Maps of {voter.name}"
    about = "What becomes of the face on its way: of each size the last map,\nthe channels whose values differ most"
    page(out / "maps.png", title, about, rows, CELLS_KEY)
    alt = f"A face, and below it channels of {len(rows) - 1} maps, from the largest to the smallest"
    return {"part": "maps", "file": "maps.png", "title": title, "alt": alt}


def picture_page(path: Path, voter: Voter, faces: Faces, probs: Probs) -> None:
    """The faces of one picture, with what speaks for the likeliest emotion of each."""
    way, heat = saliency.explained(voter.network, faces, probs.argmax(axis=1))
    words = {row: selection.in_words(probs[row], voter.emotions) for row in range(len(faces))}
    groups = {"": np.arange(len(faces))}
    about = f"{ABOUT}\n({way} of {voter.name})"
    page(
        path,
        "1 face" if len(faces) == 1 else f"{len(faces)} faces",
        about,
        gallery(groups, faces, words, dict(enumerate(heat))),
        HEAT_KEY,
    )


def _union(rows: Iterable[Int[np.ndarray, " m"]]) -> Int[np.ndarray, " m"]:
    return np.unique(np.concatenate(list(rows)))
