"""The reader of the AffectNet lists of 2017."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from trees import (
    FUZZ_SETTINGS,
    count_lines,
    count_reported_lines,
    face_labels,
    save_image,
    skip_reasons,
    summarize_items,
    write_file,
    zip_folder,
)

from fer.data.media.folders import Folder, Note
from fer.data.readers import affectnet_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError

EMOTIONS = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]  # in the owner's order
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
LISTS, IMAGES = "Manually_Annotated_file_lists", "Manually_Annotated_Images"


def entry(path: str, code: object) -> str:
    return f'{path},10,12,201,203,"{";".join(["101.5"] * 136)}",{code},-2,0.1\n'


def write_lists(root: Path, training: str, validation: str, header: str = HEADER) -> Path:
    """Write both lists and an image for each of their lines."""
    for name, rows in (("training", training), ("validation", validation)):
        write_file(root / LISTS / f"{name}.csv", header + rows)
        for row in rows.split("\n"):
            if row:
                save_image(root / IMAGES / row.partition(",")[0])
    return root


def test_lists_give_each_image_its_emotion_and_fold(tmp_path: Path, rules: Ingest) -> None:
    training = "".join(entry(f"{code}/{code:056x}.jpg", code) for code in range(8))
    root = Folder(write_lists(tmp_path, training, entry("9/ab.png", 3)))
    assert affectnet_csv.matches(root)
    assert face_labels(affectnet_csv.read(root, rules)) == [
        *((f"{IMAGES}/{code}/{code:056x}.jpg", emotion, "train") for code, emotion in enumerate(EMOTIONS)),
        (f"{IMAGES}/9/ab.png", "surprise", "valid"),
    ]


def test_a_face_in_the_lists_is_the_whole_image(tmp_path: Path, rules: Ingest) -> None:
    (record,) = affectnet_csv.read(Folder(write_lists(tmp_path, entry("1/a.jpg", 1), "")), rules)
    assert (record.face_mode, record.box, record.by_rule) == ("whole", None, False)


def test_images_without_a_single_emotion_are_skipped_and_are_no_defects(tmp_path: Path, rules: Ingest) -> None:
    training = "".join(entry(f"1/{code}.jpg", code) for code in (8, 9, 10))
    write_lists(tmp_path, training, entry("1/x.jpg", 8))
    (tmp_path / IMAGES / "1/x.jpg").unlink()
    items = list(affectnet_csv.read(Folder(tmp_path), rules))
    assert {(item.reason, item.is_defect) for item in items} == {("no single emotion", False)}
    assert len(items) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.removeprefix(HEADER),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: f"\n{text}\n  \n",
        lambda text: text.replace('"', ""),
        lambda text: text.replace("-2", '"-2"'),
        lambda text: "".join(f"0,{row}\n" for row in text.splitlines()),
    ],
    ids=["no header", "CRLF", "BOM", "no final newline", "blank lines", "unquoted", "quoted", "with an index"],
)
def test_headers_line_ends_boms_and_quotes_make_no_difference(tmp_path: Path, rules: Ingest, change) -> None:
    rows = entry("1/a.jpg", 1) + entry("2/b.jpg", 4)
    write_lists(tmp_path, rows, rows.replace(".jpg", ".bmp"))
    for name in ("training", "validation"):
        path = tmp_path / LISTS / f"{name}.csv"
        path.write_bytes(change(path.read_text()).encode())
    assert face_labels(affectnet_csv.read(Folder(tmp_path), rules)) == [
        (f"{IMAGES}/1/a.bmp", "happy", "valid"),
        (f"{IMAGES}/1/a.jpg", "happy", "train"),
        (f"{IMAGES}/2/b.bmp", "fear", "valid"),
        (f"{IMAGES}/2/b.jpg", "fear", "train"),
    ]


def test_invalid_lines_and_unlisted_images_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    write_lists(tmp_path, entry("1/a.jpg", 1) + entry("1/b.jpg", 11) + entry("1/c.jpg", ""), "")
    save_image(tmp_path / IMAGES / "1/extra.jpg")
    save_image(tmp_path / "1/outside.jpg")
    unsafe_paths = ("../1/outside.jpg", "/1/a.jpg", "1\\a.jpg", "C:/a.jpg", "1/../1/a.jpg")
    unsafe = "".join(entry(path, 1) for path in unsafe_paths)
    with (tmp_path / LISTS / "training.csv").open("ab") as file:
        file.write((entry("1/gone.jpg", 1) + unsafe + "1/a.jpg,1\n").encode() + b"1/\xff.jpg,,,,,,1,,\n")
    items = list(affectnet_csv.read(Folder(tmp_path), rules))
    training = f"{LISTS}/training.csv"
    assert skip_reasons(items) == [
        *((f"{training}:{number}", "unsafe path") for number in range(6, 11)),
        (f"{training}:11", "number of columns"),
        (f"{IMAGES}/1/b.jpg", "unknown label"),
        (f"{IMAGES}/1/c.jpg", "unknown label"),
        (f"{IMAGES}/1/extra.jpg", "without label"),
        (f"{IMAGES}/1/gone.jpg", "missing picture"),
        (f"{IMAGES}/1/�.jpg", "missing picture"),
    ]
    assert [item.id for item in items if isinstance(item, Record)] == [f"{IMAGES}/1/a.jpg"]


def test_an_image_in_both_lists_is_held_out_and_one_with_two_labels_is_skipped(tmp_path: Path, rules: Ingest) -> None:
    training = entry("1/a.jpg", 1) + entry("1/b.jpg", 1) + entry("1/c.jpg", 1) + entry("1/c.jpg", 2)
    write_lists(tmp_path, training, entry("1/a.jpg", 1) + entry("1/b.jpg", 5))
    items = list(affectnet_csv.read(Folder(tmp_path), rules))
    assert skip_reasons(items) == [
        (f"{LISTS}/training.csv:2", "named twice"),
        (f"{LISTS}/training.csv:3", "contradictory labels"),
        (f"{LISTS}/training.csv:5", "contradictory labels"),
        (f"{IMAGES}/1/b.jpg", "contradictory labels"),
        (f"{IMAGES}/1/c.jpg", "contradictory labels"),
    ]
    assert face_labels([item for item in items if isinstance(item, Record)]) == [
        (f"{IMAGES}/1/a.jpg", "happy", "valid")
    ]


def write_automatic_list(root: Path) -> Path:
    write_file(root / "Automatically_Annotated_file_lists/automatically_annotated.csv", HEADER + entry("1/z.jpg", 2))
    save_image(root / "Automatically_Annotated_Images/1/z.jpg")
    return root


def test_labels_of_a_network_are_for_training_and_only_if_there_are_no_others(tmp_path: Path, rules: Ingest) -> None:
    assert affectnet_csv.matches(Folder(write_automatic_list(tmp_path)))
    (record,) = affectnet_csv.read(Folder(tmp_path), rules)
    assert (record.emotion, record.fold, record.by_rule) == ("sad", "train", True)
    note, record = affectnet_csv.read(Folder(write_lists(tmp_path, entry("1/a.jpg", 1), "")), rules)
    assert note == Note("Automatically_Annotated_Images/ is not read: its labels come from a network")
    assert (record.emotion, record.by_rule) == ("happy", False)


def test_a_list_without_emotions_and_lists_without_images_are_errors(tmp_path: Path, rules: Ingest) -> None:
    write_lists(tmp_path / "one", "", entry("1/a.jpg", 1).replace(",1,", ",", 1), HEADER.replace("expression,", ""))
    with pytest.raises(InputError, match=r"validation\.csv: line 1 has no column expression"):
        list(affectnet_csv.read(Folder(tmp_path / "one"), rules))
    write_file(tmp_path / "two" / LISTS / "training.csv", HEADER)
    with pytest.raises(InputError, match="no Manually_Annotated_Images beside Manually_Annotated_file_lists; unpack"):
        list(affectnet_csv.read(Folder(tmp_path / "two"), rules))


def test_folders_nested_in_a_folder_of_the_same_name_give_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    write_lists(tmp_path / "a", entry("1/a.jpg", 1), entry("1/b.jpg", 0))
    write_lists(tmp_path / "b", entry("1/a.jpg", 1), entry("1/b.jpg", 0))
    for name in (LISTS, IMAGES):
        (tmp_path / "b" / name).rename(tmp_path / "b/x")
        (tmp_path / "b" / name).mkdir()
        (tmp_path / "b/x").rename(tmp_path / "b" / name / name)
    assert affectnet_csv.matches(Folder(tmp_path / "b"))
    plain, nested = (face_labels(affectnet_csv.read(Folder(tmp_path / name), rules)) for name in "ab")
    assert [(id.replace(IMAGES, f"{IMAGES}/{IMAGES}"), *label) for id, *label in plain] == nested


@pytest.mark.parametrize("header", ["", HEADER])
@FUZZ_SETTINGS
@given(
    st.binary()
    | st.lists(
        st.sampled_from([entry("1/a.jpg", 1), entry("1/a.jpg", 2), entry("1/b.jpg", 9), "../a.jpg", *',"\n\r\0�'])
    ).map(lambda parts: "".join(parts).encode())
)
@example((entry("1/a.jpg", 1) + entry("1/a.jpg", 2)).encode())
def test_each_line_is_a_face_or_skipped_for_any_bytes(
    tmp_path: Path, rules: Ingest, header: str, content: bytes
) -> None:
    write_file(tmp_path / LISTS / "training.csv", header.encode() + content)
    for name in "ab":
        save_image(tmp_path / IMAGES / f"1/{name}.jpg")
    try:
        items = list(affectnet_csv.read(Folder(tmp_path), rules))
    except InputError:
        return
    assert count_reported_lines(items) == count_lines(content)


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    root = write_lists(tmp_path / "there", entry("1/a.jpg", 1) + entry("1/b.jpg", 9), entry("2/a.jpg", 7))
    archive = zip_folder(root, tmp_path / "packed.zip")
    assert affectnet_csv.matches(archive)
    assert summarize_items(affectnet_csv.read(archive, rules)) == summarize_items(
        affectnet_csv.read(Folder(root), rules)
    )
