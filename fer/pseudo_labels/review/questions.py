"""Choose the unlabelled faces that people should review."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fer.core.files import read_array
from fer.core.store import open_faces
from fer.core.table import read_table
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import average_probs, read_stored_logits
from fer.predictions.uncertainty import el2n, lowest_scores, margin
from fer.pseudo_labels.review.answers import Reviews, match_reviews
from fer.pseudo_labels.review.sheet import SheetSection, make_section
from fer.runtime.errors import InputError


def choose_questions(
    unified: Path,
    pseudo_labels: Path,
    predictions: Path,
    reviews: Reviews,
    members: Mapping[str, float],
    emotions: Sequence[str],
    *,
    hard_labels: bool,
    count: int,
) -> list[SheetSection]:
    """Return a section of doubtful faces and, if `predictions` exists, one of influential pseudo-labels.

    Args:
        predictions: The folder of the predictions of the networks that were trained on these pseudo-labels.
        members: The weight of each member of their ensemble.
        reviews: The faces to leave out.
        hard_labels: Whether the networks were trained on the likeliest emotion instead of probabilities.
        count: The largest number of faces in a section.

    Raises:
        InputError: A file is missing or damaged or belongs to another table, or every unlabelled face was reviewed.
    """
    table, faces = read_table(unified / "table.csv"), open_faces(unified / "faces.npy")
    probs, accepted, weights = (read_array(pseudo_labels / f"{name}.npy") for name in ("probs", "accepted", "weights"))
    if not len(table) == len(faces) == len(probs):
        raise InputError(f"{pseudo_labels}: has {len(probs)} faces, but {unified} has {len(table)}; run `dvc repro`")

    candidates = (table["fold"] == "unlabelled").to_numpy() & ~match_reviews(reviews, table, emotions).reviewed
    if not candidates.any():
        raise InputError("every unlabelled face has been reviewed; add an unlabelled source with `fer add`")
    rows = lowest_scores(margin(probs), candidates, table, count)
    sections = [make_section("Doubtful", rows, probs, probs, table, faces, emotions)]
    if predictions.is_dir():
        one_hot = np.eye(len(emotions), dtype=np.float32)
        targets = one_hot[probs.argmax(axis=1)] if hard_labels else probs
        networks = read_stored_logits(predictions, members, emotions, len(table))
        student_probs = average_probs(
            {name: compute_probs(stored.logits, 1.0) for name, stored in networks.items()}, members
        )
        candidates[rows] = False
        rows = lowest_scores(-el2n(targets, weights, student_probs), candidates & accepted, table, count)
        sections.append(make_section("Influential", rows, targets, student_probs, table, faces, emotions))
    return sections
