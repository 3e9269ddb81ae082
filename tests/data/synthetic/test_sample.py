"""The drawn faces and their three layouts."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from fer.core.labels import EMOTIONS
from fer.data.synthetic import sample
from fer.data.synthetic.portraits import draw_portrait
from fer.data.synthetic.sample import draw_faces, write_sample

SEVEN = set(EMOTIONS[:7])
LABELLED, TESTS, PHOTOS = 105, 100, 60
TRAINING = 70 + sample.TWINS_IN_VALID + sample.TWINS_IN_TEST + sample.REPEATS_IN_TRAIN
TRAINING += sample.CONTRADICTIONS_IN_TRAIN + sample.BLACK_IN_TRAIN


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw")
    write_sample(out, seed=0, labelled=LABELLED, tests=TESTS, photos=PHOTOS)
    return out


@pytest.fixture(scope="module")
def rows(raw: Path) -> pd.DataFrame:
    return pd.read_csv(raw / "sample_fer2013" / "fer2013.csv")


@pytest.fixture(scope="module")
def rafdb(raw: Path) -> pd.Series:
    """The code of each image in the list, by name."""
    lines = (raw / "sample_rafdb/basic/EmoLabel/list_patition_label.txt").read_text().splitlines()
    names, codes = zip(*(line.split(" ") for line in lines), strict=True)
    return pd.Series([int(code) for code in codes], index=names)


@pytest.fixture(scope="module")
def photos(raw: Path) -> dict[str, bytes]:
    folder = raw / "sample_photos"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


def fingerprints(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def is_readable(content: bytes, path: Path) -> bool:
    path.write_bytes(content)
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def pixels_in(rows: pd.DataFrame, usage: str) -> Counter[str]:
    return Counter(rows.pixels[rows.Usage == usage])


BLACK = " ".join(["0"] * 48 * 48)


def test_a_seed_gives_the_same_bytes_and_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("repeated", 1), ("reseeded", 2)):
        write_sample(tmp_path / name, seed, labelled=21, tests=20, photos=10)
    first, repeated, reseeded = (fingerprints(tmp_path / name) for name in ("first", "repeated", "reseeded"))
    assert first == repeated
    assert first["sample_fer2013/fer2013.csv"] != reseeded["sample_fer2013/fer2013.csv"]
    assert first["sample_rafdb/basic/Image/aligned/train_00001_aligned.jpg"] not in reseeded.values()
    assert first["sample_photos/truth.csv"] != reseeded["sample_photos/truth.csv"]


def test_fer2013_has_the_expected_columns_counts_and_size(rows: pd.DataFrame) -> None:
    assert list(rows.columns) == ["emotion", "pixels", "Usage"]
    counts = {"Training": TRAINING, "PublicTest": 40 + sample.BLACK_IN_VALID, "PrivateTest": TESTS}
    assert rows.Usage.value_counts().to_dict() == counts
    values = np.array([row.split(" ") for row in rows.pixels], dtype=int)
    assert values.shape[1] == 48 * 48
    assert values.min() >= 0
    assert values.max() <= 255


def test_rafdb_lists_existing_images_of_100_pixels_a_side(raw: Path, rafdb: pd.Series) -> None:
    assert Counter(name.split("_")[0] for name in rafdb.index) == {"train": 35, "test": 50}
    folder = raw / "sample_rafdb/basic/Image/aligned"
    listed = {name.replace(".jpg", "_aligned.jpg") for name in rafdb.index}
    assert listed == {path.name for path in folder.iterdir()}
    assert {"train_00001_aligned.jpg", "test_0001_aligned.jpg"} <= listed
    for name in listed:
        with Image.open(folder / name) as image:
            assert (image.size, image.mode, image.format) == ((100, 100), "RGB", "JPEG")


def test_every_part_has_every_emotion(raw: Path, rows: pd.DataFrame, rafdb: pd.Series) -> None:
    for usage, part in rows.groupby("Usage"):
        assert set(part.emotion) == set(range(7)), usage
    for part in ("train", "test"):
        assert set(rafdb[rafdb.index.str.startswith(part)]) == set(range(1, 8)), part
    assert set(pd.read_csv(raw / "sample_photos/truth.csv").emotion) == SEVEN


def test_the_csv_has_exactly_the_stated_duplicates(rows: pd.DataFrame) -> None:
    training = pixels_in(rows, "Training")
    assert training[BLACK] == sample.BLACK_IN_TRAIN
    assert pixels_in(rows, "PublicTest")[BLACK] == sample.BLACK_IN_VALID
    assert len((training.keys() & pixels_in(rows, "PublicTest").keys()) - {BLACK}) == sample.TWINS_IN_VALID
    assert len(training.keys() & pixels_in(rows, "PrivateTest").keys()) == sample.TWINS_IN_TEST
    repeats = {pixels for pixels, count in training.items() if count > 1} - {BLACK}
    labels = rows[rows.Usage == "Training"].groupby("pixels").emotion.nunique()
    assert sum(labels[pixels] == 1 for pixels in repeats) == sample.REPEATS_IN_TRAIN
    assert sum(labels[pixels] == 2 for pixels in repeats) == sample.CONTRADICTIONS_IN_TRAIN


def test_label_noise_has_the_stated_share_and_only_wrong_labels() -> None:
    emotions = sample._sample_emotions(0, sample._RAFDB_TRAIN, 1000)
    labels = sample._add_label_noise(emotions, 0, sample._RAFDB_TRAIN)
    assert (labels != emotions).sum() == round(1000 * sample.LABEL_NOISE)


def test_photos_have_the_stated_copies_leaks_and_broken_files(
    raw: Path, photos: dict[str, bytes], tmp_path: Path
) -> None:
    n_added = (
        sample.COPIED_PHOTOS
        + sample.LEAKED_PHOTOS
        + sample.TRUNCATED_PHOTOS
        + sample.EMPTY_PHOTOS
        + sample.OBJECT_PHOTOS
    )
    assert len(photos) == PHOTOS + n_added
    tests = {path.read_bytes() for path in (raw / "sample_rafdb/basic/Image/aligned").glob("test_*.jpg")}
    assert sum(photo in tests for photo in photos.values()) == sample.LEAKED_PHOTOS
    assert sum(not photo for photo in photos.values()) == sample.EMPTY_PHOTOS
    broken = [photo for photo in photos.values() if photo and not is_readable(photo, tmp_path / "photo.jpg")]
    assert len(broken) == sample.TRUNCATED_PHOTOS
    assert len(photos) - len(set(photos.values())) == sample.COPIED_PHOTOS


def test_the_truth_lists_exactly_the_readable_faces(raw: Path, photos: dict[str, bytes], tmp_path: Path) -> None:
    truth = pd.read_csv(raw / "sample_photos/truth.csv")
    assert list(truth.columns) == ["file", "emotion"]
    assert truth.file.is_unique
    unlisted = set(photos) - set(truth.file)
    assert set(truth.file) <= set(photos)
    assert len(unlisted) == sample.TRUNCATED_PHOTOS + sample.EMPTY_PHOTOS + sample.OBJECT_PHOTOS
    assert sum(is_readable(photos[name], tmp_path / "photo.jpg") for name in unlisted) == sample.OBJECT_PHOTOS


def test_photos_are_in_colour_and_of_many_sizes(raw: Path) -> None:
    folder = raw / "sample_photos"
    sizes = set()
    for name in pd.read_csv(folder / "truth.csv").file:
        with Image.open(folder / name) as image:
            assert image.mode == "RGB"
            sizes.add(image.size)
    assert len(sizes) > 10
    assert all(64 <= side <= 120 for size in sizes for side in size)


def test_drawn_faces_are_grey_have_the_requested_size_and_all_emotions() -> None:
    faces, emotions = draw_faces(40, seed=3, size=32)
    assert (faces.shape, faces.dtype) == ((40, 32, 32), np.uint8)
    assert set(emotions) == set(range(7))
    np.testing.assert_array_equal(faces, draw_faces(40, seed=3, size=32)[0])
    assert not np.array_equal(faces, draw_faces(40, seed=4, size=32)[0])


def test_the_emotion_changes_only_the_face_and_not_the_edge_of_the_image() -> None:
    angry, neutral = (
        np.asarray(draw_portrait(emotion, 1.0, np.random.default_rng(5))).astype(int)
        for emotion in ("angry", "neutral")
    )
    changed = np.abs(angry - neutral).max(axis=2) > 0
    assert changed.any()
    edge = 8
    assert not changed[:edge].any()
    assert not changed[:, :edge].any()
    assert not changed[:, -edge:].any()


def test_full_emotions_are_classified_on_other_people_far_better_than_by_chance() -> None:
    emotions = np.arange(560) % 7
    portraits = [
        draw_portrait(EMOTIONS[code], 1.0, np.random.default_rng((9, row))) for row, code in enumerate(emotions)
    ]
    faces = np.stack([np.asarray(face.convert("L").resize((48, 48)), dtype=float) for face in portraits])
    edges = np.diff(faces, axis=1)[:, :45, :45]  # horizontal lines, independent of the light
    signed_edges = np.stack([edges.clip(0), (-edges).clip(0)], axis=1)
    cells = signed_edges.reshape(len(faces), 2, 15, 3, 15, 3).mean(axis=(3, 5)).reshape(len(faces), -1)
    cells /= np.linalg.norm(cells, axis=1, keepdims=True)
    model = LogisticRegression(C=3, max_iter=500).fit(cells[:420], emotions[:420])
    assert model.score(cells[420:], emotions[420:]) > 0.35  # chance is 0.14
