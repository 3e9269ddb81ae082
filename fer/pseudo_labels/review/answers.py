"""What people said of faces, kept in `data/reviews.csv`, and what follows from it for a round.

A face is known by its source and its id, which is unique only there; rows of the table move when sources change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fer.core.files import escape_formulas, write_csv
from fer.core.labels import EMOTIONS, parse_emotion
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
    """What people said, in the order of a table."""

    reviewed: Bool[np.ndarray, " n"]  # of unlabelled faces alone
    emotion: Int[np.ndarray, " n"]  # as an index; -1 where unusable and where nothing was said
    notes: tuple[str, ...]  # on reviews that can't be used

    @property
    def counts(self) -> dict[str, int]:
        """Faces that were reviewed, and those of them that are not learnt from."""
        return {"reviewed": int(self.reviewed.sum()), "set_aside": int((self.reviewed & (self.emotion < 0)).sum())}


def read_reviews(path: Path) -> Reviews:
    """The reviews that `write_reviews` wrote, and people may have edited since.

    Raises:
        InputError: an emotion is none, or a face is there twice with different ones.
    """
    return parse_reviews(
        path,
        [
            (f"row {number}", (row["source"], row["id"]), row["emotion"])
            for number, row in read_spreadsheet(path, REVIEW_COLUMNS)
        ],
    )


def write_reviews(path: Path, reviews: Reviews) -> None:
    """Write them in the order of their faces, so that versions can be compared and merged line by line."""
    rows = pd.DataFrame(
        [(*face, emotion) for face, emotion in sorted(reviews.items())], columns=list(REVIEW_COLUMNS), dtype=str
    )
    write_csv(path, rows.assign(id=escape_formulas(rows["id"])))


def parse_reviews(
    path: Path, answers: Iterable[tuple[str, FaceKey, str]], emotions: Sequence[str] = EMOTIONS
) -> Reviews:
    """What was said of each face in a file, from places in it, faces and words for an emotion.

    Raises:
        InputError: a word stands for none of `emotions` and is not "unusable", or a face has two answers.
    """
    found: dict[FaceKey, tuple[str, str]] = {}
    for place, face, word in answers:
        emotion = parse_answer(word)
        if emotion not in (*emotions, UNUSABLE):
            raise InputError(f"{path}, {place}: {word!r} is none of {', '.join(emotions)}, {UNUSABLE}; correct it")
        earlier, other = found.setdefault(face, (place, emotion))
        if other != emotion:
            raise InputError(
                f"{path}, {earlier} and {place}: {format_face(face)} is {other} in one and {emotion} in the other; delete one"
            )
    return {face: answers for face, (_, answers) in found.items()}


def parse_answer(word: str) -> str | None:
    """The emotion or `UNUSABLE` that a word stands for; None if it stands for neither."""
    return UNUSABLE if word.strip().casefold() == UNUSABLE else parse_emotion(word)


def match_reviews(reviews: Mapping[FaceKey, str], table: pd.DataFrame, emotions: Sequence[str]) -> ReviewDecisions:
    """What the reviews say of the unlabelled faces of `table`, and notes on all other reviews.

    A face whose emotion is not among `emotions` is set aside.
    """
    code_of = {emotion: code for code, emotion in enumerate(emotions)} | {UNUSABLE: -1}
    given, emotion = np.zeros(len(table), dtype=bool), np.full(len(table), -1)
    row_of = find_rows(reviews, table)
    unlabelled = (table["fold"] == "unlabelled").to_numpy()
    gone, labelled, foreign = [], [], []
    for face, said in reviews.items():
        row = row_of.get(face)
        if row is None:
            gone.append(face)
        elif not unlabelled[row]:
            labelled.append(face)
        else:
            given[row], emotion[row] = True, code_of.get(said, -1)
            if said not in code_of:
                foreign.append(face)
    told = (
        (gone, "not in the table any more: they are left where they are"),
        (labelled, "not unlabelled, or excluded: they change nothing"),
        (foreign, "of an emotion that is not in `emotions` of params.yaml: they are set aside"),
    )
    notes = (
        f"{len(faces)} of {len(reviews)} reviewed faces, such as {format_face(faces[0])}, are {what}"
        for faces, what in told
        if faces
    )
    return ReviewDecisions(given, emotion, tuple(notes))


def apply_reviews(
    selection: Selection, probs: Float[np.ndarray, "n classes"], decisions: ReviewDecisions
) -> tuple[Selection, Float[np.ndarray, "n classes"]]:
    """The selection with the faces that people decided, and the probabilities to learn from.

    A face with an emotion is accepted as it, with certainty and the weight 1; an unusable one is not accepted. The
    confidence stays the teachers'.
    """
    if not decisions.reviewed.any():  # of ten million faces the arrays below would take a gigabyte
        return selection, probs
    emotion = np.where(decisions.emotion >= 0, decisions.emotion, probs.argmax(axis=1))
    accepted = decisions.reviewed & (decisions.emotion >= 0)
    reason = np.where(accepted, REVIEWED_REASON, SET_ASIDE_REASON)
    learnt = np.where(accepted[:, None], np.eye(probs.shape[1], dtype=probs.dtype)[emotion], probs)
    return replace(
        selection,
        pool=selection.pool | decisions.reviewed,
        accepted=np.where(decisions.reviewed, accepted, selection.accepted),
        emotion=np.where(decisions.reviewed, emotion, selection.emotion),
        weight=np.where(decisions.reviewed, accepted, selection.weight).astype(np.float32),
        reason=np.where(decisions.reviewed, reason, selection.reason).astype(object),
    ), learnt


def find_rows(faces: Iterable[FaceKey], table: pd.DataFrame) -> dict[FaceKey, int]:
    """The row of each of the faces that `table` has; of others with their ids, too."""
    rows = np.flatnonzero(table["id"].isin({id for _, id in faces}))
    names = zip(table["source"].iloc[rows], table["id"].iloc[rows], strict=True)
    return dict(zip(names, rows.tolist(), strict=True))


def format_face(face: FaceKey) -> str:
    return "/".join(face)
