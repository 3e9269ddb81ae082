"""Pictures and videos -> faces: decoded, found, cut out and turned."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from jaxtyping import UInt8

from fer.data.media.detection import Box, Detector, crop, detector, levelled, outlined
from fer.data.media.folders import VIDEOS, File, from_archive, on_disk
from fer.data.media.images import UndecodableError, decode, decode_colour, shrink, undigit
from fer.data.media.issues import Dropped
from fer.data.media.video import changed, frames
from fer.data.readers.params import Ingest
from fer.data.readers.record import Digits, Record
from fer.runtime.parallel import ordered_map

CHUNK = 64  # pictures that a process gets at a time
CHUNK_BYTES = 16 << 20  # of pictures in archives: these are read here and sent along

Square = UInt8[np.ndarray, "size size"]
Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True)
class Face:
    """A face and what is known of it; `record.id` tells it from the others of its picture."""

    record: Record
    pixels: Square


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of one record: its faces, or why there are none."""

    results: list[Face | Dropped]
    pictures: int = 1  # looked at: of a video its frames
    with_a_face: int = 0


Work = tuple[Record | Dropped, bytes | None]


def extract(items: Iterable[Record | Dropped], rules: Ingest) -> Iterator[Looked]:
    """The faces of each record, in order, on all cores. Memory holds a bounded number of pictures.

    Raises:
        InputError: the detector can't be had, or a process died over a picture.
    """
    for looked in ordered_map(partial(_look_at_all, rules=rules), _chunks(items)):
        yield from looked


def _chunks(items: Iterable[Record | Dropped]) -> Iterator[list[Work]]:
    """Items, with the bytes of a picture that is in an archive. A video is a chunk of its own."""
    chunk: list[Work] = []
    sent = 0
    for item in items:
        data = None
        picture = item.picture if isinstance(item, Record) else None
        is_video = isinstance(picture, File) and picture.suffix in VIDEOS
        if isinstance(picture, File) and picture.archive is not None and not is_video:
            try:
                data = from_archive(picture)
            except UndecodableError as error:
                item = Dropped(item.id, error.reason, error.detail)
            sent += len(data or b"")
        chunk.append((item, data))
        if len(chunk) == CHUNK or sent > CHUNK_BYTES or is_video:
            yield chunk
            chunk, sent = [], 0
    if chunk:
        yield chunk


def _look_at_all(chunk: list[Work], rules: Ingest) -> list[Looked]:
    return [
        Looked([item], pictures=0) if isinstance(item, Dropped) else _look_at(item, data, rules) for item, data in chunk
    ]


def _look_at(record: Record, data: bytes | None, rules: Ingest) -> Looked:
    try:
        match record.picture:
            case File() as file if file.suffix in VIDEOS:
                return _look_at_video(record, file, rules)
            case np.ndarray() as pixels:
                face = shrink(pixels, rules.size)
            case Digits(text, side):
                face = shrink(undigit(text, side), rules.size)
            case File() as file:
                source = file.path if data is None else data
                if record.faces != "whole" or record.box is not None:
                    results = _faces_in(decode_colour(source), record, rules)
                    return Looked(results, with_a_face=_is_face(results))
                face = decode(source, rules.size)
        return Looked([Face(record, _turned(face, rules))], with_a_face=1)
    except UndecodableError as error:
        return Looked([Dropped(record.id, error.reason, error.detail)])
    except OSError as error:
        return Looked([Dropped(record.id, "unreadable file", error.strerror or str(error))])


def _is_face(results: list[Face | Dropped]) -> bool:
    return any(isinstance(result, Face) for result in results)


def _look_at_video(record: Record, file: File, rules: Ingest) -> Looked:
    results: list[Face | Dropped] = []
    before, looked_at, with_a_face = None, 0, 0
    try:
        with on_disk(file) as path:
            for frame in frames(path, rules.frames_per_second):
                looked_at += 1
                id = f"{record.id}@{frame.number}"
                if before is not None and not changed(before, frame.picture):
                    results.append(Dropped(id, "frame like the one before", "nothing moved", defect=False))
                    continue
                before = frame.picture
                emotion = record.frames.get(frame.number) if record.frames is not None else record.emotion
                found = _faces_in(frame.picture, replace(record, id=id, emotion=emotion, frames=None), rules)
                with_a_face += _is_face(found)
                results += found
    except UndecodableError as error:
        results.append(Dropped(record.id, error.reason, error.detail))
    return Looked(results, looked_at, with_a_face)


def _faces_in(picture: Picture, record: Record, rules: Ingest) -> list[Face | Dropped]:
    """The faces found in a picture, or why there are none. Where only one is wanted it is the largest."""
    height, width = picture.shape[:2]
    if record.box is not None:
        x, y, box_width, box_height = record.box
        if not (box_width > 0 and box_height > 0 and -box_width < x < width and -box_height < y < height):  # nor NaN
            place = f"{x:g}, {y:g}, {box_width:g} x {box_height:g}; the picture has {width} x {height}"
            return [Dropped(record.id, "box outside the picture", place)]
        boxes = [outlined(*record.box, score=1.0, eyes=None)]
    else:
        boxes = _detector(rules.detector, rules.min_face_px // 2).find(picture)
    if not boxes:
        return [Dropped(record.id, "no face", f"{width} x {height} pixels", defect=False)]
    if record.faces == "one" or record.box is not None:
        return [_cut(picture, boxes[0], record, rules)]
    return [_cut(picture, box, replace(record, id=f"{record.id}#{k}"), rules) for k, box in enumerate(boxes, 1)]


def _cut(picture: Picture, box: Box, record: Record, rules: Ingest) -> Face | Dropped:
    if (side := max(box.width, box.height)) < rules.min_face_px:
        least = f"{side:.0f} pixels; at least {rules.min_face_px} by ingest.min_face_px"
        return Dropped(record.id, "face too small", least, defect=False)
    face = crop(picture, box, rules.size, rules.align)
    if (mean := float(face.mean())) < rules.min_brightness:
        least = f"mean {mean:.0f}; at least {rules.min_brightness:g} by ingest.min_brightness"
        return Dropped(record.id, "face too dark", least, defect=False)
    return Face(record, face)


def _turned(face: Square, rules: Ingest) -> Square:
    """The face with its eyes level, where that is wanted and they can be found."""
    if not rules.align:
        return face
    turned = levelled(face)
    return face if turned is None else turned


@lru_cache(maxsize=1)
def _detector(kind: str, min_face_px: int) -> Detector:
    return detector(kind, min_face_px)
