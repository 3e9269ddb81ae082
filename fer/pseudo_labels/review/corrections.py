"""Read and merge corrections: the CSV of the review page, the filled-in sheet, or the export of Label Studio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer.core.files import parse_json
from fer.pseudo_labels.review.answers import FaceKey, Reviews, find_rows, format_face, parse_reviews
from fer.pseudo_labels.review.spreadsheets import read_spreadsheet
from fer.runtime.errors import InputError

CORRECTION_COLUMNS = ("source", "id", "correction")
LABEL_STUDIO_CHOICE = "emotion"  # the name of the choice in Label Studio

FaceAnswers = tuple[str, FaceKey, list[str]]  # the place in the file, the face, and one word from each person


@dataclass(frozen=True)
class Corrections:
    """The content of one file."""

    reviews: Reviews
    n_unanswered: int  # faces without an answer


def read_corrections(path: Path, emotions: Sequence[str], table: pd.DataFrame) -> Corrections:
    """Return the corrections in a file, which may name faces of `table` and `emotions` only.

    Raises:
        InputError: The file is damaged, or names an unknown face, an unknown emotion, or two emotions for one face.
    """
    answers = list(_read_label_studio(path) if path.suffix.casefold() == ".json" else _read_csv(path))
    row_of = find_rows([face for _, face, _ in answers], table)
    unknown = [(place, face) for place, face, _ in answers if face not in row_of]
    if unknown:
        place, face = unknown[0]
        suffix = f", nor are {len(unknown) - 1} others of the file" if unknown[1:] else ""
        raise InputError(f"{path}, {place}: {format_face(face)} is not in the table{suffix}; correct or delete it")
    reviews = parse_reviews(path, ((place, face, word) for place, face, words in answers for word in words), emotions)
    return Corrections(reviews, len({face for _, face, _ in answers} - reviews.keys()))


def merge_reviews(earlier: Reviews, later: Reviews) -> tuple[Reviews, list[str]]:
    """Return all reviews, the later ones replacing the earlier, and a line on each that changed."""
    changed = [face for face, answer in later.items() if earlier.get(face, answer) != answer]
    return earlier | later, [f"{format_face(face)} is {later[face]}, no longer {earlier[face]}" for face in changed]


def _read_csv(path: Path) -> Iterator[FaceAnswers]:
    for number, row in read_spreadsheet(path, CORRECTION_COLUMNS):
        word = row["correction"]
        yield f"row {number}", (row["source"], row["id"]), [word] if word.strip() else []


def _read_label_studio(path: Path) -> Iterator[FaceAnswers]:
    """Yield the tasks of an export as "JSON"; a skipped task has no answer."""
    try:
        tasks = parse_json(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error}); export the tasks again as JSON") from error
    for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks], 1):
        try:
            data = task["data"]
            annotations = [annotation for annotation in task["annotations"] if not annotation.get("was_cancelled")]
            words = [word for annotation in annotations for word in _selected_choices(annotation)]
            face = str(data["source"]), str(data["face"])
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}, task {number}: not an export of Label Studio ({type(error).__name__}: {error}); "
                "export the tasks of label_studio.json as JSON, not as JSON-MIN"
            ) from error
        yield f"task {number}", face, words


def _selected_choices(annotation: Any) -> Iterator[str]:
    for result in annotation["result"]:
        if result["from_name"] == LABEL_STUDIO_CHOICE:
            yield from map(str, result["value"]["choices"])
