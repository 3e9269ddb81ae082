"""Every input has a prediction or a status, in order, and predictions do not depend on the form of the input."""

import inspect
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
from hypothesis import given
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

PORTRAIT_SEED = 52  # the cascade detects this portrait
PORTRAIT = np.asarray(draw_portrait("neutral", 0.0, np.random.default_rng(PORTRAIT_SEED)))
SMALL = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
BLANK = np.full((200, 300, 3), 130, np.uint8)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("bundle") / "package")


@pytest.fixture
def predictor(package: Path) -> Predictor:
    return fer.Predictor.load(package)


def make_photograph() -> np.ndarray:
    image = np.full((300, 400, 3), 130, np.uint8)
    image[50:250, 150:350] = cv2.resize(PORTRAIT, (200, 200), interpolation=cv2.INTER_AREA)
    return image


def save_image(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def write_video(path: Path, *frames: np.ndarray, rate: float = 10.0) -> Path:
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def list_statuses(table: pd.DataFrame) -> list[tuple[str, str]]:
    return [(Path(source).name, status) for source, status in zip(table["source"], table["status"], strict=True)]


# One image


def test_face_is_located_and_has_the_label_of_the_package(predictor: Predictor) -> None:
    (face,) = predictor.predict_image(make_photograph())
    assert 150 <= face.box.x + face.box.width / 2 <= 350
    assert 50 <= face.box.y + face.box.height / 2 <= 250
    (probs,) = predictor.package(face.face[None])
    assert list(face.probabilities.values()) == pytest.approx(probs.tolist(), abs=1e-6)
    assert face.label == EMOTIONS[int(probs.argmax())]
    assert face.confidence == max(face.probabilities.values())
    assert predictor.predict_image(BLANK) == []


def test_prediction_below_its_threshold_abstains(tmp_path: Path) -> None:
    accepted = {}
    for name, thresholds in {"all": (0.0, 0.0), "none": (1.1, 1.1)}.items():
        (face,) = Predictor.load(write_package(tmp_path / name, thresholds=thresholds)).predict_image(SMALL)
        accepted[name] = face.accepted
    assert accepted == {"all": True, "none": False}


def test_confidence_at_its_threshold_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_small_squares_are_face_crops_and_other_images_are_searched(
    height: int, width: int, faces: FaceMode, whole: bool, tmp_path: Path
) -> None:
    pixels = np.full((height, width, 3), 130, np.uint8)
    settings = FaceFinderSettings(size=16, align=False, faces=faces)
    for image in (pixels, Image.fromarray(pixels), save_image(tmp_path / "a.png", pixels)):
        detected_faces = find_faces(image, settings)
        side = float(min(height, width))
        square = FaceBox((width - side) // 2, (height - side) // 2, side, side, None, None)
        assert [detected.box for detected in detected_faces] == ([square] if whole else [])


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, :50] = 255
    exif = Image.Exif()
    exif[274] = 6  # rotate by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (face,) = find_faces(tmp_path / "a.png", FaceFinderSettings(16, False, "whole"))
    assert (face.box.x, face.box.y, face.box.width) == (0, 30, 40)
    assert face.face[:6].min() > 200 > 50 > face.face[-6:].max()


def test_faces_are_aligned_if_the_manifest_says_so(package: Path, tmp_path: Path) -> None:
    rotation = cv2.getRotationMatrix2D((100, 100), 15, 1)
    tilted = cv2.warpAffine(cv2.resize(PORTRAIT, (200, 200)), rotation, (200, 200), borderMode=cv2.BORDER_REPLICATE)
    upright, tilted_back = (
        Predictor.load(folder, faces="whole").predict_image(tilted)[0].face
        for folder in (package, write_package(tmp_path / "package", align=True))
    )
    assert not np.array_equal(upright, tilted_back)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["auto", "whole", "detect"]), st.booleans())
