"""The reader of any folder of images."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import touch

from fer.core.labels import EMOTIONS
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers import tree
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError


def test_every_image_at_any_depth_is_an_unlabelled_face(tmp_path: Path, rules: Ingest) -> None:
    names = ["a.jpg", "b/c.JPEG", "b/d/e.png", "f.bmp", "g.webp", "h.tif", "i/j/k/l.TIFF"]
    touch(tmp_path, *names)
    items = list(tree.read(Folder(tmp_path), rules))
    assert sorted(item.id for item in items) == names
    assert all(item == Record(item.id, File(item.id, tmp_path / item.id)) for item in items)


def test_the_order_does_not_depend_on_the_order_of_writing(tmp_path: Path, rules: Ingest) -> None:
    names = [f"{folder}/{number}.jpg" for folder in ("B", "a", "é") for number in (10, 9, 1)]
    touch(tmp_path / "one", *names)
    touch(tmp_path / "two", *random.Random(0).sample(names, len(names)))
    ids = [item.id for item in tree.read(Folder(tmp_path / "one"), rules)]
    assert ids == [item.id for item in tree.read(Folder(tmp_path / "two"), rules)]
    assert ids == [f"{folder}/{number}.jpg" for folder in ("B", "a", "é") for number in (1, 10, 9)]


def test_files_of_other_types_are_counted(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "a.jpg", "b.gif", "c/d.gif", "c/README", ".DS_Store", "c/Thumbs.db", "c/._d.jpg", "__MACOSX/a.jpg")
    face, note = tree.read(Folder(tmp_path), rules)
    assert face.id == "a.jpg"
    assert note == Note("3 files are of another kind and were left out: .gif 2, no suffix 1")


def test_the_truth_file_gives_no_labels(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "a.jpg", "b, c/d.jpg", "e.jpg")
    (tmp_path / "truth.csv").write_text('file,emotion\n"b, c/d.jpg",Happiness\ne.jpg,\ngone.jpg,sad\n')
    *records, note = tree.read(Folder(tmp_path), rules)
    assert {item.id: item.truth for item in records} == {"a.jpg": None, "b, c/d.jpg": "happy", "e.jpg": None}
    assert all(item.emotion is None and item.fold is None for item in records)
    assert note == Note("truth.csv names 1 missing files: gone.jpg")


def test_a_folder_named_after_an_emotion_gives_no_label(tmp_path: Path, rules: Ingest) -> None:
    (record,) = tree.read(Folder(touch(tmp_path, "Happiness/a.jpg")), rules)
    assert record.emotion is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,emotion\na.jpg,happy\nb.jpg,bored\n",
            r"truth\.csv: line 3: 'bored' is not an emotion; use angry, .*contempt",
        ),
        ("file,emotion\na.jpg,3\n", "line 2: '3' is not an emotion"),
        ("a.jpg,happy\n", "line 1 must be file,emotion, but is 'a.jpg,happy'"),
        ("", "line 1 must be file,emotion"),
        ("file,emotion\na.jpg\n", "line 2 has 1 values, not 2"),
        ("file,emotion\na.jpg,sad\n./a.jpg,happy\n", "line 3: a.jpg is listed twice"),
    ],
)
def test_an_invalid_truth_file_is_an_error_that_names_the_line(
    tmp_path: Path, text: str, message: str, rules: Ingest
) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        list(tree.read(Folder(tmp_path), rules))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary()
    | st.lists(st.sampled_from(["file,emotion\n", "a.jpg", ",", "sad", "joy", "\n", '"', "\r", "../", "\0", "é", " "]))
    .map("".join)
    .map(str.encode)
)
def test_every_image_is_read_or_the_truth_file_is_an_error_for_any_bytes(
    tmp_path: Path, rules: Ingest, content: bytes
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "truth.csv").write_bytes(content)
    try:
        records = [item for item in tree.read(Folder(tmp_path), rules) if isinstance(item, Record)]
    except InputError:
        return
    assert [item.id for item in records] == ["a.jpg", "b.jpg"]
    assert all(item.truth in (None, *EMOTIONS) for item in records)


def test_a_link_to_an_image_is_skipped_and_a_link_to_a_folder_is_an_error(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "outside/a.jpg", "source/b.jpg")
    (tmp_path / "source/link.jpg").symlink_to(tmp_path / "outside/a.jpg")
    assert [(type(item), item.id) for item in tree.read(Folder(tmp_path / "source"), rules)] == [
        (Record, "b.jpg"),
        (SkippedItem, "link.jpg"),
    ]
    (tmp_path / "source/link").symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="source/link: is a link"):
        list(tree.read(Folder(tmp_path / "source"), rules))


def test_the_source_itself_may_be_a_link(tmp_path: Path, rules: Ingest) -> None:
    touch(tmp_path, "outside/a.jpg")
    (tmp_path / "source").symlink_to(tmp_path / "outside")
    assert [item.id for item in tree.read(Folder(tmp_path / "source"), rules)] == ["a.jpg"]


@pytest.mark.parametrize(
    ("names", "is_noted"),
    [
        (["0/a.jpg", "1/a.jpg"], True),
        (["train/1/a.jpg", "train/2/a.jpg", "test/1/a.jpg"], True),
        (["0001/a.jpg", "0002/a.jpg"], False),
        (["3/a.jpg", "9/a.jpg"], False),
        (["1/a.jpg"], False),
    ],
)
def test_folders_numbered_like_classes_are_noted(
    tmp_path: Path, rules: Ingest, names: list[str], is_noted: bool
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    notes = [item.text for item in tree.read(Folder(tmp_path), rules) if isinstance(item, Note)]
    assert any("folders are numbered" in note for note in notes) == is_noted
