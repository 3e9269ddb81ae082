"""From pictures and videos to faces, every one of them accounted for."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fer.data.ingest import extraction
from fer.data.ingest.extraction import IMAGES_PER_CHUNK, ExtractedFace, extract_faces
from fer.data.media.detection import FaceBox
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.params import load_params

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def rules() -> Ingest:
    fixed = {"size": 48, "align": False, "min_face_px": 20, "min_brightness": 20, "frames_per_second": 5.0}
    return load_params(PROJECT / "params.yaml").ingest.model_copy(update=fixed)


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the detector find given boxes; pictures are looked at in this process."""
    monkeypatch.setenv("FER_NPROC", "1")

    def find(*boxes: tuple[float, float, float, float]) -> None:
        class Stub:
            def detect(self, picture: np.ndarray) -> list[FaceBox]:
                return [FaceBox(*map(float, box), score=1.0, eyes=None) for box in boxes]

        monkeypatch.setattr(extraction, "_cached_detector", lambda kind, least: Stub())

    return find


def noise(seed: int, height: int = 100, width: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photo(folder: Path, name: str, picture: np.ndarray) -> File:
    Image.fromarray(picture).save(folder / name)
    file = Folder(folder).file(name)
    assert file is not None
    return file


def results(records: Sequence[Record | SkippedItem], rules: Ingest) -> list[ExtractedFace | SkippedItem]:
    return [result for looked in extract_faces(records, rules) for result in looked.results]


def told(found: Sequence[ExtractedFace | SkippedItem]) -> dict[str, str]:
    return {
        (result.id if isinstance(result, SkippedItem) else result.record.id): (
            result.reason if isinstance(result, SkippedItem) else "face"
        )
        for result in found
    }


def test_of_all_faces_each_gets_an_id_and_of_one_the_largest_keeps_the_pictures(
    tmp_path: Path, rules: Ingest, finding: Any
) -> None:
    file = photo(tmp_path, "a.png", noise(0))
    finding((10, 10, 60, 60), (50, 50, 30, 30))
    assert told(results([Record("a", file, face_mode="all")], rules)) == {"a#1": "face", "a#2": "face"}
    (one,) = results([Record("a", file, "happy", face_mode="one")], rules)
    (both, _) = results([Record("a", file, face_mode="all")], rules)
    assert isinstance(one, ExtractedFace)
    assert (one.record.id, one.record.emotion) == ("a", "happy")
    assert (one.pixels == both.pixels).all()


def test_a_picture_without_a_face_too_small_or_too_dark_is_told_and_is_no_defect(
    tmp_path: Path, rules: Ingest, finding: Any
) -> None:
    light, dark = photo(tmp_path, "light.png", noise(0)), photo(tmp_path, "dark.png", noise(0) // 16)
    finding()
    none = results([Record("none", light, face_mode="all")], rules)
    finding((0, 0, 19, 19))
    small = results([Record("small", light, face_mode="one")], rules)
    finding((0, 0, 60, 60))
    black = results([Record("dark", dark, face_mode="one")], rules)
    assert told([*none, *small, *black]) == {
        "none": "no face",
        "small": "face too small",
        "dark": "face too dark",
    }
    assert not any(result.is_defect for result in [*none, *small, *black] if isinstance(result, SkippedItem))


def test_a_box_that_is_known_is_cut_out_and_one_outside_is_a_defect(
    tmp_path: Path, rules: Ingest, finding: Any
) -> None:
    finding((0, 0, 5, 5))  # not asked
    picture = np.full((100, 200, 3), 40, dtype=np.uint8)
    picture[:, 100:] = 200
    file = photo(tmp_path, "a.png", picture)
    left, right, outside = results(
        [
            Record("left", file, box=(20.0, 20.0, 50.0, 50.0)),
            Record("right", file, box=(130.0, 20.0, 50.0, 50.0)),
            Record("outside", file, box=(200.0, 20.0, 50.0, 50.0)),
        ],
        rules,
    )
    assert isinstance(left, ExtractedFace)
    assert (left.pixels == 40).all()
    assert isinstance(right, ExtractedFace)
    assert (right.pixels == 200).all()
    assert isinstance(outside, SkippedItem)
    assert (outside.reason, outside.is_defect) == ("box outside the picture", True)


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 9.0), (5.0, 5.0, -3.0, 9.0), (np.nan, 0.0, 9.0, 9.0)])
def test_a_box_that_is_none_is_a_defect(tmp_path: Path, rules: Ingest, box: tuple[float, float, float, float]) -> None:
    (found,) = results([Record("a", photo(tmp_path, "a.png", noise(0)), box=box)], rules)
    assert isinstance(found, SkippedItem)
    assert found.is_defect


def test_what_can_t_be_read_is_told_whatever_is_wanted_of_it(tmp_path: Path, rules: Ingest, finding: Any) -> None:
    finding((0, 0, 60, 60))
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "empty.jpg").touch()
    files = list(Folder(tmp_path).files())
    for faces in ("whole", "one", "all"):
        found = results([Record(file.id, file, face_mode=faces) for file in files], rules)
        assert told(found) == {"empty.jpg": "empty file", "text.jpg": "not a picture"}
    gone = photo(tmp_path, "gone.png", noise(0))
    (tmp_path / "gone.png").unlink()
    assert told(results([Record("gone", gone)], rules)) == {"gone": "unreadable file"}


