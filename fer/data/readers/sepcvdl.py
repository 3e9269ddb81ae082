"""The sets of SEP-CVDL (LMU): FER-2013, RAF-DB and others in one layout, the emotion at the end of each file's name.

Lists such as `train_FER_labels.csv`, with or without a line of names, must not contradict the files' names. Their
numbers are not RAF-DB's. The owners left neutral faces out; a later program numbers these 6.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath

from fer.core.labels import EMOTIONS, parse_emotion
from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "train/, test/ or valid/ with <name>_<emotion>.jpg, in one set or in a folder of sets"
LICENSE_TERMS = "its pictures are those of other sets, whose terms hold; may not be passed on"
SEPCVDL_EMOTIONS = {
    "0": "happy",
    "1": "surprise",
    "2": "sad",
    "3": "angry",
    "4": "disgust",
    "5": "fear",
    "6": "neutral",
}

_FOLDS = ("test", "train", "valid")
_MAX_SETS = 30  # LFW has 5,749 folders, none of them a set


def matches(root: Folder) -> bool:
    return bool(_find_sets(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    sets = _find_sets(root)
    for place in sets:
        for fold in _FOLDS:
            rows = [row for table in place.files() if _is_list(table, fold) for row in _read_rows(table)]
            if odd := [row for row in rows if len(row) != 2]:
                example = ",".join(odd[0])[:80]
                yield Note(f"{len(odd)} lines on {place.name}/{fold} are no name and number, such as {example!r}")
            codes: defaultdict[str, set[str]] = defaultdict(set)
            for name, code in (row for row in rows if len(row) == 2):
                codes[name].add(code)
            for item in folders.walk_media(place.folder(fold)):
                yield _make_record(item, fold, codes.pop(item.name, set())) if isinstance(item, File) else item
            if codes:
                there = ", ".join(sorted(codes)[:3])[:200]
                yield Note(f"the list of {place.name}/{fold} names {len(codes)} pictures that are not there: {there}")
    if not _is_set(root) and (others := {folder.name for folder in root.folders()} - {place.name for place in sets}):
        yield Note(f"left out, being laid out otherwise: {', '.join(sorted(others))}")


def _make_record(picture: File, fold: str, codes: set[str]) -> Record | SkippedItem:
    emotion = _parse_emotion(picture)
    if emotion is None:
        return SkippedItem(picture.id, "unknown emotion", f"allowed <name>_<emotion>, one of {', '.join(EMOTIONS)}")
    if others := sorted(code for code in codes if SEPCVDL_EMOTIONS.get(code) != emotion):
        return SkippedItem(picture.id, "contradictory labels", f"named {emotion}, but listed as {others[0][:20]!r}")
    return Record(picture.id, picture, emotion, fold)


def _find_sets(root: Folder) -> list[Folder]:
    """`root`, or those right in it."""
    if _is_set(root):
        return [root]
    inner = root.folders()
    return [folder for folder in inner if _is_set(folder)] if len(inner) <= _MAX_SETS else []


def _is_set(folder: Folder) -> bool:
    for part in map(folder.folder, _FOLDS):
        entries = part.entries() if part else iter(())
        first = list(
            islice((entry for entry in entries if isinstance(entry, File) and entry.suffix in IMAGE_SUFFIXES), 10)
        )
        if first and all(map(_parse_emotion, first)):
            return True
    return False


def _is_list(file: File, fold: str) -> bool:
    return file.suffix == ".csv" and file.name.startswith(f"{fold}_")


def _read_rows(table: File) -> Iterator[list[str]]:
    for position, (_, line) in enumerate(folders.read_lines(table)):
        row = folders.split_csv_line(line)
        if position or PurePosixPath(row[0]).suffix.lower() in IMAGE_SUFFIXES:  # else it is the line of names
            yield row


def _parse_emotion(picture: File) -> str | None:
    before, _, word = picture.stem.rpartition("_")
    return parse_emotion(word) if before else None
