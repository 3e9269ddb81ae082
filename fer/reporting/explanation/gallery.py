"""The pages of images that the stage `explain` writes, and their entries in the report."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8

from fer.nn.weights import EnsembleMember
from fer.reporting.explanation import heatmaps, saliency, selection
from fer.reporting.explanation.heatmaps import FACES_PER_ROW, HEAT_KEY, TileRow
from fer.reporting.explanation.saliency import EmotionCodes, FaceArray
from fer.reporting.explanation.selection import RowIndices

Probs = Float[np.ndarray, "n classes"]
PageEntry = dict[str, str]  # part (tests, pseudo_labels, ways or maps), file, title, alt

MAX_CHANNELS = 8  # drawn per feature map
CAPTION = "Heat: the parts of the face that support the likelier emotion"


def write_test_pages(
    out: Path, member: EnsembleMember, faces: FaceArray, probs: Probs, labels: EmotionCodes, table: pd.DataFrame
) -> list[PageEntry]:
    """Write a page for each emotion: right, wrong and borderline test faces with their heatmaps."""
    groups_by_emotion = [
        selection.select_test_examples(code, probs, labels, table, FACES_PER_ROW)
        for code in range(len(member.emotions))
    ]
    rows = np.unique(np.concatenate([rows for groups in groups_by_emotion for rows in groups.values()]))
    method, heats = saliency.explain_faces(member.network, faces[rows], probs[rows].argmax(axis=1))
    heat_by_row = dict(zip(rows.tolist(), heats, strict=True))
    pages = []
    for emotion, groups in zip(member.emotions, groups_by_emotion, strict=True):
        title = f"Test faces labelled {emotion}"
        subtitle = f"{CAPTION}\n({method} of {member.name})"
        name = f"test_{emotion}.png"
        tile_rows = heatmaps.gallery_rows(groups, faces, probs, member.emotions, heat_by_row)
        heatmaps.write_gallery(out / name, title, subtitle, [*tile_rows, HEAT_KEY])
        alt = f"{_format_counts(groups)}; below each face its {method} heatmap"
        pages.append({"part": "tests", "file": name, "title": title, "alt": alt})
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
    """Write a page for each emotion: unlabelled faces predicted as it, accepted for round `round_` or not."""
    pages = []
    for code, emotion in enumerate(emotions):
        groups = selection.select_pseudo_label_examples(code, probs, accepted, pool, table, 2 * FACES_PER_ROW)
        title = f"Unlabelled faces predicted as {emotion}"
        subtitle = f"For round {round_}, from the most to the least confident"
        name = f"pseudo_labels_{emotion}.png"
        heatmaps.write_gallery(out / name, title, subtitle, heatmaps.gallery_rows(groups, faces, probs, emotions))
        pages.append({"part": "pseudo_labels", "file": name, "title": title, "alt": _format_counts(groups)})
    return pages


def write_methods_page(out: Path, member: EnsembleMember, faces: FaceArray, codes: EmotionCodes) -> PageEntry:
    """Write one row per face: the face and its heatmap by each saliency method that the network allows."""
    heat_by_method = {
        "Grad-CAM": saliency.grad_cam(member.network, faces, codes),
        "CAM": saliency.cam(member.network, faces, codes),
        "pixel gradient": saliency.pixel_gradient(member.network, faces, codes),
    }
    methods = {method: heat for method, heat in heat_by_method.items() if heat is not None}
    rows = []
    for face, code, *heats in zip(faces, codes.tolist(), *methods.values(), strict=True):
        tiles = [heatmaps.enlarge_face(face), *(heatmaps.overlay_heat(face, heat) for heat in heats)]
        rows.append(TileRow(tiles, captions=[member.emotions[code], *methods]))
    title = f"Saliency of {member.name}"
    subtitle = "Which parts of the face support the predicted emotion?"
    heatmaps.write_gallery(out / "ways.png", title, subtitle, [*rows, HEAT_KEY])
    alt = f"{len(faces)} faces, each with its heatmap by {', '.join(methods)}"
    return {"part": "ways", "file": "ways.png", "title": title, "alt": alt}


def write_feature_maps_page(out: Path, member: EnsembleMember, face: UInt8[np.ndarray, "size size"]) -> PageEntry:
    """Write a face and, for each size of feature map, the channels whose values vary most."""
    rows = [TileRow([heatmaps.enlarge_face(face)])]
    for feature_map in saliency.feature_maps(member.network, face):
        channels, height, width = feature_map.shape
        widest = np.argsort(-np.ptp(feature_map, axis=(1, 2)), kind="stable")[:MAX_CHANNELS]
        heading = f"{height} × {width} cells, {min(MAX_CHANNELS, channels)} of {channels} channels"
        rows.append(TileRow([heatmaps.draw_channel(feature_map[channel]) for channel in widest], heading))
    title = f"Feature maps of {member.name}"
    subtitle = "The last feature map of each size,\nwith the channels whose values vary most"
    heatmaps.write_gallery(out / "maps.png", title, subtitle, [*rows, heatmaps.CHANNEL_KEY])
    alt = f"A face, and below it channels of {len(rows) - 1} feature maps, from the largest to the smallest"
    return {"part": "maps", "file": "maps.png", "title": title, "alt": alt}


def write_image_page(path: Path, member: EnsembleMember, faces: FaceArray, probs: Probs) -> None:
    """Write the faces of one image with the heatmap of each face's likeliest emotion."""
    method, heats = saliency.explain_faces(member.network, faces, probs.argmax(axis=1))
    rows = heatmaps.gallery_rows({"": np.arange(len(faces))}, faces, probs, member.emotions, dict(enumerate(heats)))
    title = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    heatmaps.write_gallery(path, title, f"{CAPTION}\n({method} of {member.name})", [*rows, HEAT_KEY])


def _format_counts(groups: Mapping[str, RowIndices]) -> str:
    return ", ".join(f"{len(rows)} {heading}" for heading, rows in groups.items())