def test_pictures_in_an_archive_are_the_same_faces_and_damage_is_told(tmp_path: Path, rules: Ingest) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "packed").mkdir()
    with zipfile.ZipFile(tmp_path / "packed/x.zip", "w") as archive:
        for seed in range(3):
            photo(tmp_path / "plain", f"{seed}.png", noise(seed))
            archive.write(tmp_path / f"plain/{seed}.png", f"{seed}.png")
    data = bytearray((tmp_path / "packed/x.zip").read_bytes())
    data[data.index(b"IDAT") + 100] ^= 0xFF  # in the first picture: its checksum no longer holds
    (tmp_path / "packed/x.zip").write_bytes(data)
    plain = results([Record(file.id, file) for file in Folder(tmp_path / "plain").files()], rules)
    (folder,) = Folder(tmp_path / "packed").folders()
    packed = results([Record(file.name, file) for file in folder.files()], rules)
    assert told(packed) == {"0.png": "damaged archive", "1.png": "face", "2.png": "face"}
    for one, other in zip(plain[1:], packed[1:], strict=True):
        assert isinstance(one, ExtractedFace)
        assert isinstance(other, ExtractedFace)
        assert (one.pixels == other.pixels).all()


def write_video(path: Path, pictures: Sequence[np.ndarray], per_second: float = 10.0) -> None:
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), per_second, (width, height))
    for picture in pictures:
        writer.write(picture[:, :, ::-1])
    writer.release()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds at ten frames a second: the first of one picture, the second of another."""
    blocks = [noise(seed, 8, 8).repeat(20, axis=0).repeat(20, axis=1) for seed in range(2)]
    (tmp_path / "video").mkdir()
    write_video(tmp_path / "video/clip.avi", [blocks[0]] * 10 + [blocks[1]] * 10)
    return tmp_path / "video"


def test_frames_are_taken_by_time_and_still_ones_once(video: Path, rules: Ingest, finding: Any) -> None:
    finding((10, 10, 100, 100))
    (file,) = Folder(video).files()
    (looked,) = extract_faces([Record("clip.avi", file, group="clip.avi", face_mode="all")], rules)
    assert (looked.n_images, looked.n_with_face) == (10, 2)
    faces = [result for result in looked.results if isinstance(result, ExtractedFace)]
    still = [result for result in looked.results if isinstance(result, SkippedItem)]
    assert [face.record.id for face in faces] == ["clip.avi@0#1", "clip.avi@10#1"]
    assert {face.record.group for face in faces} == {"clip.avi"}
    assert {frame.reason for frame in still} == {"frame like the one before"}
    assert len(faces) + len(still) == looked.n_images


def test_each_frame_has_the_emotion_that_was_given_to_it(video: Path, rules: Ingest, finding: Any) -> None:
    finding((10, 10, 100, 100))
    (file,) = Folder(video).files()
    record = Record("clip", file, face_mode="one", frame_emotions={10: "happy", 11: "sad"}, by_rule=True)
    faces = [result for result in results([record], rules) if isinstance(result, ExtractedFace)]
    assert [(face.record.id, face.record.emotion) for face in faces] == [("clip@0", None), ("clip@10", "happy")]


def test_a_video_in_an_archive_gives_the_same_faces(video: Path, rules: Ingest, finding: Any) -> None:
    finding((10, 10, 100, 100))
    (file,) = Folder(video).files()
    plain = results([Record("clip", file, face_mode="one")], rules)
    with zipfile.ZipFile(video / "x.zip", "w") as archive:
        archive.write(video / "clip.avi", "clip.avi")
    (folder,) = Folder(video).folders()
    packed = results([Record("clip", folder.files()[0], face_mode="one")], rules)
    assert told(packed) == told(plain)
    (video / "clip.avi").unlink()
    assert told(results([Record("clip", folder.files()[0], face_mode="one")], rules)) == told(plain)


def test_a_video_in_a_damaged_archive_is_told(video: Path, rules: Ingest, finding: Any) -> None:
    finding((10, 10, 100, 100))
    with zipfile.ZipFile(video / "x.zip", "w") as archive:
        archive.write(video / "clip.avi", "clip.avi")
    data = bytearray((video / "x.zip").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (video / "x.zip").write_bytes(data)
    (folder,) = Folder(video).folders()
    assert told(results([Record("clip", folder.files()[0], face_mode="one")], rules)) == {"clip": "damaged archive"}


def test_order_is_kept_over_chunks_and_what_was_dropped_before_stays_in_its_place(
    tmp_path: Path, rules: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    faces = [
        Record(str(number), np.full((48, 48), number % 256, dtype=np.uint8)) for number in range(5 * IMAGES_PER_CHUNK)
    ]
    items: list[Record | SkippedItem] = [*faces[:100], SkippedItem("here", "no label", ""), *faces[100:]]
    found = results(items, rules)
    assert [result.id if isinstance(result, SkippedItem) else result.record.id for result in found] == [
        item.id for item in items
    ]


def test_alignment_turns_a_face_only_where_its_eyes_are_found(rules: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = np.zeros((48, 48), dtype=np.uint8)
    face = np.full((48, 48), 100, dtype=np.uint8)
    wanted = rules.model_copy(update={"align": True})
    for found in (turned, None):
        monkeypatch.setattr(extraction, "align_face", lambda _, found=found: found)
        (result,) = results([Record("a", face)], wanted)
        assert isinstance(result, ExtractedFace)
        assert (result.pixels == (face if found is None else turned)).all()
    monkeypatch.setattr(extraction, "align_face", lambda _: turned)
    (result,) = results([Record("a", face)], rules)
    assert isinstance(result, ExtractedFace)
    assert (result.pixels == face).all()
