"""The readers of the unlabelled pools: LFW, CelebA, FairFace, FFHQ, UTKFace and WIDER FACE."""

from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import note_texts, touch

from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers import celeba, fairface, ffhq, lfw, utkface, wider
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError


def read_pool(reader: ModuleType, root: Path, rules: Ingest) -> list[ReaderItem]:
    assert reader.matches(Folder(root))
    items = list(reader.read(Folder(root), rules))
    assert all(item.emotion is None and item.fold is None for item in items if isinstance(item, Record))
    return items


@pytest.mark.parametrize("prefix", ["", "lfw-deepfunneled/"])
def test_the_lfw_folder_is_the_person(tmp_path: Path, rules: Ingest, prefix: str) -> None:
    names = ("Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "Bill_Gates/Bill_Gates_0001.jpg", "Bill_Gates/Bill_Gates_0017.jpg")
    root = touch(tmp_path / "lfw-deepfunneled", *(prefix + name for name in names))
    assert [(item.id, item.group, item.face_mode) for item in read_pool(lfw, root, rules)] == [
        (prefix + names[0], "Aaron_Eckhart", "one"),
        (prefix + names[1], "Bill_Gates", "one"),
        (prefix + names[2], "Bill_Gates", "one"),
    ]


def test_an_image_outside_the_folder_of_a_person_is_skipped_in_lfw(tmp_path: Path, rules: Ingest) -> None:
    items = read_pool(lfw, touch(tmp_path, "A_B/A_B_0001.jpg", "stray.jpg"), rules)
    assert [(item.id, item.reason) for item in items if isinstance(item, SkippedItem)] == [("stray.jpg", "file name")]
    assert not lfw.matches(Folder(touch(tmp_path / "other", "n000002/0001_01.jpg", "A_B/C_D_0001.jpg")))


@pytest.mark.parametrize(
    ("images", "identities"),
    [
        ("img_align_celeba", "identity_CelebA.txt"),
        ("Img/img_align_celeba", "Anno/identity_CelebA.txt"),
        ("img_align_celeba/img_align_celeba", "Anno/identity_CelebA.txt"),
    ],
)
def test_the_celeba_list_gives_the_person(tmp_path: Path, rules: Ingest, images: str, identities: str) -> None:
    touch(tmp_path, *(f"{images}/{number:06}.jpg" for number in range(1, 5)), identities)
    content = b"\xef\xbb\xbf000001.jpg 2880\r\n\r\n000002.jpg 2937\r\n000003.jpg\r\n000002.jpg 1\r\n000009.jpg 7"
    (tmp_path / identities).write_bytes(content)
    items = read_pool(celeba, tmp_path, rules)
    assert [(item.group, item.face_mode) for item in items if isinstance(item, Record)] == [
        ("2880", "one"),
        ("2937", "one"),
        ("", "one"),
        ("", "one"),
    ]
    assert note_texts(items) == [
        f"{identities}: 2 lines are invalid or repeat an image; the first is line 4",
        f"2 images are not in {identities}, so the person is unknown",
    ]


def test_celeba_needs_no_list(tmp_path: Path, rules: Ingest) -> None:
    (item,) = read_pool(celeba, touch(tmp_path, "img_align_celeba/000001.jpg"), rules)
    assert item.group == ""


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary()
    | st.lists(st.sampled_from(["000001.jpg", "000002.jpg", " ", "7", "\n", "\r", "\0", "é"]))
    .map("".join)
    .map(str.encode)
)
def test_every_celeba_image_is_read_for_any_bytes_in_the_list(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    touch(tmp_path, "img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg")
    (tmp_path / "identity_CelebA.txt").write_bytes(content)
    try:
        items = read_pool(celeba, tmp_path, rules)
    except InputError:
        return
    assert [item.id[-5] for item in items if isinstance(item, Record)] == ["1", "2"]


def test_fairface_has_two_parts_of_one_pool(tmp_path: Path, rules: Ingest) -> None:
    names = ("train/1.jpg", "train/2.jpg", "val/1.jpg")
    items = read_pool(fairface, touch(tmp_path, *names, "fairface_label_train.csv", "elsewhere/1.jpg"), rules)
    assert [(item.id, item.face_mode) for item in items] == [(name, "one") for name in names]


def test_the_smaller_margin_of_fairface_is_read(tmp_path: Path, rules: Ingest) -> None:
    narrow, wide = (f"fairface-img-margin{margin}-trainval/train/1.jpg" for margin in ("025", "125"))
    items = read_pool(fairface, touch(tmp_path, narrow, wide, "fairface_label_val.csv"), rules)
    assert [item.id for item in items if isinstance(item, Record)] == [narrow]
    (note,) = note_texts(items)
    assert note.startswith("fairface-img-margin125-trainval is not read")


def test_the_thumbnails_of_ffhq_are_read_if_they_exist(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "images1024x1024/00000/00000.png")
    assert [item.id for item in read_pool(ffhq, tmp_path, rules)] == ["images1024x1024/00000/00000.png"]
    touch(tmp_path, "thumbnails128x128/00000/00000.png", "thumbnails128x128/00000/00001.png")
    note, *items = read_pool(ffhq, tmp_path, rules)
    assert note == Note("images1024x1024 is not read: it has the same faces as thumbnails128x128")
    assert [(item.id[-9:], item.face_mode) for item in items] == [("00000.png", "one"), ("00001.png", "one")]


@pytest.mark.parametrize("folder", ["", "part1/"])
def test_utkface_crops_are_used_whole_even_if_parts_of_the_name_are_missing(
    tmp_path: Path, rules: Ingest, folder: str
) -> None:
    names = {
        "100_1_0_20170112213500903.jpg.chip.jpg": "whole",
        "26_0_2_20170104023102422.jpg": "one",
        "44_1_4_20170116235150272.pg.chip.jpg": "whole",
        "53__0_20170116184028385.jpg": "one",
        "61_1_20170109142408075.jpg.chip.jpg": "whole",
    }
    items = read_pool(utkface, touch(tmp_path, *(folder + name for name in names)), rules)
    assert {item.id: item.face_mode for item in items} == {
        folder + name: face_mode for name, face_mode in names.items()
    }


def test_other_names_with_numbers_and_underscores_do_not_match_utkface(tmp_path: Path) -> None:
    assert not utkface.matches(Folder(touch(tmp_path, "0001_01.jpg", "a/20170104_1.jpg", "1_2_3.jpg")))


PARADE, MARCH, EMPTY = "0--Parade/0_Parade_1.jpg", "0--Parade/0_Parade_2.jpg", "1--Handshaking/1_Handshaking_3.jpg"
BOXES = f"""{PARADE}
2
449 330 122 149 0 0 0 0 0 0
-3 10 7 9 2 0 0 1 0 0
{EMPTY}
0
0 0 0 0 0 0 0 0 0 0
"""


def write_wider(root: Path, boxes: bytes = BOXES.encode(), part: str = "train") -> Path:
    touch(root, *(f"WIDER_{part}/images/{name}" for name in (PARADE, MARCH, EMPTY)))
    (root / "wider_face_split").mkdir(exist_ok=True)
    (root / f"wider_face_split/wider_face_{part}_bbx_gt.txt").write_bytes(boxes)
    return root


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_the_wider_list_has_a_box_for_each_face(tmp_path: Path, rules: Ingest, part: str, ends: str) -> None:
    items = read_pool(wider, write_wider(tmp_path, b"\xef\xbb\xbf" + BOXES.replace("\n", ends).encode(), part), rules)
    parade, march, empty = (f"WIDER_{part}/images/{name}" for name in (PARADE, MARCH, EMPTY))
    face, invalid, unlisted, no_face = items
    assert (face.id, face.box, face.group) == (f"{parade}#1", (449, 330, 122, 149), parade)
    assert (invalid.id, invalid.reason, invalid.is_defect) == (f"{parade}#2", "invalid by its owners", False)
    assert (unlisted.id, unlisted.box, unlisted.face_mode, unlisted.group) == (march, None, "all", march)
    assert (no_face.id, no_face.reason, no_face.is_defect) == (empty, "no face", False)


def test_without_the_wider_list_all_faces_are_detected(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, f"WIDER_test/WIDER_test/images/{PARADE}", "wider_face_split/wider_face_test_filelist.txt")
    (item,) = read_pool(wider, tmp_path, rules)
    assert (item.face_mode, item.box) == ("all", None)


@pytest.mark.parametrize(
    ("boxes", "id", "reason"),
    [
        (f"{PARADE}\n1\n1 2 3\n", f"WIDER_train/images/{PARADE}#1", "number of columns"),
        (f"{PARADE}\n1\n1 2 0 4 0 0 0 0 0 0\n", f"WIDER_train/images/{PARADE}#1", "face box"),
        (f"{PARADE}\n1\n1 2 3 9999999 0 0 0 0 0 0\n", f"WIDER_train/images/{PARADE}#1", "face box"),
        (f"{PARADE}\n1\n1 2 nan 4 0 0 0 0 0 0\n", f"WIDER_train/images/{PARADE}#1", "face box"),
        (f"{PARADE}\n2\n1 2 3 4 0 0 0 0 0 0\n", f"WIDER_train/images/{PARADE}", "number of lines"),
        (f"{PARADE}\n", f"WIDER_train/images/{PARADE}", "number of lines"),
        ("gone.jpg\n0\n", "wider_face_split/wider_face_train_bbx_gt.txt:1", "missing picture"),
        ("1\n2\n", "wider_face_split/wider_face_train_bbx_gt.txt:1", "missing picture"),
        ("../../x.jpg\n0\n", "wider_face_split/wider_face_train_bbx_gt.txt:1", "unsafe path"),
        ("/etc/x.jpg\n0\n", "wider_face_split/wider_face_train_bbx_gt.txt:1", "unsafe path"),
        (f"{BOXES}{PARADE}\n0\n", "wider_face_split/wider_face_train_bbx_gt.txt:8", "named twice"),
    ],
)
def test_an_invalid_line_of_the_wider_list_is_skipped_with_its_location(
    tmp_path: Path, rules: Ingest, boxes: str, id: str, reason: str
) -> None:
    items = read_pool(wider, write_wider(tmp_path, boxes.encode()), rules)
    assert [(item.id, item.reason) for item in items if isinstance(item, SkippedItem) and item.is_defect] == [
        (id, reason)
    ]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary()
    | st.lists(st.sampled_from([*BOXES.splitlines(keepends=True), " ", "\n", "\r", "\0", "9", "é", "../x.jpg\n"]))
    .map("".join)
    .map(str.encode)
)
def test_every_wider_image_is_reported_for_any_bytes_in_the_list(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    try:
        items = read_pool(wider, write_wider(tmp_path, content), rules)
    except InputError:
        return
    ids = [item.id for item in items if not isinstance(item, Note)]
    assert len(set(ids)) == len(ids)
    images = {id.partition("#")[0] for id in ids if id.startswith("WIDER_train")}
    assert images == {f"WIDER_train/images/{name}" for name in (PARADE, MARCH, EMPTY)}
