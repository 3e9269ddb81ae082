"""Extraction of faces from images and videos: decode, detect, crop and align."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from fer.data.media.detection import FaceBox, FaceDetector, align_face, crop_face, frame_tight_box, make_detector
from fer.data.media.folders import VIDEO_SUFFIXES, File, SkippedItem, local_path, read_image_bytes
from fer.data.media.images import (
    FaceCrop,
    ImageArray,
    UndecodableError,
    decode_face,
    decode_image,
    parse_pixels,
    resize_face,
)
from fer.data.media.video import frames_differ, read_frames
from fer.data.readers.params import Ingest
from fer.data.readers.record import PixelText, Record
from fer.runtime.parallel import ordered_map

IMAGES_PER_CHUNK = 64  # images sent to a process at a time
CHUNK_BYTES = 16 << 20  # size of a chunk's images from archives, which the main process reads and sends along


@dataclass(frozen=True, slots=True)
class ExtractedFace:
    """A face and its record; `record.id` is unique among the faces of one image."""

    record: Record
    pixels: FaceCrop


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """The faces of one record, or the reasons why there are none."""

    results: list[ExtractedFace | SkippedItem]
    n_images: int = 1  # images examined; for a video, frames
    n_with_face: int = 0


ExtractionTask = tuple[Record | SkippedItem, bytes | None]


def extract_faces(
    items: Iterable[Record | SkippedItem], settings: Ingest, *, threads: bool = False
) -> Iterator[ExtractionResult]:
    """Yield the faces of each record, in order, using all cores. Memory holds a bounded number of images.

    Args:
        threads: Use threads in place of processes, which a script without a main guard can't start.

    Raises:
        InputError: The detector is not available, or a process died.
    """
    extract = partial(_extract_chunk, settings=settings)
    for results in ordered_map(extract, _make_chunks(items), threads=threads, is_long=_ends_with_video):
        yield from results


def _make_chunks(items: Iterable[Record | SkippedItem]) -> Iterator[list[ExtractionTask]]:
    """Yield chunks of items, each with its bytes if it is an image in an archive. A video is the last of its chunk."""
    chunk: list[ExtractionTask] = []
    n_bytes = 0
    for item in items:
        content = None
        image = item.image if isinstance(item, Record) else None
        is_video = _is_video(item)
        if isinstance(image, File) and image.archive is not None and not is_video:
            try:
                content = read_image_bytes(image)
            except UndecodableError as error:
                item = SkippedItem(item.id, error.reason, error.detail)
            n_bytes += len(content or b"")
        chunk.append((item, content))
        if len(chunk) == IMAGES_PER_CHUNK or n_bytes > CHUNK_BYTES or is_video:
            yield chunk
            chunk, n_bytes = [], 0
    if chunk:
        yield chunk


def _is_video(item: Record | SkippedItem) -> bool:
    return isinstance(item, Record) and isinstance(item.image, File) and item.image.suffix in VIDEO_SUFFIXES


def _ends_with_video(chunk: list[ExtractionTask]) -> bool:
    return _is_video(chunk[-1][0])


def _extract_chunk(chunk: list[ExtractionTask], settings: Ingest) -> list[ExtractionResult]:
    return [
        ExtractionResult([item], n_images=0)
        if isinstance(item, SkippedItem)
        else _extract_record(item, content, settings)
        for item, content in chunk
    ]


def _extract_record(record: Record, content: bytes | None, settings: Ingest) -> ExtractionResult:
    try:
        match record.image:
            case File() as file if file.suffix in VIDEO_SUFFIXES:
                return _extract_video(record, file, settings)
            case np.ndarray() as pixels:
                face = resize_face(pixels, settings.size)
            case PixelText(text, side):
                face = resize_face(parse_pixels(text, side), settings.size)
            case File() as file:
                source = file.path if content is None else content
                if record.face_mode != "whole" or record.box is not None:
                    results = _extract_from_image(decode_image(source), record, settings)
                    return ExtractionResult(results, n_with_face=_has_face(results))
                face = decode_face(source, settings.size)
        aligned_face = align_face(face) if settings.align else None
        return ExtractionResult([ExtractedFace(record, face if aligned_face is None else aligned_face)], n_with_face=1)
    except UndecodableError as error:
        return ExtractionResult([SkippedItem(record.id, error.reason, error.detail)])
    except OSError as error:
        return ExtractionResult([SkippedItem(record.id, "unreadable file", error.strerror or str(error))])


def _has_face(results: list[ExtractedFace | SkippedItem]) -> bool:
    return any(isinstance(result, ExtractedFace) for result in results)


def _extract_video(record: Record, file: File, settings: Ingest) -> ExtractionResult:
    results: list[ExtractedFace | SkippedItem] = []
    last_image, n_frames, n_with_face = None, 0, 0
    try:
        with local_path(file) as path:
            for frame in read_frames(path, settings.frames_per_second):
                n_frames += 1
                id = f"{record.id}@{frame.number}"
                if last_image is not None and not frames_differ(last_image, frame.image):
                    results.append(SkippedItem(id, "frame like the one before", "nothing moved", is_defect=False))
                    continue
                last_image = frame.image
                emotion = (
                    record.frame_emotions.get(frame.number) if record.frame_emotions is not None else record.emotion
                )
                frame_record = replace(record, id=id, emotion=emotion, frame_emotions=None)
                frame_results = _extract_from_image(frame.image, frame_record, settings)
                n_with_face += _has_face(frame_results)
                results += frame_results
    except UndecodableError as error:
        results.append(SkippedItem(record.id, error.reason, error.detail))
    return ExtractionResult(results, n_frames, n_with_face)


def _extract_from_image(image: ImageArray, record: Record, settings: Ingest) -> list[ExtractedFace | SkippedItem]:
    """Return the faces of an image (the largest alone for `face_mode` "one"), or why there are none."""
    height, width = image.shape[:2]
    if record.box is not None:
        x, y, box_width, box_height = record.box
        # Written so that NaN fails as well.
        if not (box_width > 0 and box_height > 0 and -box_width < x < width and -box_height < y < height):
            detail = f"{x:g}, {y:g}, {box_width:g} x {box_height:g}; the image has {width} x {height}"
            return [SkippedItem(record.id, "box outside the picture", detail)]
        boxes = [frame_tight_box(*record.box, score=1.0, eyes=None)]
    else:
        boxes = _cached_detector(settings.detector, settings.min_face_px // 2).detect(image)
    if not boxes:
        return [SkippedItem(record.id, "no face", f"{width} x {height} pixels", is_defect=False)]
    if record.face_mode == "one" or record.box is not None:
        return [_crop_box(image, boxes[0], record, settings)]
    return [_crop_box(image, box, replace(record, id=f"{record.id}#{k}"), settings) for k, box in enumerate(boxes, 1)]


def _crop_box(image: ImageArray, box: FaceBox, record: Record, settings: Ingest) -> ExtractedFace | SkippedItem:
    if (side := max(box.width, box.height)) < settings.min_face_px:
        detail = f"{side:.0f} pixels; at least {settings.min_face_px} by ingest.min_face_px"
        return SkippedItem(record.id, "face too small", detail, is_defect=False)
    face = crop_face(image, box, settings.size, settings.align)
    if (mean := float(face.mean())) < settings.min_brightness:
        detail = f"mean {mean:.0f}; at least {settings.min_brightness:g} by ingest.min_brightness"
        return SkippedItem(record.id, "face too dark", detail, is_defect=False)
    return ExtractedFace(record, face)


@lru_cache(maxsize=1)
def _cached_detector(kind: str, min_face_px: int) -> FaceDetector:
    return make_detector(kind, min_face_px)
