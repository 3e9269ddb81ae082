"""The readers of CK+: the owners' sequences, CK+48 and the CSV file."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import FUZZ_SETTINGS, save_image, skip_reasons, summarize_items, zip_folder

from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers import ck48, ckextended, ckplus, fer2013_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import PixelText, ReaderItem, Record
from fer.runtime.errors import InputError

EMOTIONS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")


def write_sequence(
    root: Path, label: bytes | None, frames: int = 6, subject: str = "S005", take: str = "001", labelled: int = 0
) -> Path:
    """Write a sequence in the owners' layout; its label is named like the frame `labelled`, or the last."""
    for frame in range(1, frames + 1):
        save_image(root / "cohn-kanade-images" / subject / take / f"{subject}_{take}_{frame:08}.png")
    folder = root / "Emotion" / subject / take
    folder.mkdir(parents=True, exist_ok=True)  # without a label, the owners' folder exists and is empty
    if label is not None:
        (folder / f"{subject}_{take}_{labelled or frames:08}_emotion.txt").write_bytes(label)
    return root


def emotions_by_frame(items: list[ReaderItem]) -> dict[str, str | None]:
    return {item.id[-10:-4].lstrip("0"): item.emotion for item in items if isinstance(item, Record)}


def test_a_labelled_sequence_begins_neutral_and_ends_with_its_emotion(tmp_path: Path, rules: Ingest) -> None:
    root = Folder(write_sequence(tmp_path, b"   7.0000000e+00\n"))
    assert ckplus.matches(root)
    items = list(ckplus.read(root, rules))
    assert emotions_by_frame(items) == {"1": "neutral", "4": "surprise", "5": "surprise", "6": "surprise"}
    skipped_items = [item for item in items if isinstance(item, SkippedItem)]
    assert [item.id[-6:] for item in skipped_items] == ["02.png", "03.png"]
    assert {(item.reason, item.is_defect) for item in skipped_items} == {("between neutral and peak", False)}
    faces = [item for item in items if isinstance(item, Record)]
    assert {(face.group, face.fold, face.face_mode, face.by_rule) for face in faces} == {("S005", None, "one", False)}


@pytest.mark.parametrize(
    ("frames", "n_peak_frames", "expected"),
    [
        (4, 1, ["neutral", "fear"]),
        (4, 3, ["neutral", "fear", "fear", "fear"]),
        (4, 5, ["neutral", "fear", "fear", "fear"]),
        (2, 3, ["neutral", "fear"]),
        (1, 3, ["fear"]),
    ],
)
def test_the_configured_number_of_last_frames_has_the_emotion_but_never_the_first(
    tmp_path: Path, rules: Ingest, frames: int, n_peak_frames: int, expected: list[str]
) -> None:
    root = Folder(write_sequence(tmp_path, b"4.0e+00", frames))
    items = list(ckplus.read(root, rules.model_copy(update={"ckplus_frames": n_peak_frames})))
    assert list(emotions_by_frame(items).values()) == expected
    assert len(items) == frames


def test_the_codes_are_those_of_the_owners(tmp_path: Path, rules: Ingest) -> None:
    for code in range(8):
        write_sequence(tmp_path, f"\r\n   {code}.0000000e+00\r\n".encode(), 2, take=f"{code:03}")
    items = list(ckplus.read(Folder(tmp_path), rules))
    assert tuple(item.emotion for item in items if isinstance(item, Record))[1::2] == EMOTIONS


def test_frames_are_in_order_in_whatever_folder_they_are(tmp_path: Path, rules: Ingest) -> None:
    first = write_sequence(tmp_path, b"6.0", 3) / "cohn-kanade-images/S005/001/S005_001_00000001.png"
    (tmp_path / "cohn-kanade-images/zone").mkdir()
    first.rename(tmp_path / "cohn-kanade-images/zone" / first.name)
    assert emotions_by_frame(list(ckplus.read(Folder(tmp_path), rules))) == {"1": "neutral", "2": "sad", "3": "sad"}


def test_a_sequence_without_an_emotion_is_unlabelled(tmp_path: Path, rules: Ingest) -> None:
    items = list(ckplus.read(Folder(write_sequence(tmp_path, None, 3)), rules))
    assert emotions_by_frame(items) == {"1": None, "2": None, "3": None}


