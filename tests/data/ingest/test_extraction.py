"""Extraction of faces from images and videos: every item gives faces or a reason."""

import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fer.data.ingest import extraction
from fer.data.ingest.extraction import IMAGES_PER_CHUNK, ExtractedFace, extract_faces
from fer.data.media.detection import FaceBox
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.params import load_params

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def settings() -> Ingest:
    fixed_values = {"size": 48, "align": False, "min_face_px": 20, "min_brightness": 20, "frames_per_second": 5.0}
    return load_params(PROJECT / "params.yaml").ingest.model_copy(update=fixed_values)


@pytest.fixture
def set_boxes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes the detector return given boxes; images are processed in this process."""
    monkeypatch.setenv("FER_NPROC", "1")

    def find(*boxes: tuple[float, float, float, float]) -> None:
        class Stub:
            def detect(self, image: np.ndarray) -> list[FaceBox]:
                return [FaceBox(*map(float, box), score=1.0, eyes=None) for box in boxes]

        monkeypatch.setattr(extraction, "_cached_detector", lambda kind, min_face_px: Stub())

    return find


def make_noise(seed: int, height: int = 100, width: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_image(folder: Path, name: str, image: np.ndarray) -> File:
    Image.fromarray(image).save(folder / name)
    file = Folder(folder).file(name)
    assert file is not None
    return file


def extract(records: Sequence[Record | SkippedItem], settings: Ingest) -> list[ExtractedFace | SkippedItem]:
    return [result for extraction in extract_faces(records, settings) for result in extraction.results]


def reasons(items: Sequence[ExtractedFace | SkippedItem]) -> dict[str, str]:
    return {
        (result.id if isinstance(result, SkippedItem) else result.record.id): (
            result.reason if isinstance(result, SkippedItem) else "face"
        )
        for result in items
    }


def test_all_faces_get_ids_of_their_own_and_a_single_face_keeps_the_id_of_its_image(
    tmp_path: Path, settings: Ingest, set_boxes: Any
) -> None:
    file = save_image(tmp_path, "a.png", make_noise(0))
    set_boxes((10, 10, 60, 60), (50, 50, 30, 30))
    assert reasons(extract([Record("a", file, face_mode="all")], settings)) == {"a#1": "face", "a#2": "face"}
    (single,) = extract([Record("a", file, "happy", face_mode="one")], settings)
    (first, _) = extract([Record("a", file, face_mode="all")], settings)
    assert isinstance(single, ExtractedFace)
    assert (single.record.id, single.record.emotion) == ("a", "happy")
    assert (single.pixels == first.pixels).all()


def test_missing_small_and_dark_faces_are_skipped_without_being_defects(
    tmp_path: Path, settings: Ingest, set_boxes: Any
) -> None:
    light = save_image(tmp_path, "light.png", make_noise(0))
    dark = save_image(tmp_path, "dark.png", make_noise(0) // 16)
    set_boxes()
    none = extract([Record("none", light, face_mode="all")], settings)
    set_boxes((0, 0, 19, 19))
    small = extract([Record("small", light, face_mode="one")], settings)
    set_boxes((0, 0, 60, 60))
    black = extract([Record("dark", dark, face_mode="one")], settings)
    assert reasons([*none, *small, *black]) == {
        "none": "no face",
        "small": "face too small",
        "dark": "face too dark",
    }
    assert not any(result.is_defect for result in [*none, *small, *black] if isinstance(result, SkippedItem))


def test_a_given_box_is_cropped_and_one_outside_the_image_is_a_defect(
    tmp_path: Path, settings: Ingest, set_boxes: Any
) -> None:
    set_boxes((0, 0, 5, 5))  # the detector must not be used
    image = np.full((100, 200, 3), 40, dtype=np.uint8)
    image[:, 100:] = 200
    file = save_image(tmp_path, "a.png", image)
    dark, light, outside = extract(
        [
            Record("dark", file, box=(20.0, 20.0, 50.0, 50.0)),
            Record("light", file, box=(130.0, 20.0, 50.0, 50.0)),
            Record("outside", file, box=(200.0, 20.0, 50.0, 50.0)),
        ],
        settings,
    )
    assert isinstance(dark, ExtractedFace)
    assert (dark.pixels == 40).all()
    assert isinstance(light, ExtractedFace)
    assert (light.pixels == 200).all()
    assert isinstance(outside, SkippedItem)
    assert (outside.reason, outside.is_defect) == ("box outside the picture", True)


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 9.0), (5.0, 5.0, -3.0, 9.0), (np.nan, 0.0, 9.0, 9.0)])
def test_an_invalid_box_is_a_defect(tmp_path: Path, settings: Ingest, box: tuple[float, float, float, float]) -> None:
    (result,) = extract([Record("a", save_image(tmp_path, "a.png", make_noise(0)), box=box)], settings)
    assert isinstance(result, SkippedItem)
    assert result.is_defect


def test_undecodable_images_are_skipped_in_every_face_mode(tmp_path: Path, settings: Ingest, set_boxes: Any) -> None:
    set_boxes((0, 0, 60, 60))
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "empty.jpg").touch()
    files = list(Folder(tmp_path).files())
    for face_mode in ("whole", "one", "all"):
        items = extract([Record(file.id, file, face_mode=face_mode) for file in files], settings)
        assert reasons(items) == {"empty.jpg": "empty file", "text.jpg": "not a picture"}
    missing = save_image(tmp_path, "gone.png", make_noise(0))
    (tmp_path / "gone.png").unlink()
    assert reasons(extract([Record("gone", missing)], settings)) == {"gone": "unreadable file"}


def test_images_in_an_archive_give_the_same_faces_and_damaged_ones_are_skipped(
    tmp_path: Path, settings: Ingest
) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "packed").mkdir()
    with zipfile.ZipFile(tmp_path / "packed/x.zip", "w") as archive:
        for seed in range(3):
            save_image(tmp_path / "plain", f"{seed}.png", make_noise(seed))
            archive.write(tmp_path / f"plain/{seed}.png", f"{seed}.png")
    data = bytearray((tmp_path / "packed/x.zip").read_bytes())
    data[data.index(b"IDAT") + 100] ^= 0xFF  # in the first image, whose checksum becomes wrong
    (tmp_path / "packed/x.zip").write_bytes(data)
    plain = extract([Record(file.id, file) for file in Folder(tmp_path / "plain").files()], settings)
    (folder,) = Folder(tmp_path / "packed").folders()
    packed = extract([Record(file.name, file) for file in folder.files()], settings)
    assert reasons(packed) == {"0.png": "damaged archive", "1.png": "face", "2.png": "face"}
    for face, packed_face in zip(plain[1:], packed[1:], strict=True):
        assert isinstance(face, ExtractedFace)
        assert isinstance(packed_face, ExtractedFace)
        assert (face.pixels == packed_face.pixels).all()


def write_video(path: Path, images: Sequence[np.ndarray], per_second: float = 10.0) -> None:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), per_second, (width, height))
    for image in images:
        writer.write(image[:, :, ::-1])
    writer.release()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds at ten frames a second: one still image in the first, another in the second."""
    blocks = [make_noise(seed, 8, 8).repeat(20, axis=0).repeat(20, axis=1) for seed in range(2)]
    (tmp_path / "video").mkdir()
    write_video(tmp_path / "video/clip.avi", [blocks[0]] * 10 + [blocks[1]] * 10)
    return tmp_path / "video"


