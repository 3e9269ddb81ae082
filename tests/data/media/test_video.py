import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.data.media.images import UndecodableError
from fer.data.media.video import Frame, frames_differ, read_frames
from fer.data.synthetic.portraits import draw_portrait

ROOT = Path(__file__).parents[3]
RATE = 25.0
FORMATS = [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v")]


def coded(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """A frame whose brightness tells its number, up to 60; its upper left corner is red."""
    picture = np.full((height, width, 3), 4 * number, np.uint8)
    picture[: height // 4, : width // 4] = (255, 0, 0)
    return picture


def number_in(picture: np.ndarray) -> int:
    return round(float(picture[picture.shape[0] // 2 :, picture.shape[1] // 2 :].mean()) / 4)


def write(path: Path, pictures: list[np.ndarray], codec: str = "MJPG", rate: float = RATE) -> Path:
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def video(folder: Path, name: str = "a.avi", codec: str = "MJPG", count: int = 60, rate: float = RATE) -> Path:
    return write(folder / name, [coded(number) for number in range(count)], codec, rate)


def given_up(path: Path, per_second: float = RATE) -> tuple[list[Frame], UndecodableError]:
    """The frames before the error, and the error."""
    found: list[Frame] = []
    try:
        for frame in read_frames(path, per_second):
            found.append(frame)
    except UndecodableError as error:
        return found, error
    pytest.fail("nothing is wrong with it")


# Real files


@pytest.mark.parametrize(("name", "codec"), FORMATS)
def test_every_frame_comes_with_its_number_time_and_colours(tmp_path: Path, name: str, codec: str) -> None:
    found = list(read_frames(video(tmp_path, name, codec), RATE))
    assert [frame.number for frame in found] == list(range(60))
    assert [frame.seconds for frame in found] == pytest.approx([number / RATE for number in range(60)], abs=1e-3)
    assert [number_in(frame.image) for frame in found] == pytest.approx(list(range(60)), abs=1)
    for frame in found:
        red, green, blue = frame.image[4:20, 4:36].mean(axis=(0, 1))
        assert red > 200
        assert green < 50 > blue


@pytest.mark.parametrize("per_second", [0.5, 1.0, 2.0, 7.0, 25.0, 1000.0])
def test_of_each_part_of_a_second_the_first_frame_is_taken(tmp_path: Path, per_second: float) -> None:
    first: dict[int, int] = {}
    for number in range(60):
        first.setdefault(math.floor(number * per_second / RATE + 1e-9), number)
    found = list(read_frames(video(tmp_path), per_second))
    assert [frame.number for frame in found] == list(first.values())
    assert [number_in(frame.image) for frame in found] == pytest.approx(list(first.values()), abs=1)


@pytest.mark.parametrize("rate", [0.5, 12.5, 29.97, 240, 1000])
def test_time_is_the_files_own_whatever_its_rate(tmp_path: Path, rate: float) -> None:
    found = list(read_frames(video(tmp_path, "a.mp4", "mp4v", rate=rate), 2000.0))
    assert [frame.seconds for frame in found] == pytest.approx([number / rate for number in range(60)], abs=2e-3)


def test_a_video_of_one_frame_is_a_video(tmp_path: Path) -> None:
    (frame,) = read_frames(video(tmp_path, count=1), 1.0)
    assert (frame.number, frame.seconds) == (0, 0)


def test_frames_come_one_at_a_time_and_stopping_early_closes_the_file(tmp_path: Path) -> None:
    found = read_frames(video(tmp_path), RATE)
    before = len(os.listdir("/proc/self/fd"))
    assert next(found).number == 0
    assert len(os.listdir("/proc/self/fd")) > before
    found.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("quarters", "corner"), [(1, (0, -1)), (2, (-1, -1)), (3, (-1, 0))])
def test_a_video_taken_sideways_is_put_upright(tmp_path: Path, quarters: int, corner: tuple[int, int]) -> None:
    """The matrix of a track's header turns it clockwise: a, b, u, c, d, v, x, y, w (ISO 14496-12, 8.3.2)."""
    path = video(tmp_path, "a.mp4", "mp4v", count=3)
    content = bytearray(path.read_bytes())
    one, zero = (1 << 16).to_bytes(4), bytes(4)
    minus = (-(1 << 16)).to_bytes(4, signed=True)
    cos, sin = ((one, zero), (zero, one), (minus, zero), (zero, minus))[quarters]
    minus_sin = {one: minus, minus: one, zero: zero}[sin]
    matrix = content.index(b"tkhd") + 44
    assert content[matrix : matrix + 20] == one + 3 * zero + one
    content[matrix : matrix + 20] = cos + sin + zero + minus_sin + cos
    path.write_bytes(content)
    picture = next(read_frames(path, RATE)).image
    assert picture.shape == ((96, 160, 3) if quarters == 2 else (160, 96, 3))
    red = picture[6 if corner[0] == 0 else -6, 6 if corner[1] == 0 else -6]
    assert red[0] > 200 > 50 > red[2]


def test_a_colon_in_a_path_names_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video(tmp_path).rename(tmp_path / "concat:100%03d a.avi")
    monkeypatch.chdir(tmp_path)
    assert len(list(read_frames(Path("concat:100%03d a.avi"), 1.0))) == 3


# Bad files

STILL = cv2.imencode(".jpg", coded(9))[1].tobytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n" * 500, bytes(range(256)) * 50, b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", STILL[:200]],
    ids=["empty", "text", "bytes", "playlist", "cut picture"],
)
def test_what_is_no_video_is_told_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    found, error = given_up(path)
    assert found == []
    assert (error.reason, error.detail) == ("unreadable video", "no frame can be decoded")


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.mov", "mp4v")])
def test_a_cut_file_without_its_index_is_unreadable(tmp_path: Path, name: str, codec: str) -> None:
    path = video(tmp_path, name, codec)
    path.write_bytes(path.read_bytes()[:-500])
    assert given_up(path)[1].reason == "unreadable video"


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "mp4v")])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_of_a_cut_file_the_frames_before_the_cut_are_given(tmp_path: Path, name: str, codec: str, share: float) -> None:
    path = video(tmp_path, name, codec)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    found, error = given_up(path)
    assert 5 < len(found) < 54
    assert [frame.number for frame in found] == list(range(len(found)))
    assert [number_in(frame.image) for frame in found[:-1]] == pytest.approx(list(range(len(found) - 1)), abs=1)
    assert (error.reason, error.detail) == ("damaged video", f"{len(found)} of 60 frames can be read")


