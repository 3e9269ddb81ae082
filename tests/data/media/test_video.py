import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.data.media.images import UndecodableError
from fer.data.media.video import Frame, frames_differ, read_frames
from fer.data.synthetic.portraits import draw_portrait

ROOT = Path(__file__).parents[3]
RATE = 25.0
FORMATS = [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v")]


def make_frame(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """Return a frame whose brightness encodes its number, up to 60; its upper left corner is red."""
    image = np.full((height, width, 3), 4 * number, np.uint8)
    image[: height // 4, : width // 4] = (255, 0, 0)
    return image


def decode_number(image: np.ndarray) -> int:
    return round(float(image[image.shape[0] // 2 :, image.shape[1] // 2 :].mean()) / 4)


def write_video(path: Path, images: list[np.ndarray], codec: str = "MJPG", rate: float = RATE) -> Path:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def make_video(folder: Path, name: str = "a.avi", codec: str = "MJPG", count: int = 60, rate: float = RATE) -> Path:
    return write_video(folder / name, [make_frame(number) for number in range(count)], codec, rate)


def read_until_error(path: Path, per_second: float = RATE) -> tuple[list[Frame], UndecodableError]:
    """Return the frames before the error, and the error."""
    frames: list[Frame] = []
    try:
        for frame in read_frames(path, per_second):
            frames.append(frame)
    except UndecodableError as error:
        return frames, error
    pytest.fail("no error was raised")


# Intact files


@pytest.mark.parametrize(("name", "codec"), FORMATS)
def test_every_frame_has_its_number_time_and_colours(tmp_path: Path, name: str, codec: str) -> None:
    frames = list(read_frames(make_video(tmp_path, name, codec), RATE))
    assert [frame.number for frame in frames] == list(range(60))
    assert [frame.seconds for frame in frames] == pytest.approx([number / RATE for number in range(60)], abs=1e-3)
    assert [decode_number(frame.image) for frame in frames] == pytest.approx(list(range(60)), abs=1)
    for frame in frames:
        red, green, blue = frame.image[4:20, 4:36].mean(axis=(0, 1))
        assert red > 200
        assert green < 50 > blue


@pytest.mark.parametrize("per_second", [0.5, 1.0, 2.0, 7.0, 25.0, 1000.0])
def test_the_first_frame_of_each_part_of_a_second_is_yielded(tmp_path: Path, per_second: float) -> None:
    first: dict[int, int] = {}
    for number in range(60):
        first.setdefault(math.floor(number * per_second / RATE + 1e-9), number)
    frames = list(read_frames(make_video(tmp_path), per_second))
    assert [frame.number for frame in frames] == list(first.values())
    assert [decode_number(frame.image) for frame in frames] == pytest.approx(list(first.values()), abs=1)


@pytest.mark.parametrize("rate", [0.5, 12.5, 29.97, 240, 1000])
def test_times_follow_the_rate_of_the_file(tmp_path: Path, rate: float) -> None:
    frames = list(read_frames(make_video(tmp_path, "a.mp4", "mp4v", rate=rate), 2000.0))
    assert [frame.seconds for frame in frames] == pytest.approx([number / rate for number in range(60)], abs=2e-3)


def test_a_video_may_have_one_frame(tmp_path: Path) -> None:
    (frame,) = read_frames(make_video(tmp_path, count=1), 1.0)
    assert (frame.number, frame.seconds) == (0, 0)


def test_frames_are_read_lazily_and_closing_the_generator_closes_the_file(tmp_path: Path) -> None:
    frames = read_frames(make_video(tmp_path), RATE)
    process = psutil.Process()
    n_open = process.num_fds()
    assert next(frames).number == 0
    assert process.num_fds() > n_open
    frames.close()
    assert process.num_fds() == n_open


@pytest.mark.parametrize(("quarters", "corner"), [(1, (0, -1)), (2, (-1, -1)), (3, (-1, 0))])
def test_a_rotated_video_becomes_upright(tmp_path: Path, quarters: int, corner: tuple[int, int]) -> None:
    """The matrix in a track header rotates clockwise: a, b, u, c, d, v, x, y, w (ISO 14496-12, 8.3.2)."""
    path = make_video(tmp_path, "a.mp4", "mp4v", count=3)
    content = bytearray(path.read_bytes())
    plus, zero = (1 << 16).to_bytes(4), bytes(4)
    minus = (-(1 << 16)).to_bytes(4, signed=True)
    cos, sin = ((plus, zero), (zero, plus), (minus, zero), (zero, minus))[quarters]
    minus_sin = {plus: minus, minus: plus, zero: zero}[sin]
    matrix = content.index(b"tkhd") + 44
    assert content[matrix : matrix + 20] == plus + 3 * zero + plus
    content[matrix : matrix + 20] = cos + sin + zero + minus_sin + cos
    path.write_bytes(content)
    image = next(read_frames(path, RATE)).image
    assert image.shape == ((96, 160, 3) if quarters == 2 else (160, 96, 3))
    red = image[6 if corner[0] == 0 else -6, 6 if corner[1] == 0 else -6]
    assert red[0] > 200 > 50 > red[2]


def test_a_path_with_a_colon_is_not_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path).rename(tmp_path / "concat:100%03d a.avi")
    monkeypatch.chdir(tmp_path)
    assert len(list(read_frames(Path("concat:100%03d a.avi"), 1.0))) == 3


# Damaged files

STILL = cv2.imencode(".jpg", make_frame(9))[1].tobytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n" * 500, bytes(range(256)) * 50, b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", STILL[:200]],
    ids=["empty", "text", "bytes", "playlist", "truncated image"],
)
def test_a_file_that_is_not_a_video_is_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    frames, error = read_until_error(path)
    assert frames == []
    assert (error.reason, error.detail) == ("unreadable video", "no frame can be decoded")


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.mov", "mp4v")])
def test_a_truncated_file_without_index_is_unreadable(tmp_path: Path, name: str, codec: str) -> None:
    path = make_video(tmp_path, name, codec)
    path.write_bytes(path.read_bytes()[:-500])
    assert read_until_error(path)[1].reason == "unreadable video"


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "mp4v")])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_a_truncated_file_yields_its_intact_frames_then_an_error(
    tmp_path: Path, name: str, codec: str, share: float
) -> None:
    path = make_video(tmp_path, name, codec)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    frames, error = read_until_error(path)
    assert 5 < len(frames) < 54
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert [decode_number(frame.image) for frame in frames[:-1]] == pytest.approx(list(range(len(frames) - 1)), abs=1)
    assert (error.reason, error.detail) == ("damaged video", f"{len(frames)} of 60 frames can be read")


