"""Whatever is handed over is looked at or accounted for, in order, and a face is always taken for the same."""

import io
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from bundles import EMOTIONS, write_package
from hypothesis import given as drawing
from hypothesis import strategies as st
from PIL import Image

import fer
from fer.data.media.detection import FaceBox
from fer.data.synthetic.portraits import draw_portrait
from fer.runtime.errors import InputError
from fer.runtime.parallel import MAX_PENDING_PER_WORKER
from fer.serving.face_finder import MAX_CROP_PX, FaceFinderSettings, FaceMode, find_faces
from fer.serving.inputs import ImageInput, InputLoader
from fer.serving.outputs import result_columns
from fer.serving.package.bundle import ModelPackage
from fer.serving.predictor import Predictor

SEEN = 52  # a drawn person whom the cascade takes for a face
PORTRAIT = np.asarray(draw_portrait("neutral", 0.0, np.random.default_rng(SEEN)))
SMALL = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
WALL = np.full((200, 300, 3), 130, np.uint8)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("bundle") / "package")


@pytest.fixture
def predictor(package: Path) -> Predictor:
    return fer.Predictor.load(package)


def photograph() -> np.ndarray:
    picture = np.full((300, 400, 3), 130, np.uint8)
    picture[50:250, 150:350] = cv2.resize(PORTRAIT, (200, 200), interpolation=cv2.INTER_AREA)
    return picture


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def film(path: Path, *pictures: np.ndarray, rate: float = 10.0) -> Path:
    height, width = pictures[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def statuses(table: pd.DataFrame) -> list[tuple[str, str]]:
    return [(Path(source).name, status) for source, status in zip(table["source"], table["status"], strict=True)]


# One picture


def test_a_face_is_found_where_it_is_and_named_as_the_networks_name_it(predictor: Predictor) -> None:
    (face,) = predictor.predict_image(photograph())
    assert 150 <= face.box.x + face.box.width / 2 <= 350
    assert 50 <= face.box.y + face.box.height / 2 <= 250
    (probs,) = predictor.package(face.face[None])
    assert list(face.probabilities.values()) == pytest.approx(probs.tolist(), abs=1e-6)
    assert face.label == EMOTIONS[int(probs.argmax())]
    assert face.confidence == max(face.probabilities.values())
    assert predictor.predict_image(WALL) == []


def test_below_its_threshold_a_prediction_abstains(tmp_path: Path) -> None:
    accepted = {}
    for name, thresholds in {"all": (0.0, 0.0), "none": (1.1, 1.1)}.items():
        (face,) = Predictor.load(write_package(tmp_path / name, thresholds=thresholds)).predict_image(SMALL)
        accepted[name] = face.accepted
    assert accepted == {"all": True, "none": False}


def test_a_confidence_at_its_threshold_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(write_package(tmp_path / "package", thresholds=(0.7, 0.7)))
    for probs, accepted in (((0.7, 0.3), True), ((0.699, 0.301), False)):
        monkeypatch.setattr(ModelPackage, "__call__", lambda self, faces, probs=probs: np.array([probs], np.float32))
        (face,) = predictor.predict_image(SMALL)
        assert (face.label, face.accepted) == ("angry", accepted)


@pytest.mark.parametrize(
    ("height", "width", "faces", "whole"),
    [
        (MAX_CROP_PX, MAX_CROP_PX, "auto", True),
        (MAX_CROP_PX, MAX_CROP_PX - 12, "auto", True),
        (MAX_CROP_PX, MAX_CROP_PX - 13, "auto", False),
        (MAX_CROP_PX + 1, MAX_CROP_PX + 1, "auto", False),
        (300, 400, "auto", False),
        (300, 400, "whole", True),
        (MAX_CROP_PX, MAX_CROP_PX, "detect", False),
    ],
)
def test_small_squares_are_faces_and_other_pictures_are_searched(
    height: int, width: int, faces: FaceMode, whole: bool, tmp_path: Path
) -> None:
    picture = np.full((height, width, 3), 130, np.uint8)
    rules = FaceFinderSettings(size=16, align=False, faces=faces)
    for form in (picture, Image.fromarray(picture), save(tmp_path / "a.png", picture)):
        found = find_faces(form, rules)
        side = float(min(height, width))
        square = FaceBox((width - side) // 2, (height - side) // 2, side, side, None, None)
        assert [each.box for each in found] == ([square] if whole else [])


def test_a_whole_picture_is_seen_upright(tmp_path: Path) -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, :50] = 255
    exif = Image.Exif()
    exif[274] = 6  # turned a quarter clockwise to be seen
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    (face,) = find_faces(tmp_path / "a.png", FaceFinderSettings(16, False, "whole"))
    assert (face.box.x, face.box.y, face.box.width) == (0, 30, 40)
    assert face.face[:6].min() > 200 > 50 > face.face[-6:].max()


def test_faces_are_turned_if_those_that_the_networks_learnt_from_were(package: Path, tmp_path: Path) -> None:
    turn = cv2.getRotationMatrix2D((100, 100), 15, 1)
    tilted = cv2.warpAffine(cv2.resize(PORTRAIT, (200, 200)), turn, (200, 200), borderMode=cv2.BORDER_REPLICATE)
    plain, aligned = (
        Predictor.load(folder, faces="whole").predict_image(tilted)[0].face
        for folder in (package, write_package(tmp_path / "package", align=True))
    )
    assert not np.array_equal(plain, aligned)


@drawing(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["auto", "whole", "detect"]), st.booleans())
def test_no_shape_of_picture_is_too_much(height: int, width: int, faces: FaceMode, align: bool) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for found in find_faces(picture, FaceFinderSettings(16, align, faces)):
        assert found.face.shape == (16, 16)