def test_frames_are_sampled_by_time_without_repeating_still_ones(video: Path, settings: Ingest, set_boxes: Any) -> None:
    set_boxes((10, 10, 100, 100))
    (file,) = Folder(video).files()
    (extraction,) = extract_faces([Record("clip.avi", file, group="clip.avi", face_mode="all")], settings)
    assert (extraction.n_images, extraction.n_with_face) == (10, 2)
    faces = [result for result in extraction.results if isinstance(result, ExtractedFace)]
    still = [result for result in extraction.results if isinstance(result, SkippedItem)]
    assert [face.record.id for face in faces] == ["clip.avi@0#1", "clip.avi@10#1"]
    assert {face.record.group for face in faces} == {"clip.avi"}
    assert {frame.reason for frame in still} == {"frame like the one before"}
    assert len(faces) + len(still) == extraction.n_images


def test_each_frame_has_its_own_emotion(video: Path, settings: Ingest, set_boxes: Any) -> None:
    set_boxes((10, 10, 100, 100))
    (file,) = Folder(video).files()
    record = Record("clip", file, face_mode="one", frame_emotions={10: "happy", 11: "sad"}, by_rule=True)
    faces = [result for result in extract([record], settings) if isinstance(result, ExtractedFace)]
    assert [(face.record.id, face.record.emotion) for face in faces] == [("clip@0", None), ("clip@10", "happy")]


