"""The pages of pictures that `explain` writes, and what the report says of each."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8

from fer.nn.weights import EnsembleMember
from fer.reporting.explanation import saliency, selection
from fer.reporting.explanation.heatmaps import (
    CHANNEL_COLOUR_KEY,
    FACES_PER_ROW,
    HEAT_COLOUR_KEY,
    TileRow,
    draw_channel,
    enlarge_face,
    gallery_rows,
    overlay_heat,
    write_gallery,
)

FaceArray = UInt8[np.ndarray, "n size size"]
Probs = Float[np.ndarray, "n classes"]
EmotionCodes = Int[np.ndarray, " n"]
PageEntry = dict[str, str]  # part (tests, pseudo_labels, ways or maps), file, title, alt

MAX_CHANNELS = 8  # shown of a map
CAPTION = "Below each face what in it speaks for the likelier of the two emotions"


def write_test_pages(
    out: Path, member: EnsembleMember, faces: FaceArray, probs: Probs, labels: EmotionCodes, table: pd.DataFrame
) -> list[PageEntry]:
    """A page for each emotion: faces taken for it rightly, wrongly or nearly, with what speaks for the likeliest."""
    shown = [
        selection.select_test_examples(code, probs, labels, table, FACES_PER_ROW)
        for code in range(len(member.emotions))
    ]
    rows = _union(rows for groups in shown for rows in groups.values())
    way, heat = saliency.explain_faces(member.network, faces[rows], probs[rows].argmax(axis=1))
    heat_of = dict(zip(rows.tolist(), heat, strict=True))
    words = {row: selection.format_top_emotions(probs[row], member.emotions) for row in heat_of}
    pages = []
    for emotion, groups in zip(member.emotions, shown, strict=True):
        title = f"Test faces labelled {emotion}"
        about = f"{CAPTION}\n({way} of {member.name})"
        name = f"test_{emotion}.png"
        write_gallery(out / name, title, about, gallery_rows(groups, faces, words, heat_of), HEAT_COLOUR_KEY)
        told = ", ".join(f"{len(rows)} {heading}" for heading, rows in groups.items())
        pages.append({"part": "tests", "file": name, "title": title, "alt": f"{told}; below each the heat of {way}"})
    return pages


def write_pseudo_label_pages(
    out: Path,
    round_: int,
    emotions: tuple[str, ...],
    faces: FaceArray,
    probs: Probs,
    accepted: Bool[np.ndarray, " n"],
    pool: Bool[np.ndarray, " n"],
    table: pd.DataFrame,
) -> list[PageEntry]:
    """A page for each emotion: unlabelled faces taken for it that round `round_` learns from, and that it does not."""
    pages = []
    for code, emotion in enumerate(emotions):
        groups = selection.select_pseudo_label_examples(code, probs, accepted, pool, table, 2 * FACES_PER_ROW)
        words = {
            row: selection.format_top_emotions(probs[row], emotions)
            for rows in groups.values()
            for row in rows.tolist()
        }
        title = f"Unlabelled faces taken for {emotion}"
        about = f"For round {round_}; from the surest to the least sure"
        name = f"pseudo_labels_{emotion}.png"
        write_gallery(out / name, title, about, gallery_rows(groups, faces, words))
        told = ", ".join(f"{len(rows)} {heading}" for heading, rows in groups.items())
        pages.append({"part": "pseudo_labels", "file": name, "title": title, "alt": told})
    return pages


def write_methods_page(out: Path, member: EnsembleMember, faces: FaceArray, codes: EmotionCodes) -> PageEntry:
    """A face a row, as it is and with the heat of each way of explaining that the network allows."""
    ways = {
        "Grad-CAM": saliency.grad_cam(member.network, faces, codes),
        "CAM": saliency.cam(member.network, faces, codes),
        "pixel gradient": saliency.pixel_gradient(member.network, faces, codes),
    }
    heats = {way: heat for way, heat in ways.items() if heat is not None}
    rows = []
    for number, code in enumerate(codes.tolist()):
        tiles = [enlarge_face(faces[number]), *(overlay_heat(faces[number], heat[number]) for heat in heats.values())]
        rows.append(TileRow(tiles, captions=[member.emotions[code], *heats]))
    title = f"{len(heats)} ways to ask {member.name}"
    write_gallery(
        out / "ways.png", title, "What in the face speaks for the emotion that it is taken for?", rows, HEAT_COLOUR_KEY
    )
    alt = f"{len(faces)} faces, each as it is and with the heat of {', '.join(heats)}"
    return {"part": "ways", "file": "ways.png", "title": title, "alt": alt}


def write_feature_maps_page(out: Path, member: EnsembleMember, face: UInt8[np.ndarray, "size size"]) -> PageEntry:
    """A face, and the channels that it excites most in the last map of each size."""
    rows = [TileRow([enlarge_face(face)])]
    for each in saliency.feature_maps(member.network, face):
        channels, height, width = each.shape
        most = np.argsort(-np.ptp(each, axis=(1, 2)), kind="stable")[:MAX_CHANNELS]
        heading = f"{height} × {width} cells, {min(MAX_CHANNELS, channels)} of {channels} channels"
        rows.append(TileRow([draw_channel(each[channel]) for channel in most], heading))
    title = f"Maps of {member.name}"
    about = "What becomes of the face on its way: of each size the last map,\nthe channels whose values differ most"
    write_gallery(out / "maps.png", title, about, rows, CHANNEL_COLOUR_KEY)
    alt = f"A face, and below it channels of {len(rows) - 1} maps, from the largest to the smallest"
    return {"part": "maps", "file": "maps.png", "title": title, "alt": alt}


def write_image_page(path: Path, member: EnsembleMember, faces: FaceArray, probs: Probs) -> None:
    """The faces of one picture, with what speaks for the likeliest emotion of each."""
    way, heat = saliency.explain_faces(member.network, faces, probs.argmax(axis=1))
    words = {row: selection.format_top_emotions(probs[row], member.emotions) for row in range(len(faces))}
    groups = {"": np.arange(len(faces))}
    about = f"{CAPTION}\n({way} of {member.name})"
    write_gallery(
        path,
        "1 face" if len(faces) == 1 else f"{len(faces)} faces",
        about,
        gallery_rows(groups, faces, words, dict(enumerate(heat))),
        HEAT_COLOUR_KEY,
    )


def _union(rows: Iterable[Int[np.ndarray, " m"]]) -> Int[np.ndarray, " m"]:
    return np.unique(np.concatenate(list(rows)))
