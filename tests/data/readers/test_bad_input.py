"""Pictures as they should not be, in the layout of every owner: each becomes a face or is told, and nothing is lost."""

import io
import os
import struct
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import trees
from PIL import Image
from test_reader_laws import TREES

from fer.data.ingest import detect
from fer.data.ingest.extraction import extract_faces
from fer.data.media.folders import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Folder
from fer.data.media.images import MAX_IMAGE_PIXELS
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers import (
    affectnet_csv,
    affectnet_npy,
    affectnet_yolo,
    ck48,
    ckplus,
    expw,
    fer2013_folder,
    ferplus_png,
    rafdb,
    rafdb_kaggle,
    sepcvdl,
    sfew,
)
from fer.data.readers.params import Ingest


def npy(value: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(value))
    return buffer.getvalue()


LAYOUTS: dict[ModuleType, dict[str, str | bytes]] = {
    **TREES,
    rafdb: {
        "basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\ntest_0001.jpg 4\n",
        "basic/Image/aligned/train_00001_aligned.jpg": "",
        "basic/Image/aligned/test_0001_aligned.jpg": "",
    },
    rafdb_kaggle: {"DATASET/train/1/train_00001_aligned.jpg": "", "DATASET/test/2/test_0001_aligned.jpg": ""},
    fer2013_folder: {"train/happy/Training_1.jpg": "", "test/sad/PublicTest_2.jpg": ""},
    ferplus_png: {
        "FER2013Train/label.csv": 'fer0000000.png,"(0, 0, 48, 48)",4,0,0,6,0,0,0,0,0,0\n',
        "FER2013Train/fer0000000.png": "",
    },
    ckplus: {
        "cohn-kanade-images/S005/001/S005_001_00000001.png": "",
        "cohn-kanade-images/S005/001/S005_001_00000011.png": "",
        "Emotion/S005/001/S005_001_00000011_emotion.txt": "   3.0000000e+00\n",
    },
    ck48: {"anger/S010_004_00000017.png": "", "happy/S010_006_00000013.png": ""},
    affectnet_csv: {
        "Manually_Annotated_file_lists/training.csv": "1/a.jpg,0,0,8,8,1;1,1,0.1,0.1\n",
        "Manually_Annotated_Images/1/a.jpg": "",
    },
    affectnet_npy: {"train_set/images/0.jpg": "", "train_set/annotations/0_exp.npy": npy(1)},
    affectnet_yolo: {
        "data.yaml": "names: [anger, happy]\n",
        "train/images/a.jpg": "",
        "train/labels/a.txt": "1 0.5 0.5 1 1\n",
    },
    expw: {"label/label.lst": "a.jpg 0 1 1 7 7 30.1 3\n", "image/origin/a.jpg": ""},
    sepcvdl: {"train/img1_happiness.jpg": "", "test/img2_sadness.jpg": ""},
}
OF_NUMBERS = {"fer2013_csv", "ferplus_csv", "ckextended"}  # their pixels are in a table


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


GREY = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
IMAGE = Image.fromarray(GREY)
TURNED = Image.Exif()
TURNED[0x0112] = 6
READABLE = {
    "16 bits": encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
    "CMYK": encoded(IMAGE.convert("CMYK"), "JPEG"),
    "palette": encoded(IMAGE.convert("P"), "PNG"),
    "alpha": encoded(IMAGE.convert("RGBA"), "PNG"),
    "turned": encoded(IMAGE.convert("RGB"), "JPEG", exif=TURNED),
    "animated": encoded(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(90)]),
    "another kind than its name says": encoded(IMAGE, "BMP"),
    "one pixel": encoded(IMAGE.crop((0, 0, 1, 1)), "PNG"),
}
BAD = {
    "empty": (b"", "empty file"),
    "text": (b"not a picture", "not a picture"),
    "truncated": (encoded(IMAGE, "PNG")[:-400], "damaged picture"),
    "a kind that is not read": (encoded(IMAGE, "GIF"), "not a picture"),
    "30,000 x 30,000": (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b""),
        "too many pixels",
    ),
}
assert MAX_IMAGE_PIXELS < 30_000**2

readers = pytest.mark.parametrize("reader", LAYOUTS, ids=lambda reader: reader.__name__.rpartition(".")[2])


def write(root: Path, reader: ModuleType, picture: bytes) -> str:
    """The reader's tree with one picture replaced; returns where that is, "" where there are only videos."""
    names = [name for name in LAYOUTS[reader] if name.lower().endswith(IMAGE_SUFFIXES)]
    for name, content in LAYOUTS[reader].items():
        if name.lower().endswith(IMAGE_SUFFIXES):
            trees.save_image(root / name)
        else:
            trees.write_file(root / name, content)
    if not names:
        return ""
    place = names[1 if reader is sfew else 0]  # the first of SFEW's is a frame, whose face lies elsewhere
    (root / place).write_bytes(picture)
    return place


def outcome(root: Path, reader: ModuleType, rules: Ingest) -> dict[str, str]:
    """What became of each picture: "face", or the reason why not."""
    items = [item for item in reader.read(Folder(root), rules) if not isinstance(item, Note)]
    found: dict[str, str] = {}
    for looked in extract_faces(items, rules):
        for result in looked.results:
            if isinstance(result, SkippedItem):
                found[result.id] = result.reason
            else:
                found[result.record.id] = "face"
    return found


def test_every_reader_of_pictures_is_tried() -> None:
    tried = {reader.__name__.rpartition(".")[2] for reader in LAYOUTS}
    assert tried == {detect.get_reader_name(reader) for reader in detect.READERS} - OF_NUMBERS


@readers
def test_an_unusual_picture_becomes_a_face_or_has_none(
    tmp_path: Path, rules: Ingest, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "1")
    for kind, content in READABLE.items():
        place = write(tmp_path, reader, content)
        became = {reason for id, reason in outcome(tmp_path, reader, rules).items() if id.partition("#")[0] == place}
        assert became <= {"face", "no face", "face too small", "box outside the picture"}, kind
        assert became or not place, kind


@readers
def test_a_bad_picture_is_told_and_the_others_are_read(
    tmp_path: Path, rules: Ingest, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "1")
    write(tmp_path, reader, encoded(IMAGE, "PNG"))
    good = outcome(tmp_path, reader, rules)
    for kind, (content, reason) in BAD.items():
        place = write(tmp_path, reader, content)
        found = outcome(tmp_path, reader, rules)
        mine = {id for id in found if id.partition("#")[0] == place}
        assert {found[id] for id in mine} == ({reason} if place else set()), kind
        others = {id: became for id, became in good.items() if id.partition("#")[0] != place}
        assert {id: became for id, became in found.items() if id not in mine} == others, kind


@readers
def test_an_unreadable_video_or_picture_is_told(
    tmp_path: Path, rules: Ingest, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "1")
    place = write(tmp_path, reader, encoded(IMAGE, "PNG"))
    videos = [name for name in LAYOUTS[reader] if name.lower().endswith(VIDEO_SUFFIXES)]
    found = outcome(tmp_path, reader, rules)
    assert {found[name] for name in videos if name in found} <= {"unreadable video"}
    if place and os.geteuid() != 0:  # root may read anything
        (tmp_path / place).chmod(0)
        found = outcome(tmp_path, reader, rules)
        assert {reason for id, reason in found.items() if id.partition("#")[0] == place} == {"unreadable file"}