# A program's own pictures


def test_a_picture_is_taken_for_the_same_in_every_form(predictor: Predictor, tmp_path: Path) -> None:
    grey = SMALL[..., 0]
    colour = np.dstack([grey] * 3)
    path = save(tmp_path / "a.png", grey)
    forms = [path, str(path), grey, colour, np.dstack([colour, np.full_like(grey, 255)]), Image.fromarray(grey)]
    table = predictor(iter(forms))
    assert len(table) == len(forms)
    assert table["source"].tolist() == [str(path), str(path), "#2", "#3", "#4", "#5"]
    assert table["p_angry"].nunique() == 1
    for form in forms:
        assert predictor(form)["p_angry"].tolist() == table["p_angry"][:1].tolist()
    assert predictor(np.stack([colour] * 3))["source"].tolist() == ["#0", "#1", "#2"]
    assert predictor([]).empty


def test_the_table_is_tidy(predictor: Predictor) -> None:
    table = predictor([SMALL, WALL])
    assert list(table) == result_columns(EMOTIONS)
    assert table.loc[0, ["face", "x", "y", "w", "h"]].tolist() == [0, 0, 0, 48, 48]
    assert table.loc[0, "p_angry"] + table.loc[0, "p_happy"] == pytest.approx(1, abs=1e-5)
    assert table["status"].tolist() == ["ok", "no_face"]
    assert table.loc[1, ["face", "x", "label", "accepted", "p_angry"]].isna().all()
    assert str(table["accepted"].dtype) == "boolean"
    assert set(table["model"]) == {predictor.package.manifest.id}


@pytest.mark.parametrize("wrong", [7, None, [7], np.zeros((4, 4)), [np.zeros((4, 4), np.float32)], [np.zeros((0, 4))]])
def test_what_is_no_picture_is_refused_in_words(predictor: Predictor, wrong: object) -> None:
    with pytest.raises(InputError, match="allowed"):
        predictor(wrong)


