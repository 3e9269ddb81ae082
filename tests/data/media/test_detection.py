import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import cv2.utils.logging
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer.data.media import detection
from fer.data.media.detection import (
    MAX_SEARCH_PX,
    FaceBox,
    FaceDetector,
    align_face,
    crop_face,
    find_eyes,
    frame_tight_box,
    make_detector,
)
from fer.data.synthetic.portraits import CANVAS_PX, draw_portrait
from fer.runtime.errors import InputError

SEED = 52  # of a drawn person whose face the cascade detects, which holds for one in four
FACE = np.asarray(draw_portrait("neutral", 0.0, np.random.default_rng(SEED)))
EXTREMES = [(1, 1), (20, 8000), (8000, 20), (1, 40), (23, 23), (24, 24), (3, 5000)]


def draw_photo(*faces: tuple[int, int, int], height: int = 480, width: int = 640) -> np.ndarray:
    """Return a grey image with the same face at each (x, y, side)."""
    image = np.full((height, width, 3), 130, np.uint8)
    for x, y, side in faces:
        image[y : y + side, x : x + side] = cv2.resize(FACE, (side, side), interpolation=cv2.INTER_AREA)
    return image


def rotate(image: np.ndarray, degrees: float) -> np.ndarray:
    """Return the image rotated clockwise about its centre."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def measure_tilt(face: np.ndarray) -> float:
    eyes = find_eyes(face)
    assert eyes is not None
    (x, y), (u, v) = eyes
    return math.degrees(math.atan2(v - y, u - x))


def make_noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def to_grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def make_box(x: float, y: float, side: float) -> FaceBox:
    return FaceBox(float(x), float(y), float(side), float(side), 1.0, None)


@pytest.fixture(scope="module")
def haar() -> FaceDetector:
    return make_detector("haar", 40)


@pytest.fixture(scope="module")
def face(haar: FaceDetector) -> np.ndarray:
    """A face cropped as usual, but large."""
    return crop_face(FACE, haar.detect(FACE)[0], 192, False)


# The Haar cascade


def test_a_face_is_detected_at_its_place(haar: FaceDetector) -> None:
    (box,) = haar.detect(draw_photo((300, 100, CANVAS_PX)))
    assert box.x >= 300
    assert box.x + box.width <= 300 + CANVAS_PX
    assert box.y >= 100
    assert box.y + box.height <= 100 + CANVAS_PX
    assert box.width == box.height > 0.7 * CANVAS_PX


def test_faces_are_sorted_by_size_then_from_top_to_bottom(haar: FaceDetector) -> None:
    image = draw_photo((30, 250, 96), (30, 20, 96), (300, 100, 288))
    large, upper, lower = haar.detect(image)
    assert large.width > 2 * upper.width
    assert large.x > 300
    assert upper.width == lower.width
    assert upper.y < 250 < lower.y


def test_faces_below_the_minimum_size_are_not_detected() -> None:
    image = draw_photo((300, 100, 96))
    assert make_detector("haar", 60).detect(image)
    assert not make_detector("haar", 110).detect(image)


def test_boxes_of_a_large_image_are_in_pixels_of_that_image(haar: FaceDetector) -> None:
    small = draw_photo((300, 100, CANVAS_PX), height=MAX_SEARCH_PX // 2, width=MAX_SEARCH_PX)
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    (box,), (large_box,) = haar.detect(small), haar.detect(large)
    assert np.allclose([large_box.x, large_box.y, large_box.width], [3 * box.x, 3 * box.y, 3 * box.width], atol=30)


def test_detection_does_not_change_the_image_and_is_repeatable(haar: FaceDetector) -> None:
    image = draw_photo((300, 100, CANVAS_PX))
    original = image.copy()
    assert haar.detect(image) == haar.detect(image)
    assert (image == original).all()


@pytest.mark.parametrize(("height", "width"), EXTREMES)
def test_images_of_any_shape_can_be_searched(haar: FaceDetector, height: int, width: int) -> None:
    assert haar.detect(np.full((height, width, 3), 127, np.uint8)) == []


def test_a_detector_uses_one_thread() -> None:
    cv2.setNumThreads(2)
    make_detector("haar", 40)
    assert cv2.getNumThreads() == 1


# YuNet, whose model is not part of this project


class FakeYuNet:
    """A YuNet that returns fixed rows and stores the image that it gets."""

    def __init__(self, *rows: list[float]):
        self.rows, self.size, self.image = rows, (0, 0), np.zeros(0)

    def create(self, model: str, config: str, size: tuple[int, int], score: float) -> "FakeYuNet":
        self.size = size
        return self

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert self.size == image.shape[1::-1]
        self.image = image
        return 1, np.array(self.rows, np.float32) if self.rows else None


def yunet_row(x: float, y: float, width: float, height: float, score: float = 0.9) -> list[float]:
    x1, x2, eye_level = x + 0.3 * width, x + 0.7 * width, y + 0.4 * height
    return [x, y, width, height, x1, eye_level, x2, eye_level, 0, 0, 0, 0, 0, 0, score]


def make_yunet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *rows: list[float], min_face_px: int = 1) -> tuple:
    fake = FakeYuNet(*rows)
    monkeypatch.setattr(cv2, "FaceDetectorYN", fake)
    (tmp_path / "yunet.onnx").write_bytes(b"weights")
    return make_detector(str(tmp_path / "yunet.onnx"), min_face_px), fake


def test_yunet_gets_bgr_images_and_its_tall_boxes_become_squares(monkeypatch, tmp_path) -> None:
    detector, fake = make_yunet(monkeypatch, tmp_path, yunet_row(100, 50, 40, 90, score=0.75))
    image = make_noise(300, 200)
    (box,) = detector.detect(image)
    assert (fake.image == image[..., ::-1]).all()
    assert box.width == box.height == pytest.approx(60 * detection.TIGHT_MARGIN)
    assert box.x + box.width / 2 == pytest.approx(120)
    assert box.y + box.height / 2 == pytest.approx(95 - 60 * detection.TIGHT_RISE)
    assert box.score == pytest.approx(0.75)


def test_yunet_gets_a_large_image_downscaled(monkeypatch, tmp_path) -> None:
    detector, fake = make_yunet(monkeypatch, tmp_path, yunet_row(100, 50, 300, 300))
    (box,) = detector.detect(make_noise(1000, 2 * MAX_SEARCH_PX))
    assert fake.image.shape == (500, MAX_SEARCH_PX, 3)
    assert box.width == pytest.approx(600 * detection.TIGHT_MARGIN)
    assert box.eyes == (pytest.approx((2 * 190, 2 * 170)), pytest.approx((2 * 310, 2 * 170)))


def test_the_eye_on_the_left_of_the_image_comes_first(monkeypatch, tmp_path) -> None:
    mirrored = yunet_row(100, 50, 300, 300)
    mirrored[4:6], mirrored[6:8] = mirrored[6:8], mirrored[4:6]
    (box,) = make_yunet(monkeypatch, tmp_path, mirrored)[0].detect(make_noise(400, 500))
    assert box.eyes is not None
    assert box.eyes[0] < box.eyes[1]


def test_eyes_from_yunet_are_used_only_for_large_faces(monkeypatch, tmp_path) -> None:
    detector, _ = make_yunet(monkeypatch, tmp_path, yunet_row(10, 10, 150, 150), yunet_row(200, 10, 250, 250))
    assert [box.eyes is None for box in detector.detect(make_noise(400, 500))] == [False, True]


def test_faces_outside_the_image_and_small_faces_are_dropped(monkeypatch, tmp_path) -> None:
    rows = [
        yunet_row(-90, 10, 80, 80),
        yunet_row(10, 395, 80, 80),
        yunet_row(30, 30, 20, 20),
        yunet_row(100, 100, 50, 50),
    ]
    detector, _ = make_yunet(monkeypatch, tmp_path, *rows, min_face_px=40)
    assert [round(box.x + box.width / 2) for box in detector.detect(make_noise(400, 500))] == [125]


def test_yunet_may_detect_no_face(monkeypatch, tmp_path) -> None:
    assert make_yunet(monkeypatch, tmp_path)[0].detect(make_noise(40, 50)) == []


# Errors


@pytest.mark.parametrize("kind", ["Haar", "models/none.onnx", ""])
def test_a_missing_model_file_is_reported_with_the_allowed_values(kind: str) -> None:
    with pytest.raises(InputError, match=rf"^{kind}: no such file; a detector is haar, or the path of a YuNet"):
        make_detector(kind, 40)


def make_onnx(operation: bytes) -> bytes:
    """Return a network of one node, as protobuf."""

    def part(field: int, content: bytes) -> bytes:
        return bytes([field << 3 | 2, len(content)]) + content

    shape = b"".join(part(1, bytes([8, side])) for side in (1, 3, 64, 64))
    tensor = part(2, part(1, b"\x08\x01" + part(2, shape)))
    node = part(1, part(1, b"in") + part(2, b"out") + part(4, operation))
    graph = node + part(2, b"graph") + part(11, part(1, b"in") + tensor) + part(12, part(1, b"out") + tensor)
    return b"\x08\x07" + part(7, graph) + part(8, b"\x10\x0b")


def test_a_file_that_is_not_a_yunet_model_is_reported_and_nothing_is_printed(tmp_path: Path, capfd) -> None:
    model = tmp_path / "model.onnx"
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
    for content in (b"", b"<html>not found</html>", bytes(range(256)), make_onnx(b"Relu"), make_onnx(b"Unknown")):
        model.write_bytes(content)
        with pytest.raises(InputError, match=r"model\.onnx: not a YuNet model that OpenCV \S+ can use; use"):
            make_detector(str(model), 40)
    assert capfd.readouterr() == ("", "")


def test_an_opencv_without_cascades_is_reported_with_both_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    detection._load_cascade.cache_clear()
    for use in (
        lambda: make_detector("haar", 40),
        lambda: align_face(to_grey(FACE)),
        lambda: crop_face(FACE, make_box(0, 0, 99), 48, True),
    ):
        with pytest.raises(InputError, match=r"has no Haar cascades; install opencv-python-headless<5, or .* YuNet"):
            use()


# Cropping


def test_a_box_of_the_output_size_copies_the_pixels() -> None:
    image = make_noise(90, 120)
    assert (crop_face(image, make_box(30, 20, 48), 48, False) == to_grey(image)[20:68, 30:78]).all()


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_larger_box_averages_the_pixels(times: int) -> None:
    image = make_noise(300, 300)
    side = 48 * times
    blocks = to_grey(image)[10 : 10 + side, 20 : 20 + side].reshape(48, times, 48, times).mean(axis=(1, 3))
    assert np.abs(crop_face(image, make_box(20, 10, side), 48, False) - blocks).max() <= 1


def test_an_oblong_box_gives_the_square_of_its_area() -> None:
    image = make_noise(200, 200)
    tall = FaceBox(60.0, 40.0, 25.0, 100.0, 1.0, None)
    assert (crop_face(image, tall, 48, False) == crop_face(image, make_box(47.5, 65, 50), 48, False)).all()


def test_colours_become_grey_by_itu_r_601() -> None:
    for colour, expected in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert (crop_face(np.full((60, 60, 3), colour, np.uint8), make_box(5, 5, 50), 48, False) == expected).all()


@pytest.mark.parametrize("level_eyes", [False, True])
@pytest.mark.parametrize("stripe", [1, 2, 3])
def test_fine_stripes_become_grey_without_a_pattern(level_eyes: bool, stripe: int) -> None:
    line = (np.arange(960) // stripe % 2 * 255).astype(np.uint8)
    stripes = np.broadcast_to(line[None, :, None], (960, 960, 3))
    box = replace(make_box(180.3, 170.7, 610), eyes=((300.0, 400.0), (500.0, 440.0)))
    pattern = cv2.warpAffine(to_grey(stripes.copy()), np.array([[0.079, 0, 0], [0, 0.079, 0]]), (48, 48))
    assert crop_face(stripes, box, 48, level_eyes).std() < 13
    assert pattern.std() > 50


def test_the_edge_is_repeated_beyond_the_image() -> None:
    image = make_noise(60, 60)
    repeated = cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_REPLICATE)
    for x, y in ((-20, -20), (25, -30), (50, 40)):
        inside = crop_face(repeated, make_box(x + 40, y + 40, 48), 48, False)
        assert (crop_face(image, make_box(x, y, 48), 48, False) == inside).all()


@given(
    x=st.floats(-30, 70), y=st.floats(-30, 70), side=st.floats(0.1, 300), size=st.integers(1, 64), level=st.booleans()
)
@settings(max_examples=60)
def test_any_box_of_a_constant_image_gives_a_constant_face(
    x: float, y: float, side: float, size: int, level: bool
) -> None:
    image = np.full((80, 70, 3), 90, np.uint8)
    assert (crop_face(image, make_box(x, y, side), size, level) == 90).all()


@pytest.mark.parametrize(("x", "y", "corner"), [(-500, -500, (0, 0)), (900, -500, (0, -1)), (900, 900, (-1, -1))])
def test_a_box_far_outside_shows_the_nearest_corner(x: float, y: float, corner: tuple[int, int]) -> None:
    image = make_noise(60, 80)
    assert (crop_face(image, make_box(x, y, 20), 48, False) == to_grey(image)[corner]).all()


def test_mirroring_the_image_mirrors_the_face() -> None:
    image = cv2.GaussianBlur(make_noise(200, 300), (0, 0), 2)
    face = crop_face(image, make_box(61.5, 40.25, 100), 48, False)
    mirrored = crop_face(image[:, ::-1], make_box(300 - 161.5, 40.25, 100), 48, False)
    assert np.abs(face[:, ::-1].astype(int) - mirrored).max() <= 2


@pytest.mark.parametrize("degrees", [-25, -8, 8, 25])
def test_a_face_with_known_eyes_is_rotated_until_they_are_level(degrees: float) -> None:
    image = draw_photo((160, 80, 320))
    centre = np.array([320, 240])
    angle = math.radians(degrees)
    half = 60 * np.array([math.cos(angle), math.sin(angle)])
    box = replace(make_box(220, 140, 200), eyes=(tuple((centre - half).tolist()), tuple((centre + half).tolist())))
    upright = crop_face(image, box, 48, False)
    level = crop_face(rotate(image, degrees), box, 48, True)
    assert np.abs(level.astype(int) - upright).mean() < 2
    assert np.abs(crop_face(rotate(image, degrees), box, 48, False).astype(int) - upright).mean() > 4


def test_the_framing_is_that_of_fer2013() -> None:
    """In FER-2013 the eyes are at .40 of the height and .36 apart."""
    image = draw_photo((200, 100, CANVAS_PX))
    (box,) = make_detector("haar", 40).detect(image)
    eyes = find_eyes(crop_face(image, box, 96, False))
    assert eyes is not None
    (x, y), (u, v) = eyes
    assert (u - x) / 96 == pytest.approx(0.36, abs=0.06)
    assert (y + v) / 192 == pytest.approx(0.4, abs=0.06)


def test_a_tight_box_gets_a_margin_and_keeps_its_score_and_eyes() -> None:
    eyes = ((30.0, 40.0), (70.0, 40.0))
    box = frame_tight_box(20.0, 10.0, 60.0, 80.0, 0.5, eyes)
    assert (box.score, box.eyes) == (0.5, eyes)
    assert box.width == box.height > math.sqrt(60 * 80)
    assert box.x + box.width / 2 == pytest.approx(50)
    assert box.y + box.height / 2 < 50


# Eyes


@pytest.mark.parametrize("size", [48, 192, 500])
def test_eyes_are_found_in_pixels_of_the_face_left_first(face: np.ndarray, size: int) -> None:
    eyes = find_eyes(cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA))
    assert eyes is not None
    (x, y), (u, v) = np.array(eyes) / size
    assert 0.2 < x < 0.45
    assert 0.55 < u < 0.8
    assert 0.3 < y < 0.55
    assert abs(v - y) < 0.1


@pytest.mark.parametrize("degrees", [-16, -8, 8, 16])
@pytest.mark.parametrize("size", [48, 64, 96])
def test_a_tilted_face_is_aligned(face: np.ndarray, degrees: float, size: int) -> None:
    tilted = cv2.resize(rotate(face, degrees), (size, size), interpolation=cv2.INTER_AREA)
    level = align_face(tilted)
    assert level is not None
    assert level.shape == tilted.shape
    assert abs(measure_tilt(tilted) - degrees) < 6
    assert abs(measure_tilt(level)) < 4


def test_a_tilted_face_in_a_photo_is_aligned(haar: FaceDetector) -> None:
    image = rotate(draw_photo((200, 120, 240)), 12)
    (box,) = haar.detect(image)
    assert abs(measure_tilt(crop_face(image, box, 96, False))) > 6
    assert abs(measure_tilt(crop_face(image, box, 96, True))) < 3.5


@pytest.mark.parametrize(("height", "width"), EXTREMES)
def test_a_face_without_eyes_is_not_rotated(height: int, width: int) -> None:
    blank = np.full((height, width), 127, np.uint8)
    assert find_eyes(blank) is None
    side = min(height, width)
    assert align_face(blank[:side, :side]) is None
    image = cv2.GaussianBlur(make_noise(100, 100), (0, 0), 9)
    box = make_box(20, 20, 60)
    assert (crop_face(image, box, 48, True) == crop_face(image, box, 48, False)).all()


def test_eyes_on_one_side_or_at_a_steep_angle_are_not_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake_cascade(*centres: tuple[float, float]) -> object:
        boxes = np.array([(x * 192 - 20, y * 192 - 20, 40, 40) for x, y in centres], np.int32)
        detections = (boxes, np.arange(len(boxes), dtype=np.int32) + 3)
        return lambda name, thread: SimpleNamespace(detectMultiScale2=lambda *_, **__: detections)

    face = np.zeros((192, 192), np.uint8)
    for centres in ([(0.2, 0.4), (0.45, 0.4)], [(0.35, 0.2), (0.6, 0.5)], [(0.45, 0.4), (0.55, 0.4)], [(0.3, 0.4)]):
        monkeypatch.setattr(detection, "_load_cascade", fake_cascade(*centres))
        assert find_eyes(face) is None
    monkeypatch.setattr(detection, "_load_cascade", fake_cascade((0.3, 0.1), (0.3, 0.4), (0.7, 0.4)))
    assert find_eyes(face) == (pytest.approx((57, 76), abs=1), pytest.approx((134, 76), abs=1))
