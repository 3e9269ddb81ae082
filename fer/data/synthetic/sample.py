"""The data that comes with the project: drawn faces in three owners' layouts, with the defects of real sets.

Every picture follows from (seed, stream, number) alone, and people, light and cameras are the same in every part.
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

EMOTION_SHARES = (
    0.14,
    0.06,
    0.13,
    0.25,
    0.15,
    0.12,
    0.15,
)  # of each emotion in every part: disgust is rare, as in FER-2013
RAFDB_CODES = {"surprise": 1, "fear": 2, "disgust": 3, "happy": 4, "sad": 5, "angry": 6, "neutral": 7}
LABEL_NOISE = 0.03  # share of wrong labels among the training faces

# Planted in fer2013.csv, on top of the faces asked for:
TWINS_IN_VALID = 6  # Training rows with the pixels and the label of a PublicTest row
TWINS_IN_TEST = 6  # the same for PrivateTest
REPEATS_IN_TRAIN = 5  # Training rows with the pixels and the label of another
CONTRADICTIONS_IN_TRAIN = 4  # Training rows with the pixels of another and a different label
BLACK_IN_TRAIN = 3
BLACK_IN_VALID = 1
# Planted in the photographs, on top of those asked for:
COPIED_PHOTOS = 8  # photographs that are byte for byte another
LEAKED_PHOTOS = 4  # photographs that are byte for byte a RAF-DB test face
TRUNCATED_PHOTOS = 3  # files that end too early
EMPTY_PHOTOS = 1  # files of no bytes
OBJECT_PHOTOS = 2  # pictures without a face

_SIDE_FER2013, _SIDE_RAFDB, _SIDES_PHOTO = 48, 100, (64, 121)  # pixels
_DRAWN_FACES, _FER2013_TRAIN, _FER2013_VALID, _FER2013_TEST, _RAFDB_TRAIN, _RAFDB_TEST, _PHOTOS, _DEFECTS = range(
    8
)  # streams


def draw_faces(n: int, seed: int, size: int) -> tuple[UInt8[np.ndarray, "n size size"], Int[np.ndarray, " n"]]:
    """Grey faces and their emotions, as indices in `EMOTIONS[:7]`."""
    emotions = _sample_emotions(seed, _DRAWN_FACES, n)
    return _draw_grey_faces(seed, _DRAWN_FACES, emotions, size), emotions


def write_sample(out: Path, seed: int, labelled: int, tests: int, photos: int) -> None:
    """Write the folders `sample_fer2013`, `sample_rafdb` and `sample_photos` into `out`.

    Two thirds of the labelled faces are Training rows of FER-2013 and one third RAF-DB's train part; PrivateTest has
    `tests` faces, RAF-DB's test part half and PublicTest two fifths as many.
    """
    rafdb = labelled // 3
    with atomic_write_folder(out / "sample_fer2013") as folder:
        _write_fer2013(folder, seed, labelled - rafdb, round(0.4 * tests), tests)
    with atomic_write_folder(out / "sample_rafdb") as folder:
        _write_rafdb(folder, seed, rafdb, tests // 2)
    with atomic_write_folder(out / "sample_photos") as folder:
        _write_photos(folder, seed, photos, tests // 2)


def _write_fer2013(folder: Path, seed: int, trains: int, valids: int, tests: int) -> None:
    streams = {_FER2013_TRAIN: trains, _FER2013_VALID: valids, _FER2013_TEST: tests}
    emotions = {stream: _sample_emotions(seed, stream, n) for stream, n in streams.items()}
    train, valid, test = (_draw_grey_faces(seed, stream, emotions[stream], _SIDE_FER2013) for stream in streams)
    in_train, in_valid, in_test = emotions.values()
    in_train = _add_label_noise(in_train, seed, _FER2013_TRAIN)

    rng = np.random.default_rng((seed, _DEFECTS, _FER2013_TRAIN))
    twins_valid = rng.choice(valids, TWINS_IN_VALID, replace=False)
    twins_test = rng.choice(tests, TWINS_IN_TEST, replace=False)
    again, against = np.split(
        rng.choice(trains, REPEATS_IN_TRAIN + CONTRADICTIONS_IN_TRAIN, replace=False), [REPEATS_IN_TRAIN]
    )
    black = np.zeros((BLACK_IN_TRAIN, _SIDE_FER2013, _SIDE_FER2013), np.uint8)
    train = np.concatenate([train, valid[twins_valid], test[twins_test], train[again], train[against], black])
    others = (in_train[against] + rng.integers(1, 7, CONTRADICTIONS_IN_TRAIN)) % 7
    anything = rng.integers(7, size=BLACK_IN_TRAIN)
    in_train = np.concatenate([in_train, in_valid[twins_valid], in_test[twins_test], in_train[again], others, anything])
    valid, in_valid = np.concatenate([valid, black[:BLACK_IN_VALID]]), np.append(in_valid, [0] * BLACK_IN_VALID)
    order = rng.permutation(len(train))

    parts = {
        "Training": (train[order], in_train[order]),
        "PublicTest": (valid, in_valid),
        "PrivateTest": (test, in_test),
    }
    number = [str(value) for value in range(256)]
    with (folder / "fer2013.csv").open("w", encoding="ascii", newline="\n") as file:
        file.write("emotion,pixels,Usage\n")
        for usage, (faces, codes) in parts.items():
            for face, code in zip(faces, codes, strict=True):
                file.write(f"{code},{' '.join([number[value] for value in face.ravel().tolist()])},{usage}\n")


def _write_rafdb(folder: Path, seed: int, trains: int, tests: int) -> None:
    (folder / "basic/EmoLabel").mkdir(parents=True)
    (folder / "basic/Image/aligned").mkdir(parents=True)
    lines = []
    for part, digits, stream, n in (("train", 5, _RAFDB_TRAIN, trains), ("test", 4, _RAFDB_TEST, tests)):
        emotions = _sample_emotions(seed, stream, n)
        labels = _add_label_noise(emotions, seed, stream) if part == "train" else emotions
        for number, label in enumerate(tqdm(labels, f"sample_rafdb {part}", disable=None), start=1):
            name = f"{part}_{number:0{digits}}"
            picture = _draw_jpeg(seed, stream, number, int(emotions[number - 1]))
            (folder / f"basic/Image/aligned/{name}_aligned.jpg").write_bytes(picture)
            lines.append(f"{name}.jpg {RAFDB_CODES[EMOTIONS[label]]}\n")
    (folder / "basic/EmoLabel/list_patition_label.txt").write_text("".join(lines), encoding="ascii")


def _write_photos(folder: Path, seed: int, n: int, tests: int) -> None:
    rng = np.random.default_rng((seed, _DEFECTS, _PHOTOS))
    emotions = _sample_emotions(seed, _PHOTOS, n)
    pictures: list[tuple[bytes, str]] = [
        (_draw_jpeg(seed, _PHOTOS, number, code), EMOTIONS[code])
        for number, code in enumerate(tqdm(emotions.tolist(), "sample_photos", disable=None), start=1)
    ]
    pictures += [pictures[row] for row in rng.choice(n, COPIED_PHOTOS, replace=False)]
    test_emotions = _sample_emotions(seed, _RAFDB_TEST, tests).tolist()
    for row in rng.choice(tests, LEAKED_PHOTOS, replace=False).tolist():
        pictures.append((_draw_jpeg(seed, _RAFDB_TEST, row + 1, test_emotions[row]), EMOTIONS[test_emotions[row]]))
    pictures += [(pictures[row][0][:400], "") for row in rng.choice(n, TRUNCATED_PHOTOS, replace=False)]
    pictures += [(b"", "")] * EMPTY_PHOTOS
    pictures += [(_encode_jpeg(_draw_object(kind), 85), "") for kind in range(OBJECT_PHOTOS)]

    (folder / "photos").mkdir()
    truth = ["file,emotion\n"]
    for number, row in enumerate(rng.permutation(len(pictures)).tolist(), start=1):
        picture, emotion = pictures[row]
        (folder / f"photos/{number:06}.jpg").write_bytes(picture)
        if emotion:
            truth.append(f"photos/{number:06}.jpg,{emotion}\n")
    (folder / "truth.csv").write_text("".join(truth), encoding="ascii")


def _sample_emotions(seed: int, stream: int, n: int) -> Int[np.ndarray, " n"]:
    """As many of each emotion as `SHARES` says, in random order."""
    sorted_ = np.searchsorted(np.cumsum(EMOTION_SHARES)[:-1], (np.arange(n) + 0.5) / n)
    return np.random.default_rng((seed, stream, 0)).permutation(sorted_)


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
    picture, rng = _draw_photo(seed, stream, number, emotion, None if stream == _PHOTOS else _SIDE_RAFDB)
    return _encode_jpeg(picture, int(rng.integers(40, 96)))


def _draw_photo(
    seed: int, stream: int, number: int, emotion: int, size: int | None
) -> tuple[Image.Image, np.random.Generator]:
    """Picture `number` (from 1: number 0 decides about the emotions) of a stream, and the generator that drew it."""
    rng = np.random.default_rng((seed, stream, number))
    face = draw_portrait(EMOTIONS[emotion], rng.uniform(0.6, 1.0), rng)
    return _simulate_camera(face, size or int(rng.integers(*_SIDES_PHOTO)), rng), rng


def _simulate_camera(face: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """A portrait in the light and through the lens of a chance camera, `size` pixels a side."""
    small = face.resize((size, size), Image.Resampling.BOX)
    blur, angle, gradient, contrast, gamma, lift, noise = rng.uniform(
        (-0.012, 0, 0, 0.75, 0.7, -0.08, -0.01), (0.012, 2 * np.pi, 0.5, 1.15, 1.15, 0.08, 0.02)
    )
    if blur > 0:
        small = small.filter(ImageFilter.GaussianBlur(float(blur * size)))
    across = np.linspace(-1, 1, size)
    light = 1 + gradient * (np.cos(angle) * across + np.sin(angle) * across[:, None])
    tint = rng.uniform(0.92, 1.08, 3)
    pixels = (np.asarray(small) / 255 * light[:, :, None] * tint).clip(0, 1)
    pixels = 0.5 + contrast * (pixels**gamma - 0.5) + lift + max(noise, 0) * rng.standard_normal((size, size, 1))
    return Image.fromarray((255 * pixels.clip(0, 1)).round().astype(np.uint8))


def _encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _draw_object(kind: int) -> Image.Image:
    """What web searches find besides faces: an apple (0) or a loading icon (1)."""
    picture = Image.new("RGB", (96, 96), (236, 234, 226))
    pen = ImageDraw.Draw(picture)
    if kind == 0:
        pen.ellipse((16, 28, 56, 84), fill=(196, 48, 44))
        pen.ellipse((40, 28, 80, 84), fill=(196, 48, 44))
        pen.line((48, 34, 54, 12), fill=(92, 62, 40), width=5)
        pen.ellipse((54, 10, 78, 22), fill=(92, 150, 66))
    else:
        for step in range(12):
            x, y = np.cos(step * np.pi / 6), np.sin(step * np.pi / 6)
            pen.line((48 + 18 * x, 48 + 18 * y, 48 + 34 * x, 48 + 34 * y), fill=(90 + 11 * step,) * 3, width=6)
    return picture
