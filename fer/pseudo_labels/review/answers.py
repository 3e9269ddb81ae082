"""What people said of faces, kept in `data/reviews.csv`, and what follows from it for a round.

A face is known by its source and its id, which is unique only there; rows of the table move when sources change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fer.core.files import guarded, write_csv
from fer.core.labels import EMOTIONS, emotion_named
from fer.pseudo_labels.review.spreadsheets import read_rows
from fer.pseudo_labels.selection import Selection
from fer.runtime.errors import InputError

COLUMNS = ("source", "id", "emotion")
UNUSABLE = "unusable"
REVIEWED, SET_ASIDE = "reviewed", "set aside in review"

Face = tuple[str, str]  # source and id
Reviews = dict[Face, str]  # an emotion, or UNUSABLE


@dataclass(frozen=True)
class Answers:
    """What people said, in the order of a table."""

    given: Bool[np.ndarray, " n"]  # of unlabelled faces alone
    emotion: Int[np.ndarray, " n"]  # as an index; -1 where unusable and where nothing was said
    notes: tuple[str, ...]  # on reviews that can't be used

    @property
    def counts(self) -> dict[str, int]:
        """Faces that were reviewed, and those of them that are not learnt from."""
        return {"reviewed": int(self.given.sum()), "set_aside": int((self.given & (self.emotion < 0)).sum())}


def read_reviews(path: Path) -> Reviews:
    """The reviews that `write_reviews` wrote, and people may have edited since.

    Raises:
        InputError: an emotion is none, or a face is there twice with different ones.
    """
    return by_face(
        path,
        [(f"row {number}", (row["source"], row["id"]), row["emotion"]) for number, row in read_rows(path, COLUMNS)],
    )


def write_reviews(path: Path, reviews: Reviews) -> None:
    """Write them in the order of their faces, so that versions can be compared and merged line by line."""
    rows = pd.DataFrame(
        [(*face, emotion) for face, emotion in sorted(reviews.items())], columns=list(COLUMNS), dtype=str
    )
    write_csv(path, rows.assign(id=guarded(rows["id"])))


def by_face(path: Path, said: Iterable[tuple[str, Face, str]], emotions: Sequence[str] = EMOTIONS) -> Reviews:
    """What was said of each face in a file, from places in it, faces and words for an emotion.

    Raises:
        InputError: a word stands for none of `emotions` and is not "unusable", or a face has two answers.
    """
    found: dict[Face, tuple[str, str]] = {}
    for place, face, word in said:
        emotion = answer(word)
        if emotion not in (*emotions, UNUSABLE):
            raise InputError(f"{path}, {place}: {word!r} is none of {', '.join(emotions)}, {UNUSABLE}; correct it")
        earlier, other = found.setdefault(face, (place, emotion))
        if other != emotion:
            raise InputError(
                f"{path}, {earlier} and {place}: {named(face)} is {other} in one and {emotion} in the other; delete one"
            )
    return {face: said for face, (_, said) in found.items()}


def answer(word: str) -> str | None:
    """The emotion or `UNUSABLE` that a word stands for; None if it stands for neither."""
    return UNUSABLE if word.strip().casefold() == UNUSABLE else emotion_named(word)


def answers(reviews: Mapping[Face, str], table: pd.DataFrame, emotions: Sequence[str]) -> Answers:
    """What the reviews say of the unlabelled faces of `table`, and notes on all other reviews.

    A face whose emotion is not among `emotions` is set aside.
    """
    code_of = {emotion: code for code, emotion in enumerate(emotions)} | {UNUSABLE: -1}
    given, emotion = np.zeros(len(table), dtype=bool), np.full(len(table), -1)
    row_of = rows_of(reviews, table)
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
        f"{len(faces)} of {len(reviews)} reviewed faces, such as {named(faces[0])}, are {what}"
        for faces, what in told
        if faces
    )
    return Answers(given, emotion, tuple(notes))


def decided(
    selection: Selection, probs: Float[np.ndarray, "n classes"], said: Answers
) -> tuple[Selection, Float[np.ndarray, "n classes"]]:
    """The selection with the faces that people decided, and the probabilities to learn from.

    A face with an emotion is accepted as it, with certainty and the weight 1; an unusable one is not accepted. The
    confidence stays the teachers'.
    """
    if not said.given.any():  # of ten million faces the arrays below would take a gigabyte
        return selection, probs
    emotion = np.where(said.emotion >= 0, said.emotion, probs.argmax(axis=1))
    accepted = said.given & (said.emotion >= 0)
    reason = np.where(accepted, REVIEWED, SET_ASIDE)
    learnt = np.where(accepted[:, None], np.eye(probs.shape[1], dtype=probs.dtype)[emotion], probs)
    return replace(
        selection,
        pool=selection.pool | said.given,
        accepted=np.where(said.given, accepted, selection.accepted),
        emotion=np.where(said.given, emotion, selection.emotion),
        weight=np.where(said.given, accepted, selection.weight).astype(np.float32),
        reason=np.where(said.given, reason, selection.reason).astype(object),
    ), learnt


def rows_of(faces: Iterable[Face], table: pd.DataFrame) -> dict[Face, int]:
    """The row of each of the faces that `table` has; of others with their ids, too."""
    rows = np.flatnonzero(table["id"].isin({id for _, id in faces}))
    names = zip(table["source"].iloc[rows], table["id"].iloc[rows], strict=True)
    return dict(zip(names, rows.tolist(), strict=True))


def named(face: Face) -> str:
    return "/".join(face)