def test_a_video_in_an_archive_gives_the_same_faces(video: Path, settings: Ingest, set_boxes: Any) -> None:
    set_boxes((10, 10, 100, 100))
    (file,) = Folder(video).files()
    plain = extract([Record("clip", file, face_mode="one")], settings)
    with zipfile.ZipFile(video / "x.zip", "w") as archive:
        archive.write(video / "clip.avi", "clip.avi")
    (folder,) = Folder(video).folders()
    packed = extract([Record("clip", folder.files()[0], face_mode="one")], settings)
    assert reasons(packed) == reasons(plain)
    (video / "clip.avi").unlink()
    assert reasons(extract([Record("clip", folder.files()[0], face_mode="one")], settings)) == reasons(plain)


def test_a_video_in_a_damaged_archive_is_skipped(video: Path, settings: Ingest, set_boxes: Any) -> None:
    set_boxes((10, 10, 100, 100))
    with zipfile.ZipFile(video / "x.zip", "w") as archive:
        archive.write(video / "clip.avi", "clip.avi")
    data = bytearray((video / "x.zip").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (video / "x.zip").write_bytes(data)
    (folder,) = Folder(video).folders()
    assert reasons(extract([Record("clip", folder.files()[0], face_mode="one")], settings)) == {
        "clip": "damaged archive"
    }


def test_results_keep_the_order_of_items_over_chunks(
    tmp_path: Path, settings: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    monkeypatch.setattr("fer.runtime.parallel.ALONE_SECONDS", -1)
    faces = [
        Record(str(number), np.full((48, 48), number % 256, dtype=np.uint8)) for number in range(5 * IMAGES_PER_CHUNK)
    ]
    items: list[Record | SkippedItem] = [*faces[:100], SkippedItem("here", "no label", ""), *faces[100:]]
    assert [
        result.id if isinstance(result, SkippedItem) else result.record.id for result in extract(items, settings)
    ] == [item.id for item in items]


def test_several_videos_are_read_in_parallel_at_once(
    tmp_path: Path, settings: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    video, image = (Record(file.id, file) for file in Folder(tmp_path).files())
    chunks_are_long: list[bool] = []

    def note(function: object, chunks: Iterable[Any], is_long: Callable[[Any], bool], **_: object) -> list[Any]:
        chunks_are_long.extend(map(is_long, chunks))
        return []

    monkeypatch.setattr(extraction, "ordered_map", note)
    extract([image, video, video, image], settings)
    assert chunks_are_long == [True, True, False]


def test_a_face_is_aligned_only_if_its_eyes_are_found(settings: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    rotated = np.zeros((48, 48), dtype=np.uint8)
    face = np.full((48, 48), 100, dtype=np.uint8)
    with_alignment = settings.model_copy(update={"align": True})
    for aligned_face in (rotated, None):
        monkeypatch.setattr(extraction, "align_face", lambda _, aligned_face=aligned_face: aligned_face)
        (result,) = extract([Record("a", face)], with_alignment)
        assert isinstance(result, ExtractedFace)
        assert (result.pixels == (face if aligned_face is None else rotated)).all()
    monkeypatch.setattr(extraction, "align_face", lambda _: rotated)
    (result,) = extract([Record("a", face)], settings)
    assert isinstance(result, ExtractedFace)
    assert (result.pixels == face).all()
