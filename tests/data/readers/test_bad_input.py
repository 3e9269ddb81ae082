"""Unusual and damaged images in every layout: each becomes a face or is reported, and none is lost."""

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
from fer.data.media.folders import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Folder, Note, SkippedItem
from fer.data.media.images import MAX_IMAGE_PIXELS
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


def npy_bytes(value: int) -> bytes:
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
    affectnet_npy: {"train_set/images/0.jpg": "", "train_set/annotations/0_exp.npy": npy_bytes(1)},
    affectnet_yolo: {
        "data.yaml": "names: [anger, happy]\n",
        "train/images/a.jpg": "",
        "train/labels/a.txt": "1 0.5 0.5 1 1\n",
    },
    expw: {"label/label.lst": "a.jpg 0 1 1 7 7 30.1 3\n", "image/origin/a.jpg": ""},
    sepcvdl: {"train/img1_happiness.jpg": "", "test/img2_sadness.jpg": ""},
}
TABLE_READERS = {"fer2013_csv", "ferplus_csv", "ckextended"}  # their pixels are in a table


def encode_image(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
IMAGE = Image.fromarray(PIXELS)
ROTATED_EXIF = Image.Exif()
ROTATED_EXIF[0x0112] = 6
READABLE = {
    "16 bits": encode_image(Image.fromarray(PIXELS.astype(np.uint16) * 257), "PNG"),
    "CMYK": encode_image(IMAGE.convert("CMYK"), "JPEG"),
    "palette": encode_image(IMAGE.convert("P"), "PNG"),
    "alpha": encode_image(IMAGE.convert("RGBA"), "PNG"),
    "turned": encode_image(IMAGE.convert("RGB"), "JPEG", exif=ROTATED_EXIF),
    "animated": encode_image(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(90)]),
    "format other than the suffix": encode_image(IMAGE, "BMP"),
    "one pixel": encode_image(IMAGE.crop((0, 0, 1, 1)), "PNG"),
}
BAD = {
    "empty": (b"", "empty file"),
    "text": (b"not a picture", "not a picture"),
    "truncated": (encode_image(IMAGE, "PNG")[:-400], "damaged picture"),
    "unsupported format": (encode_image(IMAGE, "GIF"), "not a picture"),
    "30,000 x 30,000": (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
        + png_chunk(b"IDAT", zlib.compress(bytes(100)))
        + png_chunk(b"IEND", b""),
        "too many pixels",
    ),
}
assert MAX_IMAGE_PIXELS < 30_000**2

readers = pytest.mark.parametrize("reader", LAYOUTS, ids=lambda reader: reader.__name__.rpartition(".")[2])


def write_tree(root: Path, reader: ModuleType, image: bytes) -> str:
    """Write the reader's tree with one image replaced; return its path, "" if there are only videos."""
    names = [name for name in LAYOUTS[reader] if name.lower().endswith(IMAGE_SUFFIXES)]
    for name, content in LAYOUTS[reader].items():
        if name.lower().endswith(IMAGE_SUFFIXES):
            trees.save_image(root / name)
        else:
            trees.write_file(root / name, content)
    if not names:
        return ""
    name = names[1 if reader is sfew else 0]  # SFEW's first image is a frame, whose face crop is another file
    (root / name).write_bytes(image)
    return name


def read_outcomes(root: Path, reader: ModuleType, rules: Ingest) -> dict[str, str]:
    """Return "face" or the reason for skipping, by id."""
    items = [item for item in reader.read(Folder(root), rules) if not isinstance(item, Note)]
    outcomes: dict[str, str] = {}
    for extraction in extract_faces(items, rules):
        for result in extraction.results:
            if isinstance(result, SkippedItem):
                outcomes[result.id] = result.reason
            else:
                outcomes[result.record.id] = "face"
    return outcomes


def test_every_reader_of_images_is_tested() -> None:
    reader_names = {reader.__name__.rpartition(".")[2] for reader in LAYOUTS}
    assert reader_names == {detect.get_reader_name(reader) for reader in detect.READERS} - TABLE_READERS


@readers
def test_an_unusual_image_becomes_a_face_or_has_none(
    tmp_path: Path, rules: Ingest, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "1")
    for kind, content in READABLE.items():
        name = write_tree(tmp_path, reader, content)
        all_outcomes = read_outcomes(tmp_path, reader, rules)
        outcomes = {outcome for id, outcome in all_outcomes.items() if id.partition("#")[0] == name}
        assert outcomes <= {"face", "no face", "face too small", "box outside the picture"}, kind
        assert outcomes or not name, kind


@readers
def test_a_bad_image_is_reported_and_the_others_are_read(
    tmp_path: Path, rules: Ingest, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "1")
    write_tree(tmp_path, reader, encode_image(IMAGE, "PNG"))
    good_outcomes = read_outcomes(tmp_path, reader, rules)
    for kind, (content, reason) in BAD.items():
        name = write_tree(tmp_path, reader, content)
        outcomes = read_outcomes(tmp_path, reader, rules)
        bad_ids = {id for id in outcomes if id.partition("#")[0] == name}
        assert {outcomes[id] for id in bad_ids} == ({reason} if name else set()), kind
        expected = {id: outcome for id, outcome in good_outcomes.items() if id.partition("#")[0] != name}
        assert {id: outcome for id, outcome in outcomes.items() if id not in bad_ids} == expected, kind


@readers
def test_an_unreadable_video_or_image_is_reported(
    tmp_path: Path, rules: Ingest, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_NPROC", "1")
    image_name = write_tree(tmp_path, reader, encode_image(IMAGE, "PNG"))
    videos = [name for name in LAYOUTS[reader] if name.lower().endswith(VIDEO_SUFFIXES)]
    outcomes = read_outcomes(tmp_path, reader, rules)
    assert {outcomes[name] for name in videos if name in outcomes} <= {"unreadable video"}
    if image_name and os.geteuid() != 0:  # root may read anything
        (tmp_path / image_name).chmod(0)
        outcomes = read_outcomes(tmp_path, reader, rules)
        reasons = {outcome for id, outcome in outcomes.items() if id.partition("#")[0] == image_name}
        assert reasons == {"unreadable file"}
