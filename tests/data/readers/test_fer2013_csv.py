"""The reader of fer2013.csv and the other CSV files of FER-2013."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trees import zip_folder

from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers import fer2013_csv
from fer.data.readers.record import PixelText, Record
from fer.params import load_params
from fer.runtime.errors import InputError

PIXELS = " ".join(str(value % 256) for value in range(48 * 48))
FACE = PixelText(PIXELS, 48)
SETTINGS = load_params(Path(__file__).parents[3] / "params.yaml").ingest


def write_csv(root: Path, text: str, name: str = "fer2013.csv", encoding: str = "utf-8") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return root


def read_items(root: Path) -> list[Record | SkippedItem]:
    return [item for item in fer2013_csv.read(Folder(root), SETTINGS) if not isinstance(item, Note)]


def read_notes(root: Path) -> str:
    return "\n".join(item.text for item in fer2013_csv.read(Folder(root), SETTINGS) if isinstance(item, Note))


def test_each_row_is_a_face_with_the_owners_emotion_and_fold(tmp_path: Path) -> None:
    usages = ("Training", "PublicTest", "PrivateTest", "Training", "Training", "Training", "Training")
    rows = [f"{code},{PIXELS},{usage}" for code, usage in enumerate(usages)]
    records = read_items(write_csv(tmp_path, "\n".join(["emotion,pixels,Usage", *rows, ""])))
    assert [(item.id, item.emotion, item.fold) for item in records] == [
        ("fer2013.csv:2", "angry", "train"),
        ("fer2013.csv:3", "disgust", "valid"),
        ("fer2013.csv:4", "fear", "test"),
        ("fer2013.csv:5", "happy", "train"),
        ("fer2013.csv:6", "sad", "train"),
        ("fer2013.csv:7", "surprise", "train"),
        ("fer2013.csv:8", "neutral", "train"),
    ]
    assert all(item.image == FACE for item in records)


@pytest.mark.parametrize(
    "text",
    [
        f"emotion, Usage, pixels\n3,Training,{PIXELS}\n",
        f'"emotion"," Usage"," pixels"\n"3"," Training"," {PIXELS}"\n',
        f'emotion, "Usage", "pixels"\n3, "Training", "{PIXELS}"\n',
        f"\ufeffemotion,pixels,Usage\r\n3,{PIXELS},Training\r\n\r\n",
        f"emotion,pixels,Usage\n3,{PIXELS} ,Training",
        f",Usage,pixels,emotion\n0,Training,{PIXELS},3\n",
    ],
    ids=[
        "another order",
        "quoted",
        "quoted after blanks",
        "byte order mark and CRLF",
        "no final newline",
        "with an index",
    ],
)
def test_the_order_of_columns_blanks_quotes_and_line_ends_make_no_difference(tmp_path: Path, text: str) -> None:
    (record,) = read_items(write_csv(tmp_path, text, "icml_face_data.csv"))
    assert (record.id, record.emotion, record.fold) == ("icml_face_data.csv:2", "happy", "train")
    assert record.image == FACE


def test_train_csv_is_the_train_fold_and_test_csv_is_unlabelled(tmp_path: Path) -> None:
    write_csv(tmp_path, f"emotion,pixels\n6,{PIXELS}\n", "train.csv")
    records = read_items(write_csv(tmp_path, f"pixels\n{PIXELS}\n{PIXELS}\n", "test.csv"))
    assert [(item.id, item.emotion, item.fold) for item in records] == [
        ("train.csv:2", "neutral", "train"),
        ("test.csv:2", None, None),
        ("test.csv:3", None, None),
    ]


def test_the_best_of_several_files_with_the_same_faces_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    write_csv(tmp_path, f"emotion,pixels\n6,{PIXELS}\n", "train.csv")
    write_csv(tmp_path, f"pixels\n{PIXELS}\n", "test.csv")
    assert "not read" not in read_notes(tmp_path)
    write_csv(tmp_path, f"emotion, Usage, pixels\n3,Training,{PIXELS}\n", "icml_face_data.csv")
    assert "train.csv and test.csv not read" in read_notes(tmp_path)
    write_csv(tmp_path, f"emotion,pixels,Usage\n1,{PIXELS},Training\n", "fer2013/fer2013.csv")
    assert [item.emotion for item in read_items(tmp_path)] == ["disgust"]
    assert "icml_face_data.csv not read" in read_notes(tmp_path)


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (f"9,{PIXELS},Training", "unknown label", "'9'; allowed 0 angry, 1 disgust"),
        (f",{PIXELS},Training", "unknown label", "''"),
        (f"3,{PIXELS},Validation", "unknown usage", "'Validation'; allowed Training, PublicTest, PrivateTest"),
        (f"3,{PIXELS}", "number of columns", "2; allowed 3"),
        ('3,"1 2,Training', "number of columns", "2; allowed 3"),
    ],
)
def test_an_invalid_row_is_skipped_with_its_line_and_value_and_other_rows_are_read(
    tmp_path: Path, row: str, reason: str, detail: str
) -> None:
    good = f"3,{PIXELS},Training"
    first, bad, last = read_items(write_csv(tmp_path, f"emotion,pixels,Usage\n{good}\n{row}\n{good}\n"))
    assert isinstance(first, Record)
    assert isinstance(bad, SkippedItem)
    assert isinstance(last, Record)
    assert (bad.id, bad.reason) == ("fer2013.csv:3", reason)
    assert detail in bad.detail


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("emotion,pixel,Usage\n", "utf-8", "line 1 must name pixels once, but is emotion, pixel, usage"),
        ("emotion;pixels;Usage\n", "utf-8", "line 1 must name emotion and pixels and usage once"),
        ("emotion,pixels,Usage,pixels\n", "utf-8", "must name pixels once"),
        ("", "utf-8", "but is nothing"),
        ("emotion,pixels,Usage\n", "utf-16", "is UTF-16; save it as UTF-8"),
        (f"emotion,pixels,Usage\r3,{PIXELS},Training\r", "utf-8", "line 1 has a carriage return inside"),
        (f"emotion,pixels,Usage\n3,{PIXELS * 20},Training\n", "utf-8", "line 2 is longer than 100,000 bytes"),
    ],
    ids=["wrong name", "semicolons", "twice", "empty", "UTF-16", "carriage returns", "long line"],
)
def test_a_file_in_another_format_is_a_readable_error(tmp_path: Path, text: str, encoding: str, message: str) -> None:
    write_csv(tmp_path, text, encoding=encoding)
    with pytest.raises(InputError, match=message) as error:
        read_items(tmp_path)
    assert str(tmp_path / "fer2013.csv") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = write_csv(tmp_path / "outside", "emotion,pixels,Usage\n") / "fer2013.csv"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "fer2013.csv").symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        fer2013_csv.matches(Folder(tmp_path / "source"))


def test_a_train_csv_without_pixels_does_not_match(tmp_path: Path) -> None:
    assert not fer2013_csv.matches(Folder(write_csv(tmp_path, "image,label\na.jpg,3\n", "train.csv")))
    assert fer2013_csv.matches(Folder(write_csv(tmp_path, "emotion,pixels\n", "train.csv")))


def test_a_file_in_an_archive_gives_the_same_faces(tmp_path: Path) -> None:
    row = f"3,{PIXELS},Training\n"
    write_csv(tmp_path / "plain", f"emotion,pixels,Usage\n{row}9{row}{row}")
    zipped = zip_folder(tmp_path / "plain", tmp_path / "zipped.zip")
    assert fer2013_csv.matches(zipped)
    assert list(fer2013_csv.read(zipped, SETTINGS)) == list(fer2013_csv.read(Folder(tmp_path / "plain"), SETTINGS))


def test_pixels_are_not_parsed_while_reading(tmp_path: Path) -> None:
    (record,) = read_items(write_csv(tmp_path, "emotion,pixels,Usage\n3,1 2 x,Training\n"))
    assert record.image == PixelText("1 2 x", 48)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary()
    | st.lists(st.sampled_from([b"3", PIXELS.encode(), b"Training", b",", b'"', b"\r", b"\n", b"\xff", b"\0", b"256"]))
    .map(b"".join)
    .map(b"emotion,pixels,Usage\n".__add__)
)
@example(b"emotion,pixels,Usage\n3," + PIXELS.encode() + b',Training\n"')
def test_each_line_is_a_face_or_skipped_or_the_file_is_an_error_for_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fer2013.csv").write_bytes(content)
    try:
        items = read_items(tmp_path)
    except InputError:
        return
    assert len(items) == sum(1 for line in content.split(b"\n")[1:] if line.decode("utf-8", "replace").strip())
    for item in items:
        assert isinstance(item, SkippedItem) or isinstance(item.image, PixelText)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(min_size=2304, max_size=2304), st.integers(0, 6), st.sampled_from(sorted(fer2013_csv.FER2013_FOLDS)))
def test_written_faces_are_read_back(tmp_path: Path, pixels: bytes, code: int, usage: str) -> None:
    write_csv(tmp_path, f"emotion,pixels,Usage\n{code},{' '.join(map(str, pixels))},{usage}\n")
    (record,) = read_items(tmp_path)
    assert record.image == PixelText(" ".join(map(str, pixels)), 48)
    assert (record.emotion, record.fold) == (fer2013_csv.FER2013_EMOTIONS[code], fer2013_csv.FER2013_FOLDS[usage])
