"""The sample data of the project: drawn faces in the layouts of three datasets, with the defects of real datasets.

Every image follows from (seed, stream, number) alone; people, light and cameras have one distribution in all parts.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageDraw, ImageFilter
from tqdm import tqdm

from fer.core.files import atomic_write_folder
from fer.core.labels import EMOTIONS
from fer.data.synthetic.portraits import draw_portrait

EMOTION_SHARES = (0.14, 0.06, 0.13, 0.25, 0.15, 0.12, 0.15)  # in every part; disgust is rare, as in FER-2013
RAFDB_CODES = {"surprise": 1, "fear": 2, "disgust": 3, "happy": 4, "sad": 5, "angry": 6, "neutral": 7}
LABEL_NOISE = 0.03  # share of wrong labels among the training faces

# Added to fer2013.csv, beyond the requested faces:
TWINS_IN_VALID = 6  # Training rows with the pixels and the label of a PublicTest row
TWINS_IN_TEST = 6  # the same for PrivateTest
REPEATS_IN_TRAIN = 5  # Training rows with the pixels and the label of another
CONTRADICTIONS_IN_TRAIN = 4  # Training rows with the pixels of another and a different label
BLACK_IN_TRAIN = 3
BLACK_IN_VALID = 1
# Added to the photos, beyond the requested ones:
COPIED_PHOTOS = 8  # photos that repeat the bytes of another
LEAKED_PHOTOS = 4  # photos that repeat the bytes of a RAF-DB test face
TRUNCATED_PHOTOS = 3  # truncated files
EMPTY_PHOTOS = 1  # empty files
OBJECT_PHOTOS = 2  # images without a face

_SIDE_FER2013, _SIDE_RAFDB, _SIDES_PHOTO = 48, 100, (64, 121)  # pixels
# Streams of random numbers:
_DRAWN_FACES, _FER2013_TRAIN, _FER2013_VALID, _FER2013_TEST, _RAFDB_TRAIN, _RAFDB_TEST, _PHOTOS, _DEFECTS = range(8)


def draw_faces(n: int, seed: int, size: int) -> tuple[UInt8[np.ndarray, "n size size"], Int[np.ndarray, " n"]]:
    """Return grey faces and their emotions, as indices in `EMOTIONS[:7]`."""
    emotions = _sample_emotions(seed, _DRAWN_FACES, n)
    return _draw_grey_faces(seed, _DRAWN_FACES, emotions, size), emotions


def write_sample(out: Path, seed: int, labelled: int, tests: int, photos: int) -> None:
    """Write the folders `sample_fer2013`, `sample_rafdb` and `sample_photos` into `out`.

    Two thirds of the labelled faces are Training rows of FER-2013 and one third is RAF-DB's train part. PrivateTest has
    `tests` faces, RAF-DB's test part half as many and PublicTest two fifths as many.
    """
    rafdb = labelled // 3
    with atomic_write_folder(out / "sample_fer2013") as folder:
        _write_fer2013(folder, seed, labelled - rafdb, round(0.4 * tests), tests)
    with atomic_write_folder(out / "sample_rafdb") as folder:
        _write_rafdb(folder, seed, rafdb, tests // 2)
    with atomic_write_folder(out / "sample_photos") as folder:
        _write_photos(folder, seed, photos, tests // 2)


def _write_fer2013(folder: Path, seed: int, n_train: int, n_valid: int, n_test: int) -> None:
    streams = {_FER2013_TRAIN: n_train, _FER2013_VALID: n_valid, _FER2013_TEST: n_test}
    emotions = {stream: _sample_emotions(seed, stream, n) for stream, n in streams.items()}
    train, valid, test = (_draw_grey_faces(seed, stream, emotions[stream], _SIDE_FER2013) for stream in streams)
    train_labels, valid_labels, test_labels = emotions.values()
    train_labels = _add_label_noise(train_labels, seed, _FER2013_TRAIN)

    rng = np.random.default_rng((seed, _DEFECTS, _FER2013_TRAIN))
    twins_valid = rng.choice(n_valid, TWINS_IN_VALID, replace=False)
    twins_test = rng.choice(n_test, TWINS_IN_TEST, replace=False)
    repeats, contradictions = np.split(
        rng.choice(n_train, REPEATS_IN_TRAIN + CONTRADICTIONS_IN_TRAIN, replace=False), [REPEATS_IN_TRAIN]
    )
    black = np.zeros((BLACK_IN_TRAIN, _SIDE_FER2013, _SIDE_FER2013), np.uint8)
    train = np.concatenate([train, valid[twins_valid], test[twins_test], train[repeats], train[contradictions], black])
    wrong_labels = (train_labels[contradictions] + rng.integers(1, 7, CONTRADICTIONS_IN_TRAIN)) % 7
    black_labels = rng.integers(7, size=BLACK_IN_TRAIN)
    twin_labels = [valid_labels[twins_valid], test_labels[twins_test]]
    train_labels = np.concatenate([train_labels, *twin_labels, train_labels[repeats], wrong_labels, black_labels])
    valid = np.concatenate([valid, black[:BLACK_IN_VALID]])
    valid_labels = np.append(valid_labels, [0] * BLACK_IN_VALID)
    order = rng.permutation(len(train))

    parts = {
        "Training": (train[order], train_labels[order]),
        "PublicTest": (valid, valid_labels),
        "PrivateTest": (test, test_labels),
    }
    digits = [str(value) for value in range(256)]
    with (folder / "fer2013.csv").open("w", encoding="ascii", newline="\n") as file:
        file.write("emotion,pixels,Usage\n")
        for usage, (faces, codes) in parts.items():
            for face, code in zip(faces, codes, strict=True):
                file.write(f"{code},{' '.join([digits[value] for value in face.ravel().tolist()])},{usage}\n")


def _write_rafdb(folder: Path, seed: int, n_train: int, n_test: int) -> None:
    (folder / "basic/EmoLabel").mkdir(parents=True)
    (folder / "basic/Image/aligned").mkdir(parents=True)
    lines = []
    for part, digits, stream, n in (("train", 5, _RAFDB_TRAIN, n_train), ("test", 4, _RAFDB_TEST, n_test)):
        emotions = _sample_emotions(seed, stream, n)
        labels = _add_label_noise(emotions, seed, stream) if part == "train" else emotions
        for number, label in enumerate(tqdm(labels, f"sample_rafdb {part}", disable=None), start=1):
            name = f"{part}_{number:0{digits}}"
            jpeg = _draw_jpeg(seed, stream, number, int(emotions[number - 1]))
            (folder / f"basic/Image/aligned/{name}_aligned.jpg").write_bytes(jpeg)
            lines.append(f"{name}.jpg {RAFDB_CODES[EMOTIONS[label]]}\n")
    (folder / "basic/EmoLabel/list_patition_label.txt").write_text("".join(lines), encoding="ascii")


def _write_photos(folder: Path, seed: int, n: int, n_test: int) -> None:
    rng = np.random.default_rng((seed, _DEFECTS, _PHOTOS))
    emotions = _sample_emotions(seed, _PHOTOS, n)
    jpegs: list[tuple[bytes, str]] = [
        (_draw_jpeg(seed, _PHOTOS, number, code), EMOTIONS[code])
        for number, code in enumerate(tqdm(emotions.tolist(), "sample_photos", disable=None), start=1)
    ]
    jpegs += [jpegs[row] for row in rng.choice(n, COPIED_PHOTOS, replace=False)]
    test_emotions = _sample_emotions(seed, _RAFDB_TEST, n_test).tolist()
    for row in rng.choice(n_test, LEAKED_PHOTOS, replace=False).tolist():
        jpegs.append((_draw_jpeg(seed, _RAFDB_TEST, row + 1, test_emotions[row]), EMOTIONS[test_emotions[row]]))
    jpegs += [(jpegs[row][0][:400], "") for row in rng.choice(n, TRUNCATED_PHOTOS, replace=False)]
    jpegs += [(b"", "")] * EMPTY_PHOTOS
    jpegs += [(_encode_jpeg(_draw_object(kind), 85), "") for kind in range(OBJECT_PHOTOS)]

    (folder / "photos").mkdir()
    truth = ["file,emotion\n"]
    for number, row in enumerate(rng.permutation(len(jpegs)).tolist(), start=1):
        jpeg, emotion = jpegs[row]
        (folder / f"photos/{number:06}.jpg").write_bytes(jpeg)
        if emotion:
            truth.append(f"photos/{number:06}.jpg,{emotion}\n")
    (folder / "truth.csv").write_text("".join(truth), encoding="ascii")


def _sample_emotions(seed: int, stream: int, n: int) -> Int[np.ndarray, " n"]:
    """Return emotions with the shares `EMOTION_SHARES`, in random order."""
    sorted_emotions = np.searchsorted(np.cumsum(EMOTION_SHARES)[:-1], (np.arange(n) + 0.5) / n)
    return np.random.default_rng((seed, stream, 0)).permutation(sorted_emotions)


def _add_label_noise(emotions: Int[np.ndarray, " n"], seed: int, stream: int) -> Int[np.ndarray, " n"]:
    rng = np.random.default_rng((seed, _DEFECTS, stream, 1))
    rows = rng.choice(len(emotions), round(LABEL_NOISE * len(emotions)), replace=False)
    labels = emotions.copy()
    labels[rows] = (labels[rows] + rng.integers(1, 7, len(rows))) % 7
    return labels


def _draw_grey_faces(
    seed: int, stream: int, emotions: Int[np.ndarray, " n"], size: int
) -> UInt8[np.ndarray, "n size size"]:
    faces = np.empty((len(emotions), size, size), np.uint8)
    for row, emotion in enumerate(tqdm(emotions.tolist(), "sample_fer2013", disable=None)):
        faces[row] = np.asarray(_draw_photo(seed, stream, row + 1, emotion, size)[0].convert("L"))
    return faces


def _draw_jpeg(seed: int, stream: int, number: int, emotion: int) -> bytes:
    image, rng = _draw_photo(seed, stream, number, emotion, None if stream == _PHOTOS else _SIDE_RAFDB)
    return _encode_jpeg(image, int(rng.integers(40, 96)))


def _draw_photo(
    seed: int, stream: int, number: int, emotion: int, size: int | None
) -> tuple[Image.Image, np.random.Generator]:
    """Return image `number` of a stream, and its generator; numbers start at 1, since 0 draws the emotions."""
    rng = np.random.default_rng((seed, stream, number))
    face = draw_portrait(EMOTIONS[emotion], rng.uniform(0.6, 1.0), rng)
    return _simulate_camera(face, size or int(rng.integers(*_SIDES_PHOTO)), rng), rng


def _simulate_camera(face: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """Return a portrait with random light, contrast, blur and noise, `size` pixels a side."""
    image = face.resize((size, size), Image.Resampling.BOX)
    blur, angle, gradient, contrast, gamma, lift, noise = rng.uniform(
        (-0.012, 0, 0, 0.75, 0.7, -0.08, -0.01), (0.012, 2 * np.pi, 0.5, 1.15, 1.15, 0.08, 0.02)
    )
    if blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(float(blur * size)))
    position = np.linspace(-1, 1, size)
    light = 1 + gradient * (np.cos(angle) * position + np.sin(angle) * position[:, None])
    tint = rng.uniform(0.92, 1.08, 3)
    pixels = (np.asarray(image) / 255 * light[:, :, None] * tint).clip(0, 1)
    pixels = 0.5 + contrast * (pixels**gamma - 0.5) + lift + max(noise, 0) * rng.standard_normal((size, size, 1))
    return Image.fromarray((255 * pixels.clip(0, 1)).round().astype(np.uint8))


def _encode_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _draw_object(kind: int) -> Image.Image:
    """Return an image without a face, as web searches yield them: an apple (0) or a loading icon (1)."""
    image = Image.new("RGB", (96, 96), (236, 234, 226))
    pen = ImageDraw.Draw(image)
    if kind == 0:
        pen.ellipse((16, 28, 56, 84), fill=(196, 48, 44))
        pen.ellipse((40, 28, 80, 84), fill=(196, 48, 44))
        pen.line((48, 34, 54, 12), fill=(92, 62, 40), width=5)
        pen.ellipse((54, 10, 78, 22), fill=(92, 150, 66))
    else:
        for step in range(12):
            x, y = np.cos(step * np.pi / 6), np.sin(step * np.pi / 6)
            pen.line((48 + 18 * x, 48 + 18 * y, 48 + 34 * x, 48 + 34 * y), fill=(90 + 11 * step,) * 3, width=6)
    return image