@pytest.mark.parametrize(
    "label", [b"", b"8.0", b"-1", b"3.5", b"nan", b"inf", b"happy", b"3 3", b"3\n3", b"\xff", b"1e999"]
)
def test_an_unknown_label_is_skipped_and_its_sequence_is_unlabelled(
    tmp_path: Path, rules: Ingest, label: bytes
) -> None:
    items = list(ckplus.read(Folder(write_sequence(tmp_path, label, 3)), rules))
    assert skip_reasons(items) == [("Emotion/S005/001/S005_001_00000003_emotion.txt", "unknown label")]
    assert set(emotions_by_frame(items).values()) == {None}


def test_inconsistent_files_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    write_sequence(tmp_path, b"3", 3, labelled=2)
    write_sequence(tmp_path, b"3", 2, take="002")
    (tmp_path / "Emotion/S005/002/S005_002_00000001_emotion.txt").write_bytes(b"4")
    (tmp_path / "Emotion/S005/002/notes.txt").write_bytes(b"4")
    write_sequence(tmp_path, b"3", 0, take="003", labelled=9)
    save_image(tmp_path / "cohn-kanade-images/S005/004/S005_004_1.png")
    save_image(tmp_path / "cohn-kanade-images/again/S005_001_00000001.png")
    items = list(ckplus.read(Folder(tmp_path), rules))
    assert skip_reasons(items) == [
        ("Emotion/S005/002/notes.txt", "file name"),
        ("cohn-kanade-images/S005/004/S005_004_1.png", "file name"),
        ("cohn-kanade-images/again/S005_001_00000001.png", "file twice"),
        ("Emotion/S005/001/S005_001_00000002_emotion.txt", "not the last frame"),
        ("Emotion/S005/002/S005_002_00000001_emotion.txt", "labelled twice"),
        ("Emotion/S005/002/S005_002_00000002_emotion.txt", "labelled twice"),
        ("Emotion/S005/003/S005_003_00000009_emotion.txt", "no such picture"),
    ]
    assert {item.emotion for item in items if isinstance(item, Record)} == {None}


def test_images_without_labels_are_an_error_that_names_the_missing_file(tmp_path: Path, rules: Ingest) -> None:
    shutil.rmtree(write_sequence(tmp_path, b"3") / "Emotion")
    with pytest.raises(InputError, match=r"no folder Emotion; put the owners' Emotion_labels\.zip there"):
        list(ckplus.read(Folder(tmp_path), rules))


def test_the_owners_archives_give_the_same_faces_as_their_folders(tmp_path: Path, rules: Ingest) -> None:
    plain = write_sequence(tmp_path / "plain", b"3.0")
    write_sequence(plain, None, 2, subject="S010")
    expected = summarize_items(ckplus.read(Folder(plain), rules))
    assert summarize_items(ckplus.read(zip_folder(plain, tmp_path / "whole.zip"), rules)) == expected
    parts = tmp_path / "parts"
    for name, folder in (("extended-cohn-kanade-images", "cohn-kanade-images"), ("Emotion_labels", "Emotion")):
        shutil.move(plain / folder, tmp_path / name / folder)
        zip_folder(tmp_path / name, parts / f"{name}.zip")
    assert ckplus.matches(Folder(parts))
    items = str(summarize_items(ckplus.read(Folder(parts), rules)))
    assert items.replace("extended-cohn-kanade-images.zip/", "").replace("Emotion_labels.zip/", "") == str(expected)


