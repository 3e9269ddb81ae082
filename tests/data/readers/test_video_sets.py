"""The readers of AFEW and DISFA."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from trees import touch

from fer.core.labels import EMOTIONS
from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers import afew, disfa
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError


def test_afew_clips_are_labelled_videos_and_groups(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "Train_AFEW/Angry/000046280.avi", "Val_AFEW/Happy/000046280.avi", "Test_AFEW/000000001.avi")
    assert afew.matches(Folder(tmp_path))
    items = list(afew.read(Folder(tmp_path), rules))
    assert {item.id: (item.emotion, item.fold) for item in items} == {
        "Train_AFEW/Angry/000046280.avi": ("angry", "train"),
        "Val_AFEW/Happy/000046280.avi": ("happy", "valid"),
        "Test_AFEW/000000001.avi": (None, None),
    }
    assert len({item.group for item in items}) == 3
    assert {item.face_mode for item in items} == {"one"}


def test_images_beside_afew_videos_are_counted_and_other_folders_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "Train_AFEW/Sad/1.avi", "Train_AFEW/Bored/2.avi", "Train_AFEW/AlignedFaces/Faces/1/000.jpg")
    items = list(afew.read(Folder(tmp_path), rules))
    assert [item.id for item in items if isinstance(item, Record)] == ["Train_AFEW/Sad/1.avi"]
    assert [item.reason for item in items if isinstance(item, SkippedItem)] == ["unknown emotion"]
    assert [item.text for item in items if isinstance(item, Note)] == [
        "1 files in Train_AFEW/ are of another kind and were left out: .jpg 1"
    ]


@pytest.mark.parametrize(("size", "face_mode"), [((720, 576), "one"), ((224, 224), "whole")])
def test_the_clip_is_the_group_of_afew_frames(
    tmp_path: Path, rules: Ingest, size: tuple[int, int], face_mode: str
) -> None:
    names = [f"train_afew/Fear/{clip}/{frame:06}.jpg" for clip in ("000046280", "000099360") for frame in (1, 2)]
    touch(tmp_path, *names)
    for name in names:
        Image.new("L", size).save(tmp_path / name)
    assert [(item.emotion, item.fold, item.group, item.face_mode) for item in afew.read(Folder(tmp_path), rules)] == [
        ("fear", "train", f"train_afew/Fear/{clip}", face_mode) for clip in ("000046280", "000099360") for _ in (1, 2)
    ]


# The intensities of DISFA's action units in each frame; the others are 0.
FRAMES: tuple[Mapping[int, int], ...] = (
    {},
    {6: 2, 12: 3},
    {1: 2, 2: 2, 5: 2},
    {1: 3, 2: 3, 26: 2},
    {1: 2, 15: 4},
    {1: 2, 2: 2, 4: 2, 20: 2},
    {9: 5},
    {6: 1, 12: 5},
    {9: 2, 6: 2, 12: 2},
    {17: 1},
    {1: 2, 2: 2, 4: 2, 5: 2},
)
FRAME_EMOTIONS = {
    0: "neutral",
    1: "happy",
    2: "surprise",
    3: "surprise",
    4: "sad",
    5: "fear",
    6: "disgust",
}


def write_unit_files(folder: Path, subject: str, frames: tuple[Mapping[int, int], ...] = FRAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for unit in disfa.DISFA_ACTION_UNITS:
        lines = [f"{number},{frame.get(unit, 0)}\n" for number, frame in enumerate(frames, start=1)]
        (folder / f"{subject}_au{unit}.txt").write_text("".join(lines))


def write_disfa(root: Path) -> Path:
    touch(
        root,
        "Videos_LeftCamera/LeftVideoSN001_comp.avi",
        "Videos_LeftCamera/leftvideosn002_comp.AVI",
        "Videos_RightCamera/RightVideoSN001_Comp.avi",
    )
    write_unit_files(root / "ActionUnit_Labels/SN001", "SN001")
    write_unit_files(root / "ActionUnit_Labels/sn002", "sn002", FRAMES[:2])
    return root


def test_disfa_is_an_unlabelled_pool_with_subjects_as_groups(tmp_path: Path, rules: Ingest) -> None:
    assert disfa.matches(Folder(write_disfa(tmp_path)))
    items = list(disfa.read(Folder(tmp_path), rules))
    assert {(item.id, item.group) for item in items} == {
        ("Videos_LeftCamera/LeftVideoSN001_comp.avi", "SN001"),
        ("Videos_RightCamera/RightVideoSN001_Comp.avi", "SN001"),
        ("Videos_LeftCamera/leftvideosn002_comp.AVI", "SN002"),
    }
    assert {(item.emotion, item.fold, item.frame_emotions, item.by_rule, item.face_mode) for item in items} == {
        (None, None, None, False, "one")
    }


def test_disfa_rules_label_frames_from_0_for_training_only(tmp_path: Path, rules: Ingest) -> None:
    root = Folder(write_disfa(tmp_path))
    items = list(disfa.read(root, rules.model_copy(update={"disfa_rules": True})))
    assert {item.id: item.frame_emotions for item in items} == {
        "Videos_LeftCamera/LeftVideoSN001_comp.avi": FRAME_EMOTIONS,
        "Videos_RightCamera/RightVideoSN001_Comp.avi": FRAME_EMOTIONS,
        "Videos_LeftCamera/leftvideosn002_comp.AVI": {0: "neutral", 1: "happy"},
    }
    assert {(item.emotion, item.fold, item.by_rule) for item in items} == {(None, "train", True)}


def test_only_frames_in_all_disfa_label_files_are_labelled(tmp_path: Path, rules: Ingest) -> None:
    (write_disfa(tmp_path) / "ActionUnit_Labels/SN001/SN001_au25.txt").write_bytes(b"\xef\xbb\xbf1, 0\r\n\r\n2 ,0")
    items = list(disfa.read(Folder(tmp_path), rules.model_copy(update={"disfa_rules": True})))
    assert items[0].frame_emotions == {0: "neutral", 1: "happy"}


def test_a_subject_with_a_missing_label_file_stays_unlabelled_with_a_note(tmp_path: Path, rules: Ingest) -> None:
    (write_disfa(tmp_path) / "ActionUnit_Labels/SN001/SN001_au9.txt").unlink()
    note, *items = disfa.read(Folder(tmp_path), rules.model_copy(update={"disfa_rules": True}))
    assert note == Note("SN001 stays unlabelled: SN001_au9.txt is missing in ActionUnit_Labels")
    assert [(item.group, item.fold, bool(item.frame_emotions)) for item in items] == [
        ("SN001", None, False),
        ("SN001", None, False),
        ("SN002", "train", True),
    ]


def test_disfa_without_labels_is_an_error_only_with_disfa_rules(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "Videos_LeftCamera/LeftVideoSN001_comp.avi")
    assert len(list(disfa.read(Folder(tmp_path), rules))) == 1
    with pytest.raises(
        InputError, match=r"no folder ActionUnit_Labels; put it there, or set ingest\.disfa_rules to false"
    ):
        list(disfa.read(Folder(tmp_path), rules.model_copy(update={"disfa_rules": True})))


def test_disfa_videos_of_one_subject_and_camera_are_read_once(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, *(f"Videos_LeftCamera/{name}.avi" for name in ("LeftVideoSN001_comp", "leftVideoSN001_comp", "x")))
    items = list(disfa.read(Folder(tmp_path), rules))
    assert [item.id for item in items if isinstance(item, Record)] == ["Videos_LeftCamera/LeftVideoSN001_comp.avi"]
    assert {item.id: item.reason for item in items if isinstance(item, SkippedItem)} == {
        "Videos_LeftCamera/leftVideoSN001_comp.avi": "named twice",
        "Videos_LeftCamera/x.avi": "file name",
    }


@pytest.mark.parametrize("line", ["1", "1,6", "1,-1", "1,0,0", "x,0", "1;0", "1,0.5", "3,0\n3,1", "１,0"])
def test_an_invalid_line_of_a_disfa_label_file_is_an_error_that_names_it(
    tmp_path: Path, rules: Ingest, line: str
) -> None:
    (write_disfa(tmp_path) / "ActionUnit_Labels/SN001/SN001_au1.txt").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"SN001_au1\.txt: line \d is .* must be a new frame"):
        list(disfa.read(Folder(tmp_path), rules.model_copy(update={"disfa_rules": True})))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary() | st.lists(st.sampled_from([*"0159,\n\r \0é", "12,3\n"])).map("".join).map(str.encode))
def test_every_disfa_video_is_read_for_any_bytes_in_the_labels(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    (write_disfa(tmp_path) / "ActionUnit_Labels/SN001/SN001_au1.txt").write_bytes(content)
    try:
        items = list(disfa.read(Folder(tmp_path), rules.model_copy(update={"disfa_rules": True})))
    except InputError:
        return
    assert len(items) == 3
    assert all(set(item.frame_emotions.values()) <= set(EMOTIONS) for item in items if item.frame_emotions)


@given(st.integers(0, 2**32 - 1))
def test_a_frame_has_at_most_one_emotion_that_the_action_units_can_express(seed: int) -> None:
    intensities = dict(
        zip(disfa.DISFA_ACTION_UNITS, np.random.default_rng(seed).integers(0, 6, 12).tolist(), strict=True)
    )
    assert disfa.infer_emotion(intensities) in (None, "happy", "sad", "surprise", "fear", "disgust", "neutral")
    assert disfa.infer_emotion({unit: min(value, 1) for unit, value in intensities.items()} | {1: 1}) is None