@pytest.mark.parametrize(("name", "codec"), FORMATS)
def test_a_hole_in_a_file_is_told_after_the_frames_that_can_be_read(tmp_path: Path, name: str, codec: str) -> None:
    path = video(tmp_path, name, codec)
    content = bytearray(path.read_bytes())
    start, end = int(0.4 * len(content)), int(0.7 * len(content))
    content[start:end] = bytes(end - start)
    path.write_bytes(content)
    found, error = given_up(path)
    assert found[5].number == 5
    assert error.reason == "damaged video"


def test_a_file_that_lacks_little_is_taken(tmp_path: Path) -> None:
    path = video(tmp_path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert 54 <= len(list(read_frames(path, RATE))) < 60


def test_nothing_is_printed_about_bad_files(tmp_path: Path) -> None:
    """In a process of its own: the level is read once."""
    cut = video(tmp_path, "cut.avi")
    cut.write_bytes(cut.read_bytes()[:9000])
    (tmp_path / "text.mp4").write_bytes(b"text")
    lost = video(tmp_path, "lost.mp4", "mp4v")
    lost.write_bytes(lost.read_bytes()[:-500])
    code = """
import sys
from pathlib import Path
from fer.data.media.images import UndecodableError
from fer.data.media.video import read_frames
for name in sys.argv[1:]:
    try:
        list(read_frames(Path(name), 25))
    except UndecodableError as error:
        print(error.reason)
"""
    names = [str(tmp_path / name) for name in ("cut.avi", "text.mp4", "lost.mp4", "none.mp4")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENCV")}
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == ["damaged video", *["unreadable video"] * 3]


# What containers say of themselves


class FakeVideo:
    """A file that says what it likes of its rate, its length and the time of each frame."""

    def __init__(self, stamps: list[float], claimed: float, rate: float, side: int = 8, lost: tuple[int, ...] = ()):
        self.stamps, self.claimed, self.rate, self.side, self.lost = stamps, claimed, rate, side, lost
        self.number, self.converted, self.released = -1, list[int](), False

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return 1000.0 * self.stamps[self.number]
        return {
            cv2.CAP_PROP_FPS: self.rate,
            cv2.CAP_PROP_FRAME_COUNT: self.claimed,
            cv2.CAP_PROP_FRAME_WIDTH: self.side,
            cv2.CAP_PROP_FRAME_HEIGHT: self.side,
        }[what]

    def grab(self) -> bool:
        self.number += 1
        return self.number < len(self.stamps)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        self.converted.append(self.number)
        lost = self.number in self.lost
        return not lost, None if lost else np.zeros((self.side, self.side, 3), np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A function that lets `frames` open a fake; in the end each must have been closed."""
    opened = []

    def opening(fake: FakeVideo) -> Path:
        opened.append(fake)
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: fake)
        return Path("fake.mp4")

    yield opening
    assert all(fake.released for fake in opened)


def test_only_the_frames_that_are_taken_are_converted(opening) -> None:
    fake = FakeVideo([number / 25 for number in range(100)], 100, 25)
    assert [frame.number for frame in read_frames(opening(fake), 1.0)] == fake.converted == [0, 25, 50, 75]


def test_frames_are_taken_by_their_own_times_where_these_are_uneven(opening) -> None:
    stamps = [0, 0.1, 0.9, 1.3, 1.4, 3.2, 3.3, 3.9, 4.0]
    found = list(read_frames(opening(FakeVideo(stamps, 9, 25)), 1.0))
    assert [(frame.number, frame.seconds) for frame in found] == [(0, 0), (3, 1.3), (5, 3.2), (8, 4.0)]


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, 1000.0, 90000.0])
@pytest.mark.parametrize("stamp", [0.0, math.nan, -5.0])
def test_without_time_and_rate_a_file_counts_as_one_of_25_frames_a_second(opening, rate: float, stamp: float) -> None:
    found = list(read_frames(opening(FakeVideo([stamp] * 100, 100, rate)), 1.0))
    assert [frame.number for frame in found] == [0, 25, 50, 75]
    assert [frame.seconds for frame in found] == pytest.approx([0, 1, 2, 3])


def test_without_time_it_is_counted_by_the_rate(opening) -> None:
    assert [frame.number for frame in read_frames(opening(FakeVideo([0.0] * 100, 100, 50)), 1.0)] == [0, 50]


def test_time_that_runs_backwards_goes_on_by_the_rate(opening) -> None:
    stamps = [number / 10 for number in range(20)] * 2
    found = list(read_frames(opening(FakeVideo(stamps, 40, 10)), 1.0))
    assert [frame.number for frame in found] == [0, 10, 20, 30]


def test_a_frame_that_cannot_be_converted_gives_way_to_the_next(opening) -> None:
    fake = FakeVideo([number / 25 for number in range(50)], 50, 25, lost=(0, 25, 26))
    assert [frame.number for frame in read_frames(opening(fake), 1.0)] == [1, 27]


def test_without_any_frame_that_can_be_converted_it_is_unreadable(opening) -> None:
    found, error = given_up(opening(FakeVideo([0, 1], 2, 25, lost=(0, 1.0))))
    assert (found, error.reason) == ([], "unreadable video")


def test_frames_too_large_for_memory_are_refused_before_they_are_decoded(opening) -> None:
    fake = FakeVideo([0, 1], 2, 25, side=8000)
    found, error = given_up(opening(fake))
    assert (found, fake.number) == ([], -1)
    assert (error.reason, error.detail) == ("too many pixels", "8000 x 8000; at most 50,000,000")


@pytest.mark.parametrize("claimed", [0, -1, -9.2e18, math.nan, 50, 55])
def test_a_length_that_is_missing_or_about_right_is_no_damage(opening, claimed: float) -> None:
    assert len(list(read_frames(opening(FakeVideo([number / 25 for number in range(50)], claimed, 25)), 1.0))) == 2


@pytest.mark.parametrize("rate", [60, 1000])
def test_uneven_frames_that_last_as_long_as_the_file_says_are_no_damage(opening, rate: float) -> None:
    """Recordings of screens: their number is estimated as duration × rate."""
    stamps = (np.cumsum(np.random.default_rng(0).integers(1, 5, 100)) / 60).tolist()
    assert list(read_frames(opening(FakeVideo(stamps, stamps[-1] * rate, rate)), 1.0))


@pytest.mark.parametrize(
    "stamps",
    [
        [number / 25 for number in range(50)],  # ends early
        [number / 25 for number in range(100) if not 30 <= number < 60],  # has a hole
        [number / 25 for number in range(60) if number % 3],  # uneven, and ends early
    ],
)
def test_missing_frames_are_told_when_those_that_are_there_were_given(opening, stamps: list[float]) -> None:
    found, error = given_up(opening(FakeVideo(stamps, 100, 25)), 100.0)
    assert len(found) == len(stamps)
    assert (error.reason, error.detail) == ("damaged video", f"{len(stamps)} of 100 frames can be read")


@given(
    stamps=st.lists(st.floats(allow_nan=True, width=32), max_size=30),
    claimed=st.floats(),
    rate=st.floats(),
    per_second=st.floats(0.01, 1000),
)
def test_whatever_a_file_says_frames_come_in_order_or_it_is_told_why_not(
    stamps: list[float], claimed: float, rate: float, per_second: float
) -> None:
    fake, found, reason = FakeVideo(stamps, claimed, rate), [], "none"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv2, "VideoCapture", lambda *_: fake)
        try:
            for frame in read_frames(Path("fake.mp4"), per_second):
                found.append(frame)
        except UndecodableError as error:
            reason = error.reason
    assert reason in (("none", "damaged video") if stamps else ("unreadable video",))
    assert bool(found) == bool(stamps)
    assert [frame.number for frame in found] == sorted({frame.number for frame in found})
    assert [frame.seconds for frame in found] == sorted({frame.seconds for frame in found})


# Still video


def scene(emotion: str, intensity: float, side: int) -> np.ndarray:
    """A person in a room, 640 x 480."""
    rows, columns = np.mgrid[:480, :640]
    room = np.stack([90 + 60 * np.sin(columns / 60), columns / 4, 60 + rows / 5], axis=2).astype(np.uint8)
    person = np.asarray(draw_portrait(emotion, intensity, np.random.default_rng(3)))
    room[120 : 120 + side, 200 : 200 + side] = cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA)
    return room


@pytest.mark.parametrize(("name", "codec"), FORMATS)
@pytest.mark.parametrize("noise", [0, 4, 10])
def test_noise_and_compression_do_not_count_as_change(tmp_path: Path, name: str, codec: str, noise: float) -> None:
    rng = np.random.default_rng(0)
    still = scene("neutral", 0.0, 160)
    noisy = [np.clip(still + rng.normal(0, noise, still.shape), 0, 255).astype(np.uint8) for _ in range(14)]
    first, *others = read_frames(write(tmp_path / name, noisy, codec), RATE)
    assert not any(frames_differ(first.image, other.image) for other in others)


@pytest.mark.parametrize("emotion", ["happy", "surprise", "angry", "sad", "fear", "disgust"])
def test_a_change_of_expression_counts_though_the_rest_stands_still(emotion: str) -> None:
    assert frames_differ(scene(emotion, 0.0, 160), scene(emotion, 0.6, 160))


def test_the_same_frame_has_not_changed_and_one_of_another_size_has() -> None:
    for shape in ((1, 1, 3), (20, 8000, 3), (480, 640, 3)):
        frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert not frames_differ(frame, frame)
        assert frames_differ(frame, np.concatenate([frame, frame]))
        assert frames_differ(frame, frame // 2)


def test_a_list_of_videos_leads_to_none(tmp_path: Path) -> None:
    write(tmp_path / "other.avi", [coded(number) for number in range(3)])
    (tmp_path / "list.avi").write_text("ffconcat version 1.0\nfile other.avi\n")
    with pytest.raises(UndecodableError, match="no frame can be decoded"):
        list(read_frames(tmp_path / "list.avi", None))