@FUZZ_SETTINGS
@given(st.binary() | st.floats().map(str).map(str.encode) | st.text("0123456789.e+- \n").map(str.encode))
def test_each_frame_is_a_face_or_skipped_for_any_label(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    try:
        items = list(ckplus.read(Folder(write_sequence(tmp_path, content, 3)), rules))
    except InputError:
        return
    assert sum(isinstance(item, Record) for item in items) == 3
    assert len(skip_reasons(items)) == (set(emotions_by_frame(items).values()) == {None})


def test_ck48_faces_have_the_emotion_of_the_folder_and_the_subject_of_the_file_name(
    tmp_path: Path, rules: Ingest
) -> None:
    for folder in ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"):
        save_image(tmp_path / "plain" / folder / "S010_004_00000017.png")
    save_image(tmp_path / "plain/bored/S010_004_00000018.png")
    save_image(tmp_path / "plain/sadness/1.png")
    save_image(tmp_path / "plain/S010_004_00000018.png")
    root = Folder(tmp_path / "plain")
    assert ck48.matches(root)
    items = list(ck48.read(root, rules))
    assert [(item.id, item.emotion) for item in items if isinstance(item, Record)] == [
        ("anger/S010_004_00000017.png", "angry"),
        ("contempt/S010_004_00000017.png", "contempt"),
        ("disgust/S010_004_00000017.png", "disgust"),
        ("fear/S010_004_00000017.png", "fear"),
        ("happy/S010_004_00000017.png", "happy"),
        ("sadness/S010_004_00000017.png", "sad"),
        ("surprise/S010_004_00000017.png", "surprise"),
    ]
    faces = [item for item in items if isinstance(item, Record)]
    assert {(face.group, face.fold, face.face_mode) for face in faces} == {("S010", None, "whole")}
    assert skip_reasons(items) == [
        ("S010_004_00000018.png", "unknown emotion"),
        ("bored/S010_004_00000018.png", "unknown emotion"),
        ("sadness/1.png", "file name"),
    ]
    zipped = zip_folder(tmp_path / "plain", tmp_path / "zipped.zip")
    assert ck48.matches(zipped)
    assert summarize_items(ck48.read(zipped, rules)) == summarize_items(items)


def test_other_file_names_and_the_owners_folders_do_not_match_ck48(tmp_path: Path) -> None:
    save_image(tmp_path / "sadness/1.png")
    assert not ck48.matches(Folder(tmp_path))
    assert not ck48.matches(Folder(write_sequence(tmp_path / "ck", b"3")))


def write_table(root: Path, codes: list[int], name: str) -> Folder:
    root.mkdir(exist_ok=True)
    rows = [f"{code},1 2 3,Training" for code in codes]
    (root / name).write_text("\n".join(["emotion,pixels,Usage", *rows]))
    return Folder(root)


def test_the_csv_file_has_contempt_and_a_note_that_folds_share_subjects(tmp_path: Path, rules: Ingest) -> None:
    text = "emotion,pixels,Usage\n7,1 2,Training\n0,3 4,PublicTest\n6,5 6,PrivateTest\n8,5 6,Training\n"
    (tmp_path / "ckextended.csv").write_text(text)
    assert ckextended.matches(Folder(tmp_path))
    assert not fer2013_csv.matches(Folder(tmp_path))
    *items, note = ckextended.read(Folder(tmp_path), rules)
    assert items[:3] == [
        Record("ckextended.csv:2", PixelText("1 2", 48), "contempt", "train"),
        Record("ckextended.csv:3", PixelText("3 4", 48), "angry", "valid"),
        Record("ckextended.csv:4", PixelText("5 6", 48), "neutral", "test"),
    ]
    assert skip_reasons(items) == [("ckextended.csv:5", "unknown label")]
    assert isinstance(note, Note)
    assert "folds share" in note.text


def test_fer2013_beside_the_csv_file_is_not_read_and_noted(tmp_path: Path, rules: Ingest) -> None:
    write_table(tmp_path, [0, 7], "ckextended.csv")
    *items, _, note = ckextended.read(write_table(tmp_path, [0] * 3, "fer2013.csv"), rules)
    assert [item.id for item in items if isinstance(item, Record)] == ["ckextended.csv:2", "ckextended.csv:3"]
    assert note == Note("FER-2013 beside ckextended.csv is not read; add it as a separate source")


def test_a_csv_file_of_another_name_is_recognised_by_contempt_and_size(tmp_path: Path) -> None:
    assert ckextended.matches(write_table(tmp_path / "ck", [0] * 902 + [7] * 18, "fer2013.csv"))
    assert not ckextended.matches(write_table(tmp_path / "small", [0] * 10, "fer2013.csv"))
    assert not ckextended.matches(write_table(tmp_path / "large", [7] * 921, "fer2013.csv"))
    assert not ckextended.matches(write_table(tmp_path / "other", [7], "train.csv"))


def test_the_csv_file_in_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    plain = write_table(tmp_path / "plain", [0, 7, 9], "ckextended.csv")
    assert list(ckextended.read(zip_folder(tmp_path / "plain", tmp_path / "zipped.zip"), rules)) == list(
        ckextended.read(plain, rules)
    )