def test_a_damaged_picture_of_pillow_has_a_row(predictor: Predictor, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(photograph()).save(content, "JPEG")
    with Image.open(io.BytesIO(content.getvalue()[:2000])) as cut:
        assert predictor([cut, SMALL])["status"].tolist() == ["unreadable", "ok"]


def test_a_picture_of_pillow_is_left_as_it_was(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(photograph()).save(path)
    with Image.open(path) as image:
        predictor(image)
        assert (image.mode, image.size) == ("RGB", (400, 300))


def test_looking_leaves_the_filters_of_warnings_as_they_were(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "4")
    for number in range(40):
        save(tmp_path / f"{number}.png", SMALL)
    before = list(warnings.filters)
    predictor(tmp_path)
    assert list(warnings.filters) == before


# Many


def test_rows_come_in_order_whatever_the_batch_and_however_many_threads(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40), dtype=np.uint8)
        save(tmp_path / f"{number:02}.png", pixels)
    (tmp_path / "05.png").write_bytes(b"")
    monkeypatch.setenv("FER_NPROC", "1")
    one = predictor(tmp_path)
    assert statuses(one) == [(f"{k:02}.png", "unreadable" if k == 5 else "ok") for k in range(12)]
    assert one["p_angry"].nunique() == 11
    monkeypatch.setenv("FER_NPROC", "3")
    monkeypatch.setattr("fer.serving.predictor.IMAGE_BATCH", 5)
    pd.testing.assert_frame_equal(predictor(tmp_path), one, atol=1e-5)


def test_pictures_are_taken_only_as_they_are_needed(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    monkeypatch.setattr("fer.serving.predictor.IMAGE_BATCH", 8)
    taken = 0

    def endless() -> Iterator[ImageInput]:
        nonlocal taken
        while True:
            taken += 1
            yield ImageInput(str(taken), SMALL)

    stream = predictor.stream(endless())
    for done in range(60):
        assert next(stream).input.image is None
        assert taken - done <= 8 + 2 * MAX_PENDING_PER_WORKER
    stream.close()
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


# Folders, archives, patterns


def test_a_folder_gives_its_pictures_in_order_and_a_row_for_what_can_not_be_read(
    predictor: Predictor, tmp_path: Path
) -> None:
    for name in ("b.png", "a.PNG", "inner/c.png", ".hidden.png", ".git/d.png"):
        save(tmp_path / name, SMALL)
    (tmp_path / "e.jpg").write_bytes(b"no picture")
    (tmp_path / "f.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "g.heic").write_bytes(b"?")
    (tmp_path / "damaged.zip").write_bytes(b"PK")
    (tmp_path / "link").symlink_to(tmp_path / "inner")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(tmp_path / "b.png", "in/one.png")
        archive.writestr("../two.png", b"x")
        archive.writestr("three.txt", b"x")
    inputs = InputLoader()
    seen = [
        (str(Path(each.input.source).relative_to(tmp_path)), each.status)
        for each in predictor.stream(inputs.load(str(tmp_path)))
    ]
    assert seen == [
        ("link", "unreadable"),
        ("a.PNG", "ok"),
        ("b.png", "ok"),
        ("damaged.zip", "unreadable"),
        ("e.jpg", "unreadable"),
        ("f.jpg", "unreadable"),
        ("some.zip/../two.png", "unreadable"),
        ("some.zip/in/one.png", "ok"),
        ("inner/c.png", "ok"),
    ]
    assert [note.partition(": ")[2] for note in inputs.notes] == [
        "1 files are of another kind and were left out: .txt 1",
        "2 files of other kinds were left out: .heic 1, .txt 1",
    ]


def test_names_are_patterns_only_where_no_file_has_them(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("[1].png", "1.png", "2.png"):
        save(tmp_path / name, SMALL)
    assert statuses(predictor(f"{tmp_path}/[1].png")) == [("[1].png", "ok")]
    assert statuses(predictor(f"{tmp_path}/?.png")) == [("1.png", "ok"), ("2.png", "ok")]
    assert statuses(predictor(f"{tmp_path}/*.jpg")) == [("*.jpg", "missing")]


@pytest.mark.parametrize("name", ["nowhere.png", "", "a\0b", "a\0b/*", "x" * 5000, "77"])
def test_what_is_not_there_has_a_row(predictor: Predictor, name: str) -> None:
    assert predictor(name)[["source", "status"]].values.tolist() == [[name, "missing"]]


def test_an_empty_folder_has_a_row(predictor: Predictor, tmp_path: Path) -> None:
    assert predictor(tmp_path)["status"].tolist() == ["missing"]


def test_a_folder_that_may_not_be_entered_has_a_row(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "locked/b.png"):
        save(tmp_path / name, SMALL)
    scandir = os.scandir

    def guarded(path: str | Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert statuses(predictor(tmp_path)) == [("a.png", "ok"), ("locked", "unreadable")]


def test_a_name_that_is_no_text_is_told(predictor: Predictor, tmp_path: Path) -> None:
    save(tmp_path / "a.png", SMALL).rename(tmp_path / "\udcff.png")
    assert statuses(predictor(tmp_path)) == [("\\xff.png", "ok")]


# Videos


def test_every_frame_of_a_video_has_a_row_with_its_time(predictor: Predictor, tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", *[photograph(), np.full((300, 400, 3), 130, np.uint8)] * 5)
    table = predictor(path)
    assert table["frame"].tolist() == list(range(10))
    assert table["time_s"].tolist() == pytest.approx([number / 10 for number in range(10)], abs=1e-3)
    assert table["status"].tolist() == ["ok", "no_face"] * 5
    assert predictor(path, frames_per_second=2.0)["frame"].tolist() == [0, 5]


def test_a_video_in_an_archive_is_a_video(predictor: Predictor, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(film(tmp_path / "a.avi", *[SMALL] * 3), "b.avi")
    table = predictor(tmp_path / "some.zip")
    assert (table["source"].unique().tolist(), table["frame"].tolist()) == ([f"{tmp_path}/some.zip/b.avi"], [0, 1, 2])


def test_a_video_that_ends_early_keeps_its_frames_and_says_so(predictor: Predictor, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 48, 3), dtype=np.uint8)
    path = film(tmp_path / "a.avi", *noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    table = predictor([path, SMALL])
    assert table["status"].tolist()[-2:] == ["incomplete", "ok"]
    whole = table[:-2]
    assert len(whole) > 5
    assert whole["frame"].tolist() == list(range(len(whole)))
    assert table["frame"].isna().tolist()[-2:] == [True, True]


@pytest.mark.parametrize("content", [b"", b"no video", b"RIFF\0\0\0\0AVI "])
def test_a_video_without_frames_has_a_row(predictor: Predictor, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    assert statuses(predictor([tmp_path / "a.avi", SMALL])) == [("a.avi", "unreadable"), ("#1", "ok")]


def test_a_video_that_changes_its_size_goes_on_in_that_of_its_first_frame(predictor: Predictor, tmp_path: Path) -> None:
    jpegs = [cv2.imencode(".jpg", np.full((side, side, 3), 90, np.uint8))[1].tobytes() for side in (48, 48, 96, 48)]
    (tmp_path / "a.avi").write_bytes(b"".join(jpegs))  # a stream of JPEG
    table = predictor(tmp_path / "a.avi")
    assert table["w"].tolist() == [48, 48, 48, 48]


def test_neither_pipes_nor_cameras_that_can_not_be_are_opened(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.zip", "c.png"):
        os.mkfifo(tmp_path / name)
    named = [item for source in (str(tmp_path), "9" * 5000, "9" * 30) for item in InputLoader().load(source)]
    told = [str(item.image).partition(":")[0] for item in named]
    assert told == ["special file"] * 3 + ["missing"] * 2