def test_any_image_size_is_accepted(height: int, width: int, faces: FaceMode, align: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for detected in find_faces(pixels, FaceFinderSettings(16, align, faces)):
        assert detected.face.shape == (16, 16)


# Images of a program


def test_a_corrected_package_predicts_corrected_labels(predictor: Predictor, tmp_path: Path) -> None:
    corrected = Predictor.load(write_package(tmp_path / "package", prior_factors={"angry": 10.0, "happy": 0.1}))
    (before,), (after,) = predictor.predict_image(SMALL), corrected.predict_image(SMALL)
    odds = before.probabilities["angry"] / before.probabilities["happy"]
    assert after.probabilities["angry"] / after.probabilities["happy"] == pytest.approx(100 * odds, rel=0.01)
    assert (before.label, after.label) == ("happy", "angry")
    assert after.confidence == after.probabilities["angry"]


def test_prediction_does_not_depend_on_the_form_of_the_image(predictor: Predictor, tmp_path: Path) -> None:
    grey = SMALL[..., 0]
    colour = np.dstack([grey] * 3)
    path = save_image(tmp_path / "a.png", grey)
    images = [path, str(path), grey, colour, np.dstack([colour, np.full_like(grey, 255)]), Image.fromarray(grey)]
    table = predictor(iter(images))
    assert len(table) == len(images)
    assert table["source"].tolist() == [str(path), str(path), "#2", "#3", "#4", "#5"]
    assert table["p_angry"].nunique() == 1
    for image in images:
        assert predictor(image)["p_angry"].tolist() == table["p_angry"][:1].tolist()
        (face,) = predictor.predict_image(image)
        assert face.probabilities["angry"] == table["p_angry"][0]
    assert predictor(np.stack([colour] * 3))["source"].tolist() == ["#0", "#1", "#2"]
    assert predictor([]).empty


def test_table_is_tidy(predictor: Predictor) -> None:
    table = predictor([SMALL, BLANK])
    assert list(table) == result_columns(EMOTIONS)
    assert table.loc[0, ["face", "x", "y", "w", "h"]].tolist() == [0, 0, 0, 48, 48]
    assert table.loc[0, "p_angry"] + table.loc[0, "p_happy"] == pytest.approx(1, abs=1e-5)
    assert table["status"].tolist() == ["ok", "no_face"]
    assert table.loc[1, ["face", "x", "label", "accepted", "p_angry"]].isna().all()
    assert str(table["accepted"].dtype) == "boolean"
    assert set(table["model"]) == {predictor.package.manifest.id}


NOT_IMAGES = [7, None, b"png", [7], np.array(7), np.zeros((4, 4)), [np.zeros((4, 4), np.float32)], [np.zeros((0, 4))]]


@pytest.mark.parametrize("value", NOT_IMAGES)
def test_values_that_are_not_images_are_refused(predictor: Predictor, value: object) -> None:
    for method in (Predictor.__call__, Predictor.predict_image):
        unchecked = inspect.unwrap(method)  # without the runtime type checks of the test suite
        with pytest.raises(
            InputError, match=r"is not an image; allowed: a path, a uint8 array \(h, w\) or \(h, w, 3\)"
        ):
            unchecked(predictor, value)


def test_predict_image_reports_unusable_files(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"a\.png: not a picture"):
        predictor.predict_image(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "b.png", "a\0b"):
        with pytest.raises(InputError, match="not a file; name one image file"):
            predictor.predict_image(path)


def test_repr_names_round_networks_emotions_and_size(predictor: Predictor) -> None:
    assert repr(predictor) == "Predictor(round=1, networks=['simple_cnn'], emotions=['angry', 'happy'], size=16)"


def test_damaged_pil_image_has_a_row(predictor: Predictor, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(make_photograph()).save(content, "JPEG")
    with Image.open(io.BytesIO(content.getvalue()[:2000])) as truncated:
        assert predictor([truncated, SMALL])["status"].tolist() == ["unreadable", "ok"]


def test_pil_image_stays_unchanged(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(make_photograph()).save(path)
    with Image.open(path) as image:
        predictor(image)
        assert (image.mode, image.size) == ("RGB", (400, 300))


def test_warning_filters_stay_unchanged(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "4")
    for number in range(40):
        save_image(tmp_path / f"{number}.png", SMALL)
    filters = list(warnings.filters)
    predictor(tmp_path)
    assert list(warnings.filters) == filters


# Many images


def test_rows_are_in_order_for_any_batch_size_and_thread_count(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40), dtype=np.uint8)
        save_image(tmp_path / f"{number:02}.png", pixels)
    (tmp_path / "05.png").write_bytes(b"")
    monkeypatch.setenv("FER_NPROC", "1")
    expected = predictor(tmp_path)
    assert list_statuses(expected) == [(f"{k:02}.png", "unreadable" if k == 5 else "ok") for k in range(12)]
    assert expected["p_angry"].nunique() == 11
    monkeypatch.setenv("FER_NPROC", "3")
    monkeypatch.setattr("fer.serving.predictor.IMAGE_BATCH", 5)
    pd.testing.assert_frame_equal(predictor(tmp_path), expected, atol=1e-5)


def test_inputs_are_read_only_as_needed(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    monkeypatch.setattr("fer.serving.predictor.IMAGE_BATCH", 8)
    inputs_read, earlier_threads = 0, set(threading.enumerate())

    def endless_inputs() -> Iterator[ImageInput]:
        nonlocal inputs_read
        while True:
            inputs_read += 1
            yield ImageInput(str(inputs_read), SMALL)

    stream = predictor.stream(endless_inputs())
    for results in range(60):
        assert next(stream).input.image is None
        assert inputs_read - results <= 8 + 2 * MAX_PENDING_PER_WORKER
    stream.close()
    assert not [
        thread for thread in threading.enumerate() if "ThreadPool" in thread.name and thread not in earlier_threads
    ]


# Folders, archives, patterns


def test_folder_has_rows_in_order_also_for_unreadable_files(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "inner/c.png", ".hidden.png", ".git/d.png"):
        save_image(tmp_path / name, SMALL)
    (tmp_path / "e.jpg").write_bytes(b"text")
    (tmp_path / "f.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "g.heic").write_bytes(b"?")
    (tmp_path / "damaged.zip").write_bytes(b"PK")
    (tmp_path / "link").symlink_to(tmp_path / "inner")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(tmp_path / "b.png", "in/one.png")
        archive.writestr("../two.png", b"x")
        archive.writestr("three.txt", b"x")
    loader = InputLoader()
    results = [
        (str(Path(result.input.source).relative_to(tmp_path)), result.status)
        for result in predictor.stream(loader.load(str(tmp_path)))
    ]
    assert results == [
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
    assert [note.partition(": ")[2] for note in loader.notes] == [
        "1 files are of another kind and were left out: .txt 1",
        "skipped 2 files, neither images nor videos: .heic 1, .txt 1",
    ]


def test_existing_file_takes_precedence_over_a_pattern(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("[1].png", "1.png", "2.png"):
        save_image(tmp_path / name, SMALL)
    assert list_statuses(predictor(f"{tmp_path}/[1].png")) == [("[1].png", "ok")]
    assert list_statuses(predictor(f"{tmp_path}/?.png")) == [("1.png", "ok"), ("2.png", "ok")]
    assert list_statuses(predictor(f"{tmp_path}/*.jpg")) == [("*.jpg", "missing")]


@pytest.mark.parametrize("name", ["nowhere.png", "", "a\0b", "a\0b/*", "x" * 5000, "77"])
def test_missing_input_has_a_row(predictor: Predictor, name: str) -> None:
    assert predictor(name)[["source", "status"]].values.tolist() == [[name, "missing"]]


def test_empty_folder_has_a_row(predictor: Predictor, tmp_path: Path) -> None:
    assert predictor(tmp_path)["status"].tolist() == ["missing"]


def test_folder_without_permission_has_a_row(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "locked/b.png"):
        save_image(tmp_path / name, SMALL)
    scandir = os.scandir

    def guarded_scandir(path: str | Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded_scandir)
    assert list_statuses(predictor(tmp_path)) == [("a.png", "ok"), ("locked", "unreadable")]


def test_name_with_invalid_utf8_is_escaped(predictor: Predictor, tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", SMALL).rename(tmp_path / "\udcff.png")
    assert list_statuses(predictor(tmp_path)) == [("\\xff.png", "ok")]


# Videos


def test_every_video_frame_has_a_row_with_its_time(predictor: Predictor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", *[make_photograph(), np.full((300, 400, 3), 130, np.uint8)] * 5)
    table = predictor(path)
    assert table["frame"].tolist() == list(range(10))
    assert table["time_s"].tolist() == pytest.approx([number / 10 for number in range(10)], abs=1e-3)
    assert table["status"].tolist() == ["ok", "no_face"] * 5
    assert predictor(path, frames_per_second=2.0)["frame"].tolist() == [0, 5]


def test_video_in_an_archive_is_read(predictor: Predictor, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(write_video(tmp_path / "a.avi", *[SMALL] * 3), "b.avi")
    table = predictor(tmp_path / "some.zip")
    assert (table["source"].unique().tolist(), table["frame"].tolist()) == ([f"{tmp_path}/some.zip/b.avi"], [0, 1, 2])


def test_truncated_video_keeps_its_frames_and_is_incomplete(predictor: Predictor, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 48, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.avi", *noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    table = predictor([path, SMALL])
    assert table["status"].tolist()[-2:] == ["incomplete", "ok"]
    frames = table[:-2]
    assert len(frames) > 5
    assert frames["frame"].tolist() == list(range(len(frames)))
    assert table["frame"].isna().tolist()[-2:] == [True, True]


@pytest.mark.parametrize("content", [b"", b"no video", b"RIFF\0\0\0\0AVI "])
def test_video_without_frames_has_a_row(predictor: Predictor, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    assert list_statuses(predictor([tmp_path / "a.avi", SMALL])) == [("a.avi", "unreadable"), ("#1", "ok")]


def test_video_with_changing_size_keeps_the_size_of_its_first_frame(predictor: Predictor, tmp_path: Path) -> None:
    jpegs = [cv2.imencode(".jpg", np.full((side, side, 3), 90, np.uint8))[1].tobytes() for side in (48, 48, 96, 48)]
    (tmp_path / "a.avi").write_bytes(b"".join(jpegs))  # a stream of JPEG
    table = predictor(tmp_path / "a.avi")
    assert table["w"].tolist() == [48, 48, 48, 48]


def test_pipes_and_impossible_cameras_are_not_opened(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.zip", "c.png"):
        os.mkfifo(tmp_path / name)
    items = [item for source in (str(tmp_path), "9" * 5000, "9" * 30) for item in InputLoader().load(source)]
    reasons = [str(item.image).partition(":")[0] for item in items]
    assert reasons == ["special file"] * 3 + ["missing"] * 2
