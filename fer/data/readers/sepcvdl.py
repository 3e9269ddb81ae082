"""The datasets of SEP-CVDL (LMU): FER-2013, RAF-DB and others in one layout, with the emotion at the end of file names.

Lists such as `train_FER_labels.csv`, with or without a header, must not contradict the file names. Their codes are not
RAF-DB's. The owners left out neutral faces; a later program gives these the code 6.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath

from fer.core.labels import EMOTIONS, parse_emotion
from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder, Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "train/, test/ or valid/ with <name>_<emotion>.jpg, of one dataset or in a folder for each dataset"
LICENSE_TERMS = "the terms of the datasets that its images come from; redistribution not allowed"
_EMOTIONS = ("happy", "surprise", "sad", "angry", "disgust", "fear", "neutral")
SEPCVDL_EMOTIONS = {str(code): emotion for code, emotion in enumerate(_EMOTIONS)}

_FOLDS = ("test", "train", "valid")
_MAX_DATASETS = 30  # more folders are not datasets: LFW has 5,749


def matches(root: Folder) -> bool:
    return bool(_find_datasets(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    datasets = _find_datasets(root)
    for dataset in datasets:
        for fold in _FOLDS:
            tables = [file for file in dataset.files() if file.suffix == ".csv" and file.name.startswith(f"{fold}_")]
            rows = [row for table in tables for row in _read_rows(table)]
            if bad_rows := [row for row in rows if len(row) != 2]:
                example = ",".join(bad_rows[0])[:80]
                part = f"{dataset.name}/{fold}"
                yield Note(f"{len(bad_rows)} lines for {part} are not a name and a code, such as {example!r}")
            codes: defaultdict[str, set[str]] = defaultdict(set)
            for name, code in (row for row in rows if len(row) == 2):
                codes[name].add(code)
            for item in folders.walk_media(dataset.folder(fold)):
                yield _make_record(item, fold, codes.pop(item.name, set())) if isinstance(item, File) else item
            if codes:
                examples = ", ".join(sorted(codes)[:3])[:200]
                yield Note(f"the list for {dataset.name}/{fold} names {len(codes)} missing images: {examples}")
    folder_names = set() if _is_dataset(root) else {folder.name for folder in root.folders()}
    if other_names := folder_names - {dataset.name for dataset in datasets}:
        yield Note(f"folders with another layout are not read: {', '.join(sorted(other_names))}")


def _make_record(image: File, fold: str, codes: set[str]) -> Record | SkippedItem:
    emotion = _parse_emotion(image)
    if emotion is None:
        return SkippedItem(image.id, "unknown emotion", f"allowed <name>_<emotion>, one of {', '.join(EMOTIONS)}")
    if conflicts := sorted(code for code in codes if SEPCVDL_EMOTIONS.get(code) != emotion):
        return SkippedItem(image.id, "contradictory labels", f"named {emotion}, but listed as {conflicts[0][:20]!r}")
    return Record(image.id, image, emotion, fold)


def _find_datasets(root: Folder) -> list[Folder]:
    """Return `root` if it is a dataset, otherwise the datasets directly below it."""
    if _is_dataset(root):
        return [root]
    subfolders = root.folders()
    return [folder for folder in subfolders if _is_dataset(folder)] if len(subfolders) <= _MAX_DATASETS else []


def _is_dataset(folder: Folder) -> bool:
    for part in map(folder.folder, _FOLDS):
        entries = part.entries() if part else iter(())
        images = (entry for entry in entries if isinstance(entry, File) and entry.suffix in IMAGE_SUFFIXES)
        if (first_images := list(islice(images, 10))) and all(map(_parse_emotion, first_images)):
            return True
    return False


def _read_rows(table: File) -> Iterator[list[str]]:
    for position, (_, line) in enumerate(folders.read_lines(table)):
        row = folders.split_csv_line(line)
        if position or PurePosixPath(row[0]).suffix.lower() in IMAGE_SUFFIXES:  # otherwise the header
            yield row


def _parse_emotion(image: File) -> str | None:
    name, _, emotion = image.stem.rpartition("_")
    return parse_emotion(emotion) if name else None
