"""FER+: the vote rules, and the readers of both layouts."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import FUZZ_SETTINGS, face_labels, save_image, skip_reasons, zip_folder

from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers import fer2013_csv, ferplus, ferplus_csv, ferplus_png
from fer.data.readers.params import Ingest
from fer.data.readers.record import PixelText, ReaderItem, Record
from fer.runtime.errors import InputError

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
EMOTIONS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")

# Ten annotators' votes, counted by category.
VOTE_COUNTS = st.lists(st.integers(0, 9), min_size=10, max_size=10).map(lambda votes: [*map(votes.count, range(10))])


@pytest.mark.parametrize(
    ("votes", "majority", "probability", "argmax"),
    [
        ((0, 0, 0, 6, 0, 0, 4, 0, 0, 0), "sad", "sad", "sad"),
        ((0, 0, 0, 5, 0, 0, 5, 0, 0, 0), None, "sad", "sad"),
        ((0, 0, 0, 4, 1, 1, 3, 0, 0, 1), "sad", "sad", "sad"),
        ((0, 0, 0, 4, 0, 0, 3, 0, 0, 3), None, "sad", "sad"),
        ((0, 0, 0, 3, 0, 0, 2, 0, 5, 0), None, None, "sad"),
        ((0, 0, 0, 3, 0, 0, 3, 0, 4, 0), None, None, "sad"),
        ((3, 3, 0, 4, 0, 0, 0, 0, 0, 0), None, "sad", "sad"),
        ((2, 2, 2, 0, 0, 0, 2, 0, 0, 2), None, None, "neutral"),
        ((2, 0, 2, 0, 2, 0, 2, 0, 2, 0), None, None, "neutral"),
        ((2, 0, 2, 0, 2, 0, 0, 0, 2, 2), None, "neutral", "neutral"),
        ((0, 0, 0, 0, 0, 0, 0, 1, 0, 9), None, None, "contempt"),
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), None, None, "neutral"),
        ((1, 1, 1, 1, 1, 1, 1, 1, 0, 2), None, None, "neutral"),
        ((1, 1, 2, 1, 1, 1, 1, 1, 1, 0), "surprise", "surprise", "surprise"),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), None, None, None),
    ],
)
def test_the_three_rules_give_the_expected_emotions(
    votes: Sequence[int], majority: str | None, probability: str | None, argmax: str | None
) -> None:
    emotions = [ferplus.aggregate_votes(votes, rule) for rule in ("majority", "probability", "argmax")]
    assert emotions == [majority, probability, argmax]


def aggregate_as_in_paper(votes: list[int]) -> str | None:
    """Select categories by votes, ties as one, until they have 3/4 of the votes, are 3, or one is not an emotion."""
    counts = [count if count > 1 else 0 for count in votes]
    n_votes, selection = sum(counts), []
    while any(counts):
        ties = [column for column, count in enumerate(counts) if count == max(counts)]
        selection += [(column, counts[column]) for column in ties if column < 8]
        counts = [0 if column in ties else count for column, count in enumerate(counts)]
        if ties[-1] >= 8 or len(selection) >= 3 or sum(count for _, count in selection) >= 0.75 * n_votes:
            break
    is_accepted = len(selection) <= 3 and sum(count for _, count in selection) > 0.5 * n_votes
    return EMOTIONS[selection[0][0]] if is_accepted else None


@given(VOTE_COUNTS)
def test_the_probability_rule_is_that_of_the_paper(votes: list[int]) -> None:
    assert ferplus.aggregate_votes(votes, "probability") == aggregate_as_in_paper(votes)


@given(VOTE_COUNTS)
def test_a_stricter_rule_gives_the_same_emotion_or_none(votes: list[int]) -> None:
    majority, probability, argmax = (
        ferplus.aggregate_votes(votes, rule) for rule in ("majority", "probability", "argmax")
    )
    assert majority in (None, probability)
    assert probability in (None, argmax)
    assert (argmax is None) == (not any(votes[:8]))


@given(VOTE_COUNTS.filter(lambda votes: len(set(votes[:8])) == 8 or votes[:8].count(max(votes[:8])) == 1), st.randoms())
def test_without_a_tie_the_order_of_the_emotions_makes_no_difference(votes: list[int], random) -> None:
    order = random.sample(range(8), 8)
    permuted = [votes[column] for column in order] + votes[8:]
    for rule in ("majority", "probability", "argmax"):
        emotion = ferplus.aggregate_votes(votes, rule)
        assert ferplus.aggregate_votes(permuted, rule) == (emotion and EMOTIONS[order.index(EMOTIONS.index(emotion))])


def vote_row(**votes: int) -> str:
    return ",".join(str(votes.get(name, 0)) for name in ferplus.VOTE_CATEGORIES)


def write_votes(
    root: Path,
    vote_rows: Sequence[str],
    usages: Sequence[str] = (),
    emotions: Sequence[int] = (),
    name: str = "fer2013.csv",
) -> Path:
    """Write `fer2013new.csv` beside FER-2013; the defaults are the usage Training and the emotion 4, sad."""
    usages = usages or ["Training"] * len(vote_rows)
    emotions = emotions or [4] * len(vote_rows)
    faces = [f"{emotion},{k} 1 2,{usage}" for k, (emotion, usage) in enumerate(zip(emotions, usages, strict=True))]
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(["emotion,pixels,Usage", *faces, ""]))
    votes = [f"{usage},fer{k:07}.png,{cells}" for k, (usage, cells) in enumerate(zip(usages, vote_rows, strict=True))]
    (root / "fer2013new.csv").write_text("\n".join([HEADER, *votes, ""]))
    return root


def write_export(root: Path, labels: bytes, *names: str, folder: str = "FER2013Train") -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "label.csv").write_bytes(labels)
    for name in names:
        save_image(root / folder / name)
    return root


def label_line(name: str, cells: str) -> str:
    return f'{name},"(0, 0, 48, 48)",{cells}\n'


def records(items: list[ReaderItem]) -> list[Record]:
    return [item for item in items if isinstance(item, Record)]


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013/fer2013.csv", "icml_face_data.csv"])
def test_votes_label_the_faces_row_by_row(tmp_path: Path, rules: Ingest, name: str) -> None:
    usages = ["Training", "PublicTest", "PrivateTest", "Training"]
    votes = ({"sad": 6, "fear": 3, "unknown": 1}, {"contempt": 9}, {"happy": 10}, {"neutral": 5, "sad": 5})
    vote_rows = [vote_row(**counts) for counts in votes]
    root = Folder(write_votes(tmp_path, vote_rows, usages, name=name))
    assert ferplus_csv.matches(root)
    items = list(ferplus_csv.read(root, rules))
    file = name.rpartition("/")[2]
    assert items[:3] == [
        Record(f"{file}:2", PixelText("0 1 2", 48), "sad", "train", votes="sad:6 fear:3 unknown:1"),
        Record(f"{file}:3", PixelText("1 1 2", 48), "contempt", "valid", votes="contempt:9"),
        Record(f"{file}:4", PixelText("2 1 2", 48), "happy", "test", votes="happy:10"),
    ]
    detail = "neutral:5 sad:5; ingest.ferplus=majority"
    assert items[3] == SkippedItem(f"{file}:5", "no agreed emotion", detail, is_defect=False)
    note = f"labels: votes in fer2013new.csv, ingest.ferplus=majority; faces: {file}"
    assert items[4:] == [Note(note)]


def test_the_columns_are_those_of_the_owners(tmp_path: Path, rules: Ingest) -> None:
    vote_rows = [",".join("8" if k == column else "0" for k in range(10)) for column in range(10)]
    items = list(ferplus_csv.read(Folder(write_votes(tmp_path, vote_rows)), rules))
    assert [record.emotion for record in records(items)] == list(EMOTIONS)
    assert skip_reasons(items) == [("fer2013.csv:10", "no agreed emotion"), ("fer2013.csv:11", "not a face")]


def test_the_rule_is_that_of_params_yaml(tmp_path: Path, rules: Ingest) -> None:
    root = Folder(write_votes(tmp_path, [vote_row(sad=5, fear=5), vote_row(sad=3, unknown=7)]))
    counts = [
        len(records(list(ferplus_csv.read(root, rules.model_copy(update={"ferplus": rule})))))
        for rule in ("majority", "probability", "argmax")
    ]
    assert counts == [0, 1, 2]


@pytest.mark.parametrize("missing", ["fer2013new.csv", "fer2013.csv"])
def test_votes_without_faces_and_faces_without_votes_do_not_match(tmp_path: Path, missing: str) -> None:
    (write_votes(tmp_path, [vote_row(sad=10)]) / missing).unlink()
    assert not ferplus_csv.matches(Folder(tmp_path))
    assert fer2013_csv.matches(Folder(tmp_path)) == (missing == "fer2013new.csv")


def test_different_usages_in_a_row_are_an_error_that_names_the_first_row(tmp_path: Path, rules: Ingest) -> None:
    root = write_votes(tmp_path, [vote_row(sad=10)] * 4, ["Training", "Training", "PublicTest", "PublicTest"])
    text = (root / "fer2013new.csv").read_text().replace("PublicTest,fer0000002", "Training,fer0000002")
    (root / "fer2013new.csv").write_text(text)
    with pytest.raises(InputError, match=r"new\.csv: face 3 has usage 'Training', but fer2013\.csv:4 has another"):
        list(ferplus_csv.read(Folder(root), rules))


@pytest.mark.parametrize("short", ["fer2013.csv", "fer2013new.csv"])
def test_different_numbers_of_rows_are_an_error(tmp_path: Path, rules: Ingest, short: str) -> None:
    root = write_votes(tmp_path, [vote_row(sad=10)] * 3)
    (root / short).write_text("\n".join((root / short).read_text().splitlines()[:-1]))
    with pytest.raises(InputError, match=rf"has a face 3, but {short} does not; both files must have the owners' rows"):
        list(ferplus_csv.read(Folder(root), rules))


def test_rows_reordered_within_a_usage_are_an_error_if_there_are_enough(tmp_path: Path, rules: Ingest) -> None:
    emotions = [4, 3] * 600
    vote_rows = [vote_row(sad=10) if emotion == 4 else vote_row(happy=10) for emotion in emotions]
    items = list(ferplus_csv.read(Folder(write_votes(tmp_path, vote_rows, (), emotions)), rules))
    assert len(records(items)) == 1200
    root = Folder(write_votes(tmp_path, vote_rows, (), emotions[1:] + emotions[:1]))
    with pytest.raises(InputError, match=r"agrees with the emotions of fer2013\.csv on only 0 of 1200 faces; both"):
        list(ferplus_csv.read(root, rules))


def test_an_invalid_row_of_either_file_is_skipped_and_later_rows_still_match(tmp_path: Path, rules: Ingest) -> None:
    vote_rows = [vote_row(sad=10), vote_row(sad=10) + ",0", vote_row(sad=11), vote_row(happy=10)]
    root = write_votes(tmp_path, vote_rows, (), [9, 4, 4, 3])
    items = list(ferplus_csv.read(Folder(root), rules))
    assert skip_reasons(items) == [
        ("fer2013.csv:2", "unknown label"),
        ("fer2013new.csv:3", "number of columns"),
        ("fer2013.csv:4", "number of votes"),
    ]
    assert [(record.id, record.emotion) for record in records(items)] == [("fer2013.csv:5", "happy")]


def test_a_header_without_a_column_is_an_error_that_names_the_column(tmp_path: Path, rules: Ingest) -> None:
    root = write_votes(tmp_path, [vote_row(sad=10)])
    text = (root / "fer2013new.csv").read_text()
    (root / "fer2013new.csv").write_text(text.replace("sadness", "sorrow"))
    with pytest.raises(InputError, match=r"fer2013new\.csv: line 1 must name sadness once, but is usage, image name"):
        list(ferplus_csv.read(Folder(root), rules))


def test_boms_blank_lines_line_ends_and_quotes_make_no_difference(tmp_path: Path, rules: Ingest) -> None:
    root = write_votes(tmp_path, [vote_row(sad=10), vote_row(happy=10)], (), [4, 3])
    plain = list(ferplus_csv.read(Folder(root), rules))
    quoted = (root / "fer2013new.csv").read_text().replace(",", '","').replace("\n", '"\r\n\r\n"').rstrip('"\r\n')
    (root / "fer2013new.csv").write_bytes(b"\xef\xbb\xbf" + f'"{quoted}"'.encode())
    assert list(ferplus_csv.read(Folder(root), rules)) == plain


def test_the_owners_export_has_a_folder_for_each_fold(tmp_path: Path, rules: Ingest) -> None:
    for folder, name in (("Train", "fer0000000.png"), ("Valid", "fer0028638.png"), ("Test", "fer0032220.png")):
        write_export(tmp_path, label_line(name, vote_row(sad=8, fear=2)).encode(), name, folder=f"FER2013{folder}")
    assert ferplus_png.matches(Folder(tmp_path))
    *items, note = ferplus_png.read(Folder(tmp_path), rules)
    assert [(record.id, record.emotion, record.fold, record.votes) for record in records(items)] == [
        ("FER2013Train/fer0000000.png", "sad", "train", "sad:8 fear:2"),
        ("FER2013Valid/fer0028638.png", "sad", "valid", "sad:8 fear:2"),
        ("FER2013Test/fer0032220.png", "sad", "test", "sad:8 fear:2"),
    ]
    assert note == Note("labels: votes in label.csv, ingest.ferplus=majority")


def test_lines_without_an_image_and_images_without_a_line_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    sad = vote_row(sad=10)
    labels = "".join(label_line(name, sad) for name in ("a.png", "b.png", "b.png", "c.png", "../a.png", "/a.png"))
    labels += "d.png,8\n" + label_line("e.png", sad[:-2] + ",x")
    root = write_export(tmp_path, labels.encode(), "a.png", "b.png", "e.png", "f.png")
    items = list(ferplus_png.read(Folder(root), rules))
    assert [record.id for record in records(items)] == ["FER2013Train/a.png"]
    assert skip_reasons(items) == [
        ("FER2013Train/label.csv:7", "number of columns"),
        ("FER2013Train/label.csv:2", "named twice"),
        ("FER2013Train/label.csv:3", "named twice"),
        ("FER2013Train/e.png", "number of votes"),
        ("FER2013Train/f.png", "without label"),
        ("FER2013Train/label.csv:4", "no such picture"),
        ("FER2013Train/label.csv:5", "no such picture"),
        ("FER2013Train/label.csv:6", "no such picture"),
    ]


def test_a_clone_of_the_owners_repository_without_images_does_not_match(tmp_path: Path) -> None:
    write_export(tmp_path, label_line("fer0000000.png", vote_row(sad=10)).encode())
    assert not ferplus_png.matches(Folder(tmp_path))


def test_archives_give_the_same_faces_as_folders(tmp_path: Path, rules: Ingest) -> None:
    write_votes(tmp_path / "plain", [vote_row(sad=10), vote_row(neutral=5, sad=5)])
    write_export(tmp_path / "plain", (label_line("a.png", vote_row(sad=10)) + "b\n").encode(), "a.png", "c.png")
    zip_folder(tmp_path / "plain/FER2013Train", tmp_path / "parts/FER2013Train.zip")
    zipped = zip_folder(tmp_path / "plain", tmp_path / "zipped.zip")
    for reader, root in ((ferplus_csv, zipped), (ferplus_png, zipped), (ferplus_png, Folder(tmp_path / "parts"))):
        assert reader.matches(root)
        expected = face_labels(reader.read(Folder(tmp_path / "plain"), rules))
        assert str(face_labels(reader.read(root, rules))).replace(".zip", "") == str(expected)


VOTES = b"0,0,0,9,0,0,0,0,1,0"
GARBAGE = st.binary() | st.lists(
    st.sampled_from([b"Training,", b"a.png,", b'"(0, 0, 48, 48)",', VOTES, b",", b'"', b"\r", b"\n", b"\xff", b"\0"])
).map(b"".join)
LINES = st.lists(
    st.sampled_from([b"Training,a.png," + VOTES, b"Training,a.png," + VOTES.replace(b"9", b"x"), b"Training"])
).map(b"\n".join)


def count_rows(content: bytes) -> int:
    return sum(1 for row in content.split(b"\n") if row.decode("utf-8-sig", "replace").strip())


@FUZZ_SETTINGS
@given(GARBAGE)
def test_each_line_and_image_is_reported_for_any_label_csv(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    try:
        items = list(ferplus_png.read(Folder(write_export(tmp_path, content, "a.png")), rules))
    except InputError:
        return
    ids = [item.id for item in items if not isinstance(item, Note)]
    assert len(set(ids)) == len(ids)
    assert len(ids) in (count_rows(content), count_rows(content) + 1)  # one more if the image has no line


@FUZZ_SETTINGS
@given(GARBAGE | LINES)
def test_each_row_is_a_face_or_skipped_or_an_error_for_any_votes(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    root = write_votes(tmp_path, [""] * count_rows(content))
    (root / "fer2013new.csv").write_bytes(HEADER.encode() + b"\n" + content)
    try:
        items = list(ferplus_csv.read(Folder(root), rules))
    except InputError:
        return
    assert sum(not isinstance(item, Note) for item in items) == count_rows(content)
