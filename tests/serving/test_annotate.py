"""Annotated copies show a box and a label for each face, and originals stay unchanged."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from fer.data.media.detection import FaceBox
from fer.reporting.plots.plots import INK
from fer.serving.annotate import EMOTION_COLOURS, MIN_IMAGE_PX, annotate_image, annotation_writer
from fer.serving.inputs import ImageInput
from fer.serving.outputs import FacePrediction, ImageResult

SIDES = st.sampled_from([1, 2, 20, 330])
BLANK = np.full((400, 600, 3), 130, np.uint8)


def make_face(
    x: float = 100, y: float = 100, side: float = 120, accepted: bool = True, label: str = "happy"
) -> FacePrediction:
    box = FaceBox(float(x), float(y), float(side), float(side), 1.0, None)
    return FacePrediction(box, np.zeros((16, 16), np.uint8), {label: 0.8}, label, 0.8, accepted)


def make_result(
    path: Path, *faces: FacePrediction, image: object = None, frame: int | None = None, seconds: float | None = None
) -> ImageResult:
    content = path if image is None else image
    return ImageResult(
        ImageInput(str(path), content, path.name, frame, seconds, 10.0), "ok" if faces else "no_face", "", faces
    )


def find_colour(image: np.ndarray, colour: str) -> np.ndarray:
    """Return the rows and columns of the pixels with this colour."""
    return np.argwhere((image == ImageColor.getrgb(colour)).all(axis=-1))


def read_frames(path: Path) -> Sequence[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    return frames


def test_only_accepted_faces_have_the_colour_of_their_emotion() -> None:
    accepted, abstained = (annotate_image(BLANK, [make_face(accepted=accepted)]) for accepted in (True, False))
    border = find_colour(accepted, EMOTION_COLOURS["happy"])
    assert (border[:, 0].max(), border[:, 1].min()) == (219, 100)
    assert len(find_colour(abstained, EMOTION_COLOURS["happy"])) == 0
    assert len(find_colour(abstained, INK)) > 1000
    assert np.array_equal(annotate_image(BLANK, []), BLANK)


def test_emotions_have_distinct_colours() -> None:
    assert len(set(EMOTION_COLOURS.values())) == len(EMOTION_COLOURS)


@pytest.mark.parametrize(("x", "y"), [(900, 100), (-900, 100), (300, 900), (300, -900), (900, 900)])
def test_label_is_within_the_image_for_any_face(x: int, y: int) -> None:
    label_pixels = [
        len(find_colour(annotate_image(BLANK, [make_face(*position, accepted=False)]), INK))
        for position in ((300, -900), (x, y))
    ]
    assert label_pixels[0] == label_pixels[1] > 1000  # the box itself is outside the image


def test_small_images_are_enlarged() -> None:
    image = annotate_image(np.zeros((48, 48, 3), np.uint8), [make_face(0, 0, 48)])
    assert image.shape == (336, 336, 3)
    assert len(find_colour(image, EMOTION_COLOURS["happy"])) > 1000


@given(SIDES, SIDES, st.floats(-900, 900), st.floats(-900, 900), st.floats(0.1, 900))
def test_any_image_size_and_box_can_be_annotated(height: int, width: int, x: float, y: float, side: float) -> None:
    image = annotate_image(np.zeros((height, width, 3), np.uint8), [make_face(x, y, side)])
    assert max(image.shape) >= MIN_IMAGE_PX


def test_originals_stay_and_copies_have_unique_names(tmp_path: Path) -> None:
    Image.fromarray(BLANK).save(tmp_path / "a.png")
    original = (tmp_path / "a.png").read_bytes()
    with annotation_writer(tmp_path, None) as annotate:
        for _ in range(3):
            annotate(make_result(tmp_path / "a.png", make_face()))
        annotate(ImageResult(ImageInput("b.png", None, "b.png"), "unreadable", "", []))
    assert (tmp_path / "a.png").read_bytes() == original
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.png", "a.annotated.jpg", "a-2.annotated.jpg", "a-3.annotated.jpg"}


def test_overlong_names_are_truncated(tmp_path: Path) -> None:
    long = f"{'d' * 255}/{'ü' * 125}.png"
    with annotation_writer(tmp_path / "copies", None) as annotate:
        for name in (long, long.replace(".png", "ü.png")):
            annotate(ImageResult(ImageInput(name, BLANK, name), "no_face", "", []))
    assert [path.suffix for path in sorted((tmp_path / "copies").rglob("*.*"))] == [".jpg", ".jpg"]


def test_video_keeps_its_frames_and_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.7, 0.8]  # a pause of four frames
    with annotation_writer(tmp_path, None) as annotate:
        for number, seconds in enumerate(times):
            grey = np.full((320, 400, 3), 40 * (number + 1), np.uint8)
            annotate(make_result(Path("a.avi"), image=grey, frame=number, seconds=seconds))
        annotate(make_result(Path("b.avi"), make_face(), image=BLANK, frame=0, seconds=0.0))
    greys = [round(float(frame.mean()) / 40) for frame in read_frames(tmp_path / "a.annotated.mp4")]
    assert greys == [1, 2, 3, 3, 3, 3, 3, 4, 5]
    assert len(read_frames(tmp_path / "b.annotated.mp4")) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_jump_in_time_does_not_fill_the_disk(tmp_path: Path) -> None:
    with annotation_writer(tmp_path, None) as annotate:
        for number, seconds in enumerate((0.0, 1e9, 1e9 + 0.1)):
            annotate(make_result(Path("a.avi"), image=BLANK, frame=number, seconds=seconds))
    assert len(read_frames(tmp_path / "a.annotated.mp4")) == 602


def test_repeated_video_is_written_twice(tmp_path: Path) -> None:
    with annotation_writer(tmp_path, None) as annotate:
        for _ in range(2):
            for number in range(3):
                annotate(make_result(Path("a.avi"), image=BLANK, frame=number, seconds=number / 10))
    assert [len(read_frames(tmp_path / f"a{number}.annotated.mp4")) for number in ("", "-2")] == [3, 3]


def test_interrupted_video_leaves_no_file(tmp_path: Path) -> None:
    def annotate_and_interrupt() -> None:
        with annotation_writer(tmp_path, None) as annotate:
            annotate(make_result(Path("a.avi"), image=BLANK, frame=0, seconds=0.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_and_interrupt()
    assert list(tmp_path.iterdir()) == []