@pytest.mark.parametrize(("name", "codec"), FORMATS)
def test_a_gap_in_a_file_is_reported_after_the_readable_frames(tmp_path: Path, name: str, codec: str) -> None:
    path = make_video(tmp_path, name, codec)
    content = bytearray(path.read_bytes())
    start, end = int(0.4 * len(content)), int(0.7 * len(content))
    content[start:end] = bytes(end - start)
    path.write_bytes(content)
    frames, error = read_until_error(path)
    assert frames[5].number == 5
    assert error.reason == "damaged video"


def test_a_file_with_few_missing_frames_is_accepted(tmp_path: Path) -> None:
    path = make_video(tmp_path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert 54 <= len(list(read_frames(path, RATE))) < 60


def test_nothing_is_printed_about_bad_files(tmp_path: Path) -> None:
    """Runs in a separate process, since FFmpeg reads the log level once."""
    truncated = make_video(tmp_path, "cut.avi")
    truncated.write_bytes(truncated.read_bytes()[:9000])
    (tmp_path / "text.mp4").write_bytes(b"text")
    unindexed = make_video(tmp_path, "lost.mp4", "mp4v")
    unindexed.write_bytes(unindexed.read_bytes()[:-500])
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
    process = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert process.stderr == ""
    assert process.stdout.split("\n")[:-1] == ["damaged video", *["unreadable video"] * 3]


# Container metadata


class FakeVideo:
    """A video with any stated rate, frame count and frame times; the frames `lost` cannot be decoded."""

    def __init__(
        self, stamps: list[float], stated_count: float, rate: float, side: int = 8, lost: tuple[int, ...] = ()
    ):
        self.stamps, self.stated_count, self.rate, self.side, self.lost = stamps, stated_count, rate, side, lost
        self.number, self.decoded, self.is_released = -1, list[int](), False

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_POS_MSEC:
            return 1000.0 * self.stamps[self.number]
        return {
            cv2.CAP_PROP_FPS: self.rate,
            cv2.CAP_PROP_FRAME_COUNT: self.stated_count,
            cv2.CAP_PROP_FRAME_WIDTH: self.side,
            cv2.CAP_PROP_FRAME_HEIGHT: self.side,
        }[key]

    def grab(self) -> bool:
        self.number += 1
        return self.number < len(self.stamps)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        self.decoded.append(self.number)
        is_lost = self.number in self.lost
        return not is_lost, None if is_lost else np.zeros((self.side, self.side, 3), np.uint8)

    def release(self) -> None:
        self.is_released = True


@pytest.fixture
def open_fake(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A function that makes `read_frames` open a fake video; at the end every fake must be released."""
    opened = []

    def open_fake(fake: FakeVideo) -> Path:
        opened.append(fake)
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: fake)
        return Path("fake.mp4")

    yield open_fake
    assert all(fake.is_released for fake in opened)


def test_only_the_yielded_frames_are_decoded(open_fake) -> None:
    fake = FakeVideo([number / 25 for number in range(100)], 100, 25)
    assert [frame.number for frame in read_frames(open_fake(fake), 1.0)] == fake.decoded == [0, 25, 50, 75]


def test_frames_with_irregular_times_are_sampled_by_time(open_fake) -> None:
    stamps = [0, 0.1, 0.9, 1.3, 1.4, 3.2, 3.3, 3.9, 4.0]
    frames = list(read_frames(open_fake(FakeVideo(stamps, 9, 25)), 1.0))
    assert [(frame.number, frame.seconds) for frame in frames] == [(0, 0), (3, 1.3), (5, 3.2), (8, 4.0)]


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, 1000.0, 90000.0])
@pytest.mark.parametrize("stamp", [0.0, math.nan, -5.0])
def test_without_times_and_rate_a_file_has_25_frames_a_second(open_fake, rate: float, stamp: float) -> None:
    frames = list(read_frames(open_fake(FakeVideo([stamp] * 100, 100, rate)), 1.0))
    assert [frame.number for frame in frames] == [0, 25, 50, 75]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 1, 2, 3])


def test_without_times_frames_are_sampled_by_the_rate(open_fake) -> None:
    assert [frame.number for frame in read_frames(open_fake(FakeVideo([0.0] * 100, 100, 50)), 1.0)] == [0, 50]


def test_decreasing_times_are_replaced_by_the_rate(open_fake) -> None:
    stamps = [number / 10 for number in range(20)] * 2
    frames = list(read_frames(open_fake(FakeVideo(stamps, 40, 10)), 1.0))
    assert [frame.number for frame in frames] == [0, 10, 20, 30]


def test_an_undecodable_frame_is_replaced_by_the_next(open_fake) -> None:
    fake = FakeVideo([number / 25 for number in range(50)], 50, 25, lost=(0, 25, 26))
    assert [frame.number for frame in read_frames(open_fake(fake), 1.0)] == [1, 27]


def test_a_video_without_decodable_frames_is_unreadable(open_fake) -> None:
    frames, error = read_until_error(open_fake(FakeVideo([0, 1], 2, 25, lost=(0, 1.0))))
    assert (frames, error.reason) == ([], "unreadable video")


def test_too_large_frames_are_refused_before_decoding(open_fake) -> None:
    fake = FakeVideo([0, 1], 2, 25, side=8000)
    frames, error = read_until_error(open_fake(fake))
    assert (frames, fake.number) == ([], -1)
    assert (error.reason, error.detail) == ("too many pixels", "8000 x 8000; at most 50,000,000")


@pytest.mark.parametrize("stated_count", [0, -1, -9.2e18, math.nan, 50, 55])
def test_a_missing_or_roughly_correct_frame_count_is_not_damage(open_fake, stated_count: float) -> None:
    fake = FakeVideo([number / 25 for number in range(50)], stated_count, 25)
    assert len(list(read_frames(open_fake(fake), 1.0))) == 2


@pytest.mark.parametrize("rate", [60, 1000])
def test_irregular_frames_of_the_stated_duration_are_not_damage(open_fake, rate: float) -> None:
    """Containers of screen recordings estimate the frame count as duration x rate."""
    stamps = (np.cumsum(np.random.default_rng(0).integers(1, 5, 100)) / 60).tolist()
    assert list(read_frames(open_fake(FakeVideo(stamps, stamps[-1] * rate, rate)), 1.0))


@pytest.mark.parametrize(
    "stamps",
    [
        [number / 25 for number in range(50)],  # ends early
        [number / 25 for number in range(100) if not 30 <= number < 60],  # has a gap
        [number / 25 for number in range(60) if number % 3],  # irregular, and ends early
    ],
)
def test_missing_frames_are_reported_after_the_existing_ones(open_fake, stamps: list[float]) -> None:
    frames, error = read_until_error(open_fake(FakeVideo(stamps, 100, 25)), 100.0)
    assert len(frames) == len(stamps)
    assert (error.reason, error.detail) == ("damaged video", f"{len(stamps)} of 100 frames can be read")


@given(
    stamps=st.lists(st.floats(allow_nan=True, width=32), max_size=30),
    stated_count=st.floats(),
    rate=st.floats(),
    per_second=st.floats(0.01, 1000),
)
def test_any_metadata_give_ordered_frames_or_a_reason(
    stamps: list[float], stated_count: float, rate: float, per_second: float
) -> None:
    fake, frames, reason = FakeVideo(stamps, stated_count, rate), [], "none"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv2, "VideoCapture", lambda *_: fake)
        try:
            for frame in read_frames(Path("fake.mp4"), per_second):
                frames.append(frame)
        except UndecodableError as error:
            reason = error.reason
    assert reason in (("none", "damaged video") if stamps else ("unreadable video",))
    assert bool(frames) == bool(stamps)
    assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
    assert [frame.seconds for frame in frames] == sorted({frame.seconds for frame in frames})


# Difference of frames


def draw_scene(emotion: str, intensity: float, side: int) -> np.ndarray:
    """Return a person in a room, 640 x 480."""
    rows, columns = np.mgrid[:480, :640]
    room = np.stack([90 + 60 * np.sin(columns / 60), columns / 4, 60 + rows / 5], axis=2).astype(np.uint8)
    person = np.asarray(draw_portrait(emotion, intensity, np.random.default_rng(3)))
    room[120 : 120 + side, 200 : 200 + side] = cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA)
    return room


@pytest.mark.parametrize(("name", "codec"), FORMATS)
@pytest.mark.parametrize("noise", [0, 4, 10])
def test_noise_and_compression_are_not_a_difference(tmp_path: Path, name: str, codec: str, noise: float) -> None:
    rng = np.random.default_rng(0)
    still = draw_scene("neutral", 0.0, 160)
    noisy = [np.clip(still + rng.normal(0, noise, still.shape), 0, 255).astype(np.uint8) for _ in range(14)]
    first, *later = read_frames(write_video(tmp_path / name, noisy, codec), RATE)
    assert not any(frames_differ(first.image, frame.image) for frame in later)


@pytest.mark.parametrize("emotion", ["happy", "surprise", "angry", "sad", "fear", "disgust"])
def test_a_changed_expression_is_a_difference(emotion: str) -> None:
    assert frames_differ(draw_scene(emotion, 0.0, 160), draw_scene(emotion, 0.6, 160))


def test_a_frame_equals_itself_and_differs_from_one_of_another_size() -> None:
    for shape in ((1, 1, 3), (20, 8000, 3), (480, 640, 3)):
        frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert not frames_differ(frame, frame)
        assert frames_differ(frame, np.concatenate([frame, frame]))
        assert frames_differ(frame, frame // 2)


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    write_video(tmp_path / "target.avi", [make_frame(number) for number in range(3)])
    (tmp_path / "playlist.avi").write_text("ffconcat version 1.0\nfile target.avi\n")
    with pytest.raises(UndecodableError, match="no frame can be decoded"):
        list(read_frames(tmp_path / "playlist.avi", None))
