"""The readers of JAFFE, KDEF and SFEW."""

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest
from trees import touch

from fer.data.media.folders import Folder, SkippedItem
from fer.data.readers import jaffe, kdef, sfew
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record


def read_items(reader: ModuleType, root: Path, rules: Ingest) -> list[ReaderItem]:
    assert reader.matches(Folder(root))
    return list(reader.read(Folder(root), rules))


def reasons_by_id(items: Iterable[ReaderItem]) -> dict[str, str]:
    return {item.id: item.reason for item in items if isinstance(item, SkippedItem)}


def emotions_by_id(items: Iterable[ReaderItem]) -> dict[str, str | None]:
    return {item.id: item.emotion for item in items if isinstance(item, Record)}


def test_the_jaffe_file_name_gives_the_subject_and_the_expression(tmp_path: Path, rules: Ingest) -> None:
    codes = {"AN1": "angry", "DI2": "disgust", "FE3": "fear", "HA1": "happy", "NE2": "neutral", "SA3": "sad"}
    names = {f"KA.{code}.{39 + row}.tiff": emotion for row, (code, emotion) in enumerate(codes.items())}
    names |= {"ym-su1.12.jpg": "surprise"}
    items = read_items(jaffe, touch(tmp_path, *names), rules)
    assert emotions_by_id(items) == names
    assert {(item.group, item.face_mode, item.fold) for item in items} == {("KA", "one", None), ("YM", "one", None)}


def test_jaffe_in_emotion_folders_keeps_its_subjects(tmp_path: Path, rules: Ingest) -> None:
    (item,) = read_items(jaffe, touch(tmp_path, "Anger/TM.AN1.190.tiff"), rules)
    assert (item.emotion, item.group) == ("angry", "TM")


def test_a_file_with_another_name_is_skipped_in_jaffe(tmp_path: Path, rules: Ingest) -> None:
    items = read_items(jaffe, touch(tmp_path, "KA.AN1.39.tiff", "KA.XX1.39.tiff", "average.jpg"), rules)
    assert reasons_by_id(items) == {"KA.XX1.39.tiff": "file name", "average.jpg": "file name"}


KDEF = {"AF": "fear", "AN": "angry", "DI": "disgust", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise"}


def test_both_kdef_sessions_show_the_same_person(tmp_path: Path, rules: Ingest) -> None:
    names = {f"{s}F01/{s}F01{code}S.JPG": emotion for s in "AB" for code, emotion in KDEF.items()}
    items = read_items(kdef, touch(tmp_path, *names, "AM01/am01ans.jpg"), rules)
    assert emotions_by_id(items) == names | {"AM01/am01ans.jpg": "angry"}
    assert {item.group for item in items} == {"F01", "M01"}
    assert {item.face_mode for item in items} == {"one"}


@pytest.mark.parametrize(
    ("views", "angles"),
    [(["straight"], {"S"}), (["half", "straight"], {"HL", "S", "HR"}), (["profile"], {"FL", "FR"})],
)
def test_other_kdef_views_are_skipped_and_are_no_defects(
    tmp_path: Path, rules: Ingest, views: list[str], angles: set[str]
) -> None:
    touch(tmp_path, *(f"AF01/AF01HA{angle}.JPG" for angle in ("FL", "HL", "S", "HR", "FR")))
    items = read_items(kdef, tmp_path, rules.model_copy(update={"kdef_views": views}))
    assert emotions_by_id(items).keys() == {f"AF01/AF01HA{angle}.JPG" for angle in angles}
    left_out = [item for item in items if isinstance(item, SkippedItem)]
    assert len(left_out) == 5 - len(angles)
    assert not any(item.is_defect for item in left_out)
    assert {item.reason for item in left_out} == {"view not asked for"}


def test_kdef_averages_and_misnamed_files_have_different_reasons(tmp_path: Path, rules: Ingest) -> None:
    items = read_items(kdef, touch(tmp_path, "AF01/AF01ANS.JPG", "AF31/AF31V.JPG", "FAFFL.JPG", "MNES.JPG"), rules)
    assert {item.id: (item.reason, item.is_defect) for item in items if isinstance(item, SkippedItem)} == {
        "AF31/AF31V.JPG": ("file name", True),
        "FAFFL.JPG": ("average face", False),
        "MNES.JPG": ("average face", False),
    }
    assert not kdef.matches(Folder(touch(tmp_path / "AKDEF", "FAFFL.JPG")))


FRAME, FRAME_21 = "Airheads_000519240_00000005.png", "21_000143560_00000012.png"


@pytest.mark.parametrize("inside", ["Train/Train_Aligned_Faces", "Train_Aligned_Faces", "Train_Aligned_Faces/again"])
def test_face_crops_of_sfew_are_preferred_to_frames(tmp_path: Path, rules: Ingest, inside: str) -> None:
    touch(tmp_path, f"Train/Angry/{FRAME}", f"Train/Happy/{FRAME_21}", f"{inside}/Angry/{FRAME}")
    items = read_items(sfew, tmp_path, rules)
    assert [(i.id, i.emotion, i.fold, i.group, i.face_mode) for i in items if isinstance(i, Record)] == [
        (f"{inside}/Angry/{FRAME}", "angry", "train", "Airheads", "whole"),
        (f"Train/Happy/{FRAME_21}", "happy", "train", "21", "one"),
    ]
    assert reasons_by_id(items) == {f"Train/Angry/{FRAME}": "frame of a cut-out face"}
    assert not any(item.is_defect for item in items if isinstance(item, SkippedItem))


def test_the_corrected_validation_crops_of_sfew_are_read(tmp_path: Path, rules: Ingest) -> None:
    new = f"Val_Aligned_Faces_new/Val_Aligned_Faces/Fear/{FRAME}"
    touch(tmp_path, new, f"Val_Aligned_Faces/Fear/{FRAME_21}")
    assert [(item.id, item.fold) for item in read_items(sfew, tmp_path, rules)] == [(new, "valid")]


def test_the_test_part_of_sfew_is_unlabelled_and_other_folders_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, f"Train/Sad/{FRAME}", f"Train/Bored/{FRAME_21}", "Test/TheBigLebowski_002_00000012.png")
    items = read_items(sfew, tmp_path, rules)
    assert reasons_by_id(items) == {f"Train/Bored/{FRAME_21}": "unknown emotion"}
    (test,) = (item for item in items if item.id.startswith("Test"))
    assert (test.emotion, test.fold, test.group) == (None, None, "TheBigLebowski")


def test_emotion_folders_without_films_do_not_match_sfew(tmp_path: Path) -> None:
    assert not sfew.matches(Folder(touch(tmp_path, "Train/Angry/1.png", "Val/Angry/im_2.png")))
