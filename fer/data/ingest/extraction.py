"""Pictures and videos -> faces: decoded, found, cut out and turned."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from jaxtyping import UInt8

from fer.data.media.detection import FaceBox, FaceDetector, align_face, crop_face, frame_tight_box, make_detector
from fer.data.media.folders import VIDEO_SUFFIXES, File, local_path, read_image_bytes
from fer.data.media.images import UndecodableError, decode_face, decode_image, parse_pixels, resize_face
from fer.data.media.issues import SkippedItem
from fer.data.media.video import frames_differ, read_frames
from fer.data.readers.params import Ingest
from fer.data.readers.record import PixelText, Record
from fer.runtime.parallel import ordered_map

IMAGES_PER_CHUNK = 64  # pictures that a process gets at a time
CHUNK_BYTES = 16 << 20  # of pictures in archives: these are read here and sent along

FaceCrop = UInt8[np.ndarray, "size size"]
ImageArray = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True)
class ExtractedFace:
    """A face and what is known of it; `record.id` tells it from the others of its picture."""

    record: Record
    pixels: FaceCrop


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """What became of one record: its faces, or why there are none."""

    results: list[ExtractedFace | SkippedItem]
    n_images: int = 1  # looked at: of a video its frames
    n_with_face: int = 0


ExtractionTask = tuple[Record | SkippedItem, bytes | None]


def extract_faces(
    items: Iterable[Record | SkippedItem], settings: Ingest, *, threads: bool = False
) -> Iterator[ExtractionResult]:
    """The faces of each record, in order, on all cores. Memory holds a bounded number of pictures.

    Raises:
        InputError: the detector can't be had, or a process died over a picture.
    """
    for looked in ordered_map(partial(_extract_chunk, rules=settings), _make_chunks(items), threads=threads):
        yield from looked


def _make_chunks(items: Iterable[Record | SkippedItem]) -> Iterator[list[ExtractionTask]]:
    """Items, with the bytes of a picture that is in an archive. A video is a chunk of its own."""
    chunk: list[ExtractionTask] = []
    sent = 0
    for item in items:
        data = None
        picture = item.image if isinstance(item, Record) else None
        is_video = isinstance(picture, File) and picture.suffix in VIDEO_SUFFIXES
        if isinstance(picture, File) and picture.archive is not None and not is_video:
            try:
                data = read_image_bytes(picture)
            except UndecodableError as error:
                item = SkippedItem(item.id, error.reason, error.detail)
            sent += len(data or b"")
        chunk.append((item, data))
        if len(chunk) == IMAGES_PER_CHUNK or sent > CHUNK_BYTES or is_video:
            yield chunk
            chunk, sent = [], 0
    if chunk:
        yield chunk


def _extract_chunk(chunk: list[ExtractionTask], rules: Ingest) -> list[ExtractionResult]:
    return [
        ExtractionResult([item], n_images=0) if isinstance(item, SkippedItem) else _extract_record(item, data, rules)
        for item, data in chunk
    ]


def _extract_record(record: Record, data: bytes | None, rules: Ingest) -> ExtractionResult:
    try:
        match record.image:
            case File() as file if file.suffix in VIDEO_SUFFIXES:
                return _extract_video(record, file, rules)
            case np.ndarray() as pixels:
                face = resize_face(pixels, rules.size)
            case PixelText(text, side):
                face = resize_face(parse_pixels(text, side), rules.size)
            case File() as file:
                source = file.path if data is None else data
                if record.face_mode != "whole" or record.box is not None:
                    results = _extract_from_image(decode_image(source), record, rules)
                    return ExtractionResult(results, n_with_face=_has_face(results))
                face = decode_face(source, rules.size)
        return ExtractionResult([ExtractedFace(record, _align_if_wanted(face, rules))], n_with_face=1)
    except UndecodableError as error:
        return ExtractionResult([SkippedItem(record.id, error.reason, error.detail)])
    except OSError as error:
        return ExtractionResult([SkippedItem(record.id, "unreadable file", error.strerror or str(error))])


def _has_face(results: list[ExtractedFace | SkippedItem]) -> bool:
    return any(isinstance(result, ExtractedFace) for result in results)


def _extract_video(record: Record, file: File, rules: Ingest) -> ExtractionResult:
    results: list[ExtractedFace | SkippedItem] = []
    before, looked_at, with_a_face = None, 0, 0
    try:
        with local_path(file) as path:
            for frame in read_frames(path, rules.frames_per_second):
                looked_at += 1
                id = f"{record.id}@{frame.number}"
                if before is not None and not frames_differ(before, frame.image):
                    results.append(SkippedItem(id, "frame like the one before", "nothing moved", is_defect=False))
                    continue
                before = frame.image
                emotion = (
                    record.frame_emotions.get(frame.number) if record.frame_emotions is not None else record.emotion
                )
                found = _extract_from_image(
                    frame.image, replace(record, id=id, emotion=emotion, frame_emotions=None), rules
                )
                with_a_face += _has_face(found)
                results += found
    except UndecodableError as error:
        results.append(SkippedItem(record.id, error.reason, error.detail))
    return ExtractionResult(results, looked_at, with_a_face)


def _extract_from_image(picture: ImageArray, record: Record, rules: Ingest) -> list[ExtractedFace | SkippedItem]:
    """The faces found in a picture, or why there are none. Where only one is wanted it is the largest."""
    height, width = picture.shape[:2]
    if record.box is not None:
        x, y, box_width, box_height = record.box
        if not (box_width > 0 and box_height > 0 and -box_width < x < width and -box_height < y < height):  # nor NaN
            place = f"{x:g}, {y:g}, {box_width:g} x {box_height:g}; the picture has {width} x {height}"
            return [SkippedItem(record.id, "box outside the picture", place)]
        boxes = [frame_tight_box(*record.box, score=1.0, eyes=None)]
    else:
        boxes = _cached_detector(rules.detector, rules.min_face_px // 2).detect(picture)
    if not boxes:
        return [SkippedItem(record.id, "no face", f"{width} x {height} pixels", is_defect=False)]
    if record.face_mode == "one" or record.box is not None:
        return [_crop_box(picture, boxes[0], record, rules)]
    return [_crop_box(picture, box, replace(record, id=f"{record.id}#{k}"), rules) for k, box in enumerate(boxes, 1)]


def _crop_box(picture: ImageArray, box: FaceBox, record: Record, rules: Ingest) -> ExtractedFace | SkippedItem:
    if (side := max(box.width, box.height)) < rules.min_face_px:
        least = f"{side:.0f} pixels; at least {rules.min_face_px} by ingest.min_face_px"
        return SkippedItem(record.id, "face too small", least, is_defect=False)
    face = crop_face(picture, box, rules.size, rules.align)
    if (mean := float(face.mean())) < rules.min_brightness:
        least = f"mean {mean:.0f}; at least {rules.min_brightness:g} by ingest.min_brightness"
        return SkippedItem(record.id, "face too dark", least, is_defect=False)
    return ExtractedFace(record, face)


def _align_if_wanted(face: FaceCrop, rules: Ingest) -> FaceCrop:
    """The face with its eyes level, where that is wanted and they can be found."""
    if not rules.align:
        return face
    turned = align_face(face)
    return face if turned is None else turned


@lru_cache(maxsize=1)
def _cached_detector(kind: str, min_face_px: int) -> FaceDetector:
    return make_detector(kind, min_face_px)
