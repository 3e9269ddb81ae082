"""Copies show a box and a label for each face, and no original is touched."""

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
WALL = np.full((400, 600, 3), 130, np.uint8)


def face(
    x: float = 100, y: float = 100, side: float = 120, accepted: bool = True, label: str = "happy"
) -> FacePrediction:
    box = FaceBox(float(x), float(y), float(side), float(side), 1.0, None)
    return FacePrediction(box, np.zeros((16, 16), np.uint8), {label: 0.8}, label, 0.8, accepted)


def seen(
    path: Path, *faces: FacePrediction, picture: object = None, frame: int | None = None, seconds: float | None = None
) -> ImageResult:
    content = path if picture is None else picture
    return ImageResult(
        ImageInput(str(path), content, path.name, frame, seconds, 10.0), "ok" if faces else "no_face", "", faces
    )


def pixels_of(picture: np.ndarray, colour: str) -> np.ndarray:
    """Rows and columns of the pixels that have this colour."""
    return np.argwhere((picture == ImageColor.getrgb(colour)).all(axis=-1))


def frames_of(path: Path) -> Sequence[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    found = []
    while (read := video.read())[0]:
        found.append(read[1])
    return found


def test_an_accepted_face_has_its_emotions_colour_and_one_that_abstains_has_not() -> None:
    accepted, abstained = (annotate_image(WALL, [face(accepted=accepted)]) for accepted in (True, False))
    around = pixels_of(accepted, EMOTION_COLOURS["happy"])
    assert (around[:, 0].max(), around[:, 1].min()) == (219, 100)
    assert len(pixels_of(abstained, EMOTION_COLOURS["happy"])) == 0
    assert len(pixels_of(abstained, INK)) > 1000
    assert np.array_equal(annotate_image(WALL, []), WALL)


def test_emotions_have_colours_of_their_own() -> None:
    assert len(set(EMOTION_COLOURS.values())) == len(EMOTION_COLOURS)


@pytest.mark.parametrize(("x", "y"), [(900, 100), (-900, 100), (300, 900), (300, -900), (900, 900)])
def test_a_label_lies_within_the_picture_wherever_the_face_is(x: int, y: int) -> None:
    inked = [
        len(pixels_of(annotate_image(WALL, [face(*place, accepted=False)]), INK)) for place in ((300, -900), (x, y))
    ]
    assert inked[0] == inked[1] > 1000  # of the label: nothing of the box can be seen


def test_small_pictures_are_enlarged() -> None:
    drawn = annotate_image(np.zeros((48, 48, 3), np.uint8), [face(0, 0, 48)])
    assert drawn.shape == (336, 336, 3)
    assert len(pixels_of(drawn, EMOTION_COLOURS["happy"])) > 1000


@given(SIDES, SIDES, st.floats(-900, 900), st.floats(-900, 900), st.floats(0.1, 900))
def test_no_picture_and_no_box_is_too_much(height: int, width: int, x: float, y: float, side: float) -> None:
    drawn = annotate_image(np.zeros((height, width, 3), np.uint8), [face(x, y, side)])
    assert max(drawn.shape) >= MIN_IMAGE_PX


def test_originals_stay_and_names_are_kept_apart(tmp_path: Path) -> None:
    Image.fromarray(WALL).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with annotation_writer(tmp_path, None) as annotate:
        for _ in range(3):
            annotate(seen(tmp_path / "a.png", face()))
        annotate(ImageResult(ImageInput("b.png", None, "b.png"), "unreadable", "", []))
    assert (tmp_path / "a.png").read_bytes() == before
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.png", "a.annotated.jpg", "a-2.annotated.jpg", "a-3.annotated.jpg"}


def test_names_that_a_disk_has_no_room_for_are_cut(tmp_path: Path) -> None:
    long = f"{'d' * 255}/{'ü' * 125}.png"
    with annotation_writer(tmp_path / "copies", None) as annotate:
        for name in (long, long.replace(".png", "ü.png")):
            annotate(ImageResult(ImageInput(name, WALL, name), "no_face", "", []))
    assert [path.suffix for path in sorted((tmp_path / "copies").rglob("*.*"))] == [".jpg", ".jpg"]


def test_a_video_keeps_its_frames_and_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.7, 0.8]  # a pause of four frames
    with annotation_writer(tmp_path, None) as annotate:
        for number, seconds in enumerate(times):
            grey = np.full((320, 400, 3), 40 * (number + 1), np.uint8)
            annotate(seen(Path("a.avi"), picture=grey, frame=number, seconds=seconds))
        annotate(seen(Path("b.avi"), face(), picture=WALL, frame=0, seconds=0.0))
    greys = [round(float(frame.mean()) / 40) for frame in frames_of(tmp_path / "a.annotated.mp4")]
    assert greys == [1, 2, 3, 3, 3, 3, 3, 4, 5]
    assert len(frames_of(tmp_path / "b.annotated.mp4")) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_time_that_leaps_does_not_fill_the_disk(tmp_path: Path) -> None:
    with annotation_writer(tmp_path, None) as annotate:
        for number, seconds in enumerate((0.0, 1e9, 1e9 + 0.1)):
            annotate(seen(Path("a.avi"), picture=WALL, frame=number, seconds=seconds))
    assert len(frames_of(tmp_path / "a.annotated.mp4")) == 602


def test_the_same_video_twice_is_written_twice(tmp_path: Path) -> None:
    with annotation_writer(tmp_path, None) as annotate:
        for _ in range(2):
            for number in range(3):
                annotate(seen(Path("a.avi"), picture=WALL, frame=number, seconds=number / 10))
    assert [len(frames_of(tmp_path / f"a{again}.annotated.mp4")) for again in ("", "-2")] == [3, 3]


def test_of_a_video_that_was_interrupted_nothing_stays(tmp_path: Path) -> None:
    def interrupted() -> None:
        with annotation_writer(tmp_path, None) as annotate:
            annotate(seen(Path("a.avi"), picture=WALL, frame=0, seconds=0.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
