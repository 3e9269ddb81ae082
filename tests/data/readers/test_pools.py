"""The readers of the unlabelled pools: LFW, CelebA, FairFace, FFHQ, UTKFace and WIDER FACE."""

from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer.data.media.folders import Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers import celeba, fairface, ffhq, lfw, utkface, wider
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def found(reader: ModuleType, root: Path, rules: Ingest) -> list[ReaderItem]:
    assert reader.matches(Folder(root))
    items = list(reader.read(Folder(root), rules))
    assert all(item.emotion is None and item.fold is None for item in items if isinstance(item, Record))
    return items


def notes(items: list[ReaderItem]) -> list[str]:
    return [item.text for item in items if isinstance(item, Note)]


@pytest.mark.parametrize("doubled", ["", "lfw-deepfunneled/"])
def test_lfws_folder_is_the_person(tmp_path: Path, rules: Ingest, doubled: str) -> None:
    names = ("Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "Bill_Gates/Bill_Gates_0001.jpg", "Bill_Gates/Bill_Gates_0017.jpg")
    root = touch(tmp_path / "lfw-deepfunneled", *(doubled + name for name in names))
    assert [(item.id, item.group, item.face_mode) for item in found(lfw, root, rules)] == [
        (doubled + names[0], "Aaron_Eckhart", "one"),
        (doubled + names[1], "Bill_Gates", "one"),
        (doubled + names[2], "Bill_Gates", "one"),
    ]


def test_a_picture_of_nobody_is_dropped_from_lfw(tmp_path: Path, rules: Ingest) -> None:
    items = found(lfw, touch(tmp_path, "A_B/A_B_0001.jpg", "stray.jpg"), rules)
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
def test_celebas_list_tells_who_it_is(tmp_path: Path, rules: Ingest, images: str, identities: str) -> None:
    touch(tmp_path, *(f"{images}/{number:06}.jpg" for number in range(1, 5)), identities)
    content = b"\xef\xbb\xbf000001.jpg 2880\r\n\r\n000002.jpg 2937\r\n000003.jpg\r\n000002.jpg 1\r\n000009.jpg 7"
    (tmp_path / identities).write_bytes(content)
    items = found(celeba, tmp_path, rules)
    assert [(item.group, item.face_mode) for item in items if isinstance(item, Record)] == [
        ("2880", "one"),
        ("2937", "one"),
        ("", "one"),
        ("", "one"),
    ]
    assert notes(items) == [
        f"{identities}: 2 lines are invalid or repeat an image; the first is line 4",
        f"2 images are not in {identities}, so the person is unknown",
    ]


def test_celeba_needs_no_list(tmp_path: Path, rules: Ingest) -> None:
    (item,) = found(celeba, touch(tmp_path, "img_align_celeba/000001.jpg"), rules)
    assert item.group == ""


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary()
    | st.lists(st.sampled_from(["000001.jpg", "000002.jpg", " ", "7", "\n", "\r", "\0", "é"]))
    .map("".join)
    .map(str.encode)
)
def test_whatever_bytes_celebas_list_holds_no_picture_is_lost(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    touch(tmp_path, "img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg")
    (tmp_path / "identity_CelebA.txt").write_bytes(content)
    try:
        items = found(celeba, tmp_path, rules)
    except InputError:
        return
    assert [item.id[-5] for item in items if isinstance(item, Record)] == ["1", "2"]


def test_fairface_has_two_parts_of_one_pool(tmp_path: Path, rules: Ingest) -> None:
    names = ("train/1.jpg", "train/2.jpg", "val/1.jpg")
    items = found(fairface, touch(tmp_path, *names, "fairface_label_train.csv", "elsewhere/1.jpg"), rules)
    assert [(item.id, item.face_mode) for item in items] == [(name, "one") for name in names]


def test_of_fairfaces_two_margins_the_closer_one_is_taken(tmp_path: Path, rules: Ingest) -> None:
    narrow, wide = (f"fairface-img-margin{margin}-trainval/train/1.jpg" for margin in ("025", "125"))
    items = found(fairface, touch(tmp_path, narrow, wide, "fairface_label_val.csv"), rules)
    assert [item.id for item in items if isinstance(item, Record)] == [narrow]
    (note,) = notes(items)
    assert note.startswith("fairface-img-margin125-trainval is not read")


def test_of_ffhqs_forms_the_thumbnails_are_taken(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "images1024x1024/00000/00000.png")
    assert [item.id for item in found(ffhq, tmp_path, rules)] == ["images1024x1024/00000/00000.png"]
    touch(tmp_path, "thumbnails128x128/00000/00000.png", "thumbnails128x128/00000/00001.png")
    note, *items = found(ffhq, tmp_path, rules)
    assert note == Note("images1024x1024 is not read: it has the same faces as thumbnails128x128")
    assert [(item.id[-9:], item.face_mode) for item in items] == [("00000.png", "one"), ("00001.png", "one")]


@pytest.mark.parametrize("folder", ["", "part1/"])
def test_utkfaces_cut_out_faces_are_whole_whatever_their_names_lack(tmp_path: Path, rules: Ingest, folder: str) -> None:
    names = {
        "100_1_0_20170112213500903.jpg.chip.jpg": "whole",
        "26_0_2_20170104023102422.jpg": "one",
        "44_1_4_20170116235150272.pg.chip.jpg": "whole",
        "53__0_20170116184028385.jpg": "one",
        "61_1_20170109142408075.jpg.chip.jpg": "whole",
    }
    items = found(utkface, touch(tmp_path, *(folder + name for name in names)), rules)
    assert {item.id: item.face_mode for item in items} == {folder + name: faces for name, faces in names.items()}


def test_numbers_with_underscores_are_not_yet_utkface(tmp_path: Path) -> None:
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
def test_widers_list_has_a_box_for_each_face(tmp_path: Path, rules: Ingest, part: str, ends: str) -> None:
    items = found(wider, write_wider(tmp_path, b"\xef\xbb\xbf" + BOXES.replace("\n", ends).encode(), part), rules)
    parade, march, empty = (f"WIDER_{part}/images/{name}" for name in (PARADE, MARCH, EMPTY))
    face, invalid, unlisted, none = items
    assert (face.id, face.box, face.group) == (f"{parade}#1", (449, 330, 122, 149), parade)
    assert (invalid.id, invalid.reason, invalid.is_defect) == (f"{parade}#2", "invalid by its owners", False)
    assert (unlisted.id, unlisted.box, unlisted.face_mode, unlisted.group) == (march, None, "all", march)
    assert (none.id, none.reason, none.is_defect) == (empty, "no face", False)


def test_without_widers_list_all_faces_are_looked_for(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, f"WIDER_test/WIDER_test/images/{PARADE}", "wider_face_split/wider_face_test_filelist.txt")
    (item,) = found(wider, tmp_path, rules)
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
def test_a_bad_line_of_widers_list_is_dropped_with_its_place(
    tmp_path: Path, rules: Ingest, boxes: str, id: str, reason: str
) -> None:
    items = found(wider, write_wider(tmp_path, boxes.encode()), rules)
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
def test_whatever_bytes_widers_list_holds_every_picture_is_accounted_for(
    tmp_path: Path, rules: Ingest, content: bytes
) -> None:
    try:
        items = found(wider, write_wider(tmp_path, content), rules)
    except InputError:
        return
    ids = [item.id for item in items if not isinstance(item, Note)]
    assert len(set(ids)) == len(ids)
    pictures = {id.partition("#")[0] for id in ids if id.startswith("WIDER_train")}
    assert pictures == {f"WIDER_train/images/{name}" for name in (PARADE, MARCH, EMPTY)}
