"""Reviews, the labels that people gave to faces: `data/reviews.csv`, and how reviews override a selection.

A face is identified by its source and its id, which is unique only there; its row changes when sources change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fer.core.labels import EMOTIONS, parse_emotion
from fer.core.table import escape_formulas, write_csv
from fer.pseudo_labels.review.spreadsheets import read_spreadsheet
from fer.pseudo_labels.selection import Selection
from fer.runtime.errors import InputError

REVIEW_COLUMNS = ("source", "id", "emotion")
UNUSABLE = "unusable"
REVIEWED_REASON, SET_ASIDE_REASON = "reviewed", "set aside in review"

FaceKey = tuple[str, str]  # source and id
Reviews = dict[FaceKey, str]  # an emotion, or UNUSABLE


@dataclass(frozen=True)
class ReviewDecisions:
    """The reviews of the unlabelled faces of a table, in the table's order."""

    reviewed: Bool[np.ndarray, " n"]
    emotion: Int[np.ndarray, " n"]  # index; -1 where unusable or not reviewed
    notes: tuple[str, ...]  # on reviews without effect

    @property
    def counts(self) -> dict[str, int]:
        """The number of reviewed faces, and of those among them that are set aside from training."""
        return {"reviewed": int(self.reviewed.sum()), "set_aside": int((self.reviewed & (self.emotion < 0)).sum())}


def read_reviews(path: Path) -> Reviews:
    """Return the reviews in a file that `write_reviews` wrote and people may have edited."""
    rows = read_spreadsheet(path, REVIEW_COLUMNS)
    answers = [(f"row {number}", (row["source"], row["id"]), row["emotion"]) for number, row in rows]
    return parse_reviews(path, answers)


def write_reviews(path: Path, reviews: Reviews) -> None:
    """Write the reviews sorted by face, so that git can compare and merge versions line by line."""
    rows = pd.DataFrame(
        [(*face, emotion) for face, emotion in sorted(reviews.items())], columns=list(REVIEW_COLUMNS), dtype=str
    )
    write_csv(path, rows.assign(id=escape_formulas(rows["id"])))


def parse_reviews(
    path: Path, answers: Iterable[tuple[str, FaceKey, str]], emotions: Sequence[str] = EMOTIONS
) -> Reviews:
    """Return one answer per face of the file `path`.

    Args:
        answers: The place in the file, the face and a word for the emotion, of each answer.
    """
    place_and_emotion: dict[FaceKey, tuple[str, str]] = {}
    for place, face, word in answers:
        emotion = parse_answer(word)
        if emotion not in (*emotions, UNUSABLE):
            raise InputError(f"{path}, {place}: {word!r} is none of {', '.join(emotions)}, {UNUSABLE}; correct it")
        first_place, first_emotion = place_and_emotion.setdefault(face, (place, emotion))
        if first_emotion != emotion:
            raise InputError(
                f"{path}, {first_place} and {place}: {format_face(face)} is {first_emotion} in one "
                f"and {emotion} in the other; delete one"
            )
    return {face: emotion for face, (_, emotion) in place_and_emotion.items()}


def parse_answer(word: str) -> str | None:
    """Return the emotion or `UNUSABLE` that a word means, None if it means neither."""
    return UNUSABLE if word.strip().casefold() == UNUSABLE else parse_emotion(word)


def match_reviews(reviews: Mapping[FaceKey, str], table: pd.DataFrame, emotions: Sequence[str]) -> ReviewDecisions:
    """Return the decisions on the unlabelled faces of `table`, and notes on all other reviews.

    A face whose emotion is not among `emotions` is set aside.
    """
    code_of = {emotion: code for code, emotion in enumerate(emotions)} | {UNUSABLE: -1}
    reviewed, codes = np.zeros(len(table), dtype=bool), np.full(len(table), -1)
    row_of = find_rows(reviews, table)
    unlabelled = (table["fold"] == "unlabelled").to_numpy()
    missing = "no longer in the table; their reviews are kept"
    labelled = "labelled or excluded; their reviews have no effect"
    unused_emotion = "of an emotion that is not in `emotions` of params.yaml; they are set aside"
    ineffective: dict[str, list[FaceKey]] = {missing: [], labelled: [], unused_emotion: []}
    for face, emotion in reviews.items():
        row = row_of.get(face)
        if row is None:
            ineffective[missing].append(face)
        elif not unlabelled[row]:
            ineffective[labelled].append(face)
        else:
            reviewed[row], codes[row] = True, code_of.get(emotion, -1)
            if emotion not in code_of:
                ineffective[unused_emotion].append(face)
    notes = (
        f"{len(faces)} of {len(reviews)} reviewed faces, such as {format_face(faces[0])}, are {effect}"
        for effect, faces in ineffective.items()
        if faces
    )
    return ReviewDecisions(reviewed, codes, tuple(notes))


def apply_reviews(
    selection: Selection, probs: Float[np.ndarray, "n classes"], decisions: ReviewDecisions
) -> tuple[Selection, Float[np.ndarray, "n classes"]]:
    """Return the selection with people's decisions in it, and the probabilities to learn from.

    A face that was given an emotion is accepted with probability and weight 1, an unusable face is not accepted. The
    confidence remains that of the teachers.
    """
    if not decisions.reviewed.any():  # the arrays below take a gigabyte for ten million faces
        return selection, probs
    emotion = np.where(decisions.emotion >= 0, decisions.emotion, probs.argmax(axis=1))
    accepted = decisions.reviewed & (decisions.emotion >= 0)
    reason = np.where(accepted, REVIEWED_REASON, SET_ASIDE_REASON)
    targets = np.where(accepted[:, None], np.eye(probs.shape[1], dtype=probs.dtype)[emotion], probs)
    return replace(
        selection,
        pool=selection.pool | decisions.reviewed,
        accepted=np.where(decisions.reviewed, accepted, selection.accepted),
        emotion=np.where(decisions.reviewed, emotion, selection.emotion),
        weight=np.where(decisions.reviewed, accepted, selection.weight).astype(np.float32),
        reason=np.where(decisions.reviewed, reason, selection.reason).astype(object),
    ), targets


def find_rows(faces: Iterable[FaceKey], table: pd.DataFrame) -> dict[FaceKey, int]:
    """Return the rows of these faces in `table`, and of other faces that have the same ids."""
    rows = np.flatnonzero(table["id"].isin({id for _, id in faces}))
    names = zip(table["source"].iloc[rows], table["id"].iloc[rows], strict=True)
    return dict(zip(names, rows.tolist(), strict=True))


def format_face(face: FaceKey) -> str:
    return "/".join(face)
