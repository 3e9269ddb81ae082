"""The demo page in a real browser: dropping a photograph shows its faces."""

import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import BrowserPage, open_chromium
from PIL import Image
from test_demo import PHOTOGRAPH, make_package

from fer.serving import demo
from fer.serving.predictor import Predictor

CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
EXPECTED_LOG = "status of 415"  # the browser logs every refusal


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "photograph.png"
    path.write_bytes(PHOTOGRAPH)
    return path


@pytest.fixture(scope="module")
def browser(
    photograph: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BrowserPage, demo.DemoServer]]:
    """Open a browser whose camera shows the photograph, and a demo that accepts every prediction."""
    video = photograph.with_suffix(".mjpeg")
    Image.open(photograph).save(video, "JPEG", quality=95)
    flags = (*CAMERA, f"--use-file-for-fake-video-capture={video}")
    with (
        open_chromium(tmp_path_factory.mktemp("browser"), *flags) as page,
        demo.DemoServer(Predictor(make_package())) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield page, server
        finally:
            server.shutdown()
            thread.join()
    assert not [message for message in page.console if EXPECTED_LOG not in message]


@pytest.fixture
def page(browser: tuple[BrowserPage, demo.DemoServer]) -> BrowserPage:
    page, server = browser
    page.open(server.url)
    return page


def wait_for_face(page: BrowserPage) -> None:
    page.wait_until("document.querySelectorAll('.face').length === 1 && message.innerText === 'One face.'")


def test_dropped_photograph_shows_its_face(page: BrowserPage, photograph: Path) -> None:
    page.drop("#stage", photograph)
    wait_for_face(page)
    (expected,) = Predictor(make_package()).predict_image(np.asarray(Image.open(io.BytesIO(PHOTOGRAPH))))
    assert page.text(".face h2").casefold() == expected.label
    assert page.text(".face p") == f"Probability {expected.confidence:.0%}".replace("%", " %")
    shares = dict(text.casefold().split("\n")[:: len(text.split("\n")) - 1] for text in page.texts(".bar"))
    for emotion, share in expected.probabilities.items():
        assert abs(int(shares[emotion].removesuffix(" %")) - 100 * share) <= 0.51
    widths = page.evaluate("[...document.querySelectorAll('.bar b')].map(bar => bar.getBoundingClientRect().width)")
    lengths = page.evaluate("[...document.querySelectorAll('.bar i')].map(track => track.offsetWidth)")
    np.testing.assert_allclose(np.divide(widths, lengths), [*expected.probabilities.values()], atol=0.02)
    x_share = page.evaluate("document.querySelector('.box').offsetLeft / document.querySelector('#photo').offsetWidth")
    assert abs(x_share - expected.box.x / 500) < 0.02
    assert page.text(".box") == f"{expected.label} {expected.confidence:.0%}".replace("%", " %")


def test_abstention_is_shown(
    browser: tuple[BrowserPage, demo.DemoServer], photograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, server = browser
    predictor = Predictor(make_package(0.9))
    monkeypatch.setattr(server, "predictor", predictor)
    monkeypatch.setattr(server, "page", demo.render_demo(predictor, ""))
    page.open(server.url)
    page.drop("#stage", photograph)
    wait_for_face(page)
    assert page.text(".face h2") == "Uncertain"
    assert re.fullmatch(r"Most likely \w+, \d+ %; the threshold is 90 %", page.text(".face p"))
    assert page.text(".box") == "uncertain"
    assert page.evaluate("getComputedStyle(document.querySelector('.box')).borderStyle") == "dashed"
    assert page.evaluate("document.querySelector('.likeliest em').style.left") == "90%"


def test_explanation_is_shown_and_hidden(page: BrowserPage, photograph: Path) -> None:
    page.drop("#stage", photograph)
    wait_for_face(page)
    page.click(".bar:nth-child(2)")
    page.wait_until("[...document.querySelectorAll('.map img')].filter(image => image.naturalWidth).length === 2")
    assert "Support for disgust (Grad-CAM of second, round 1)" in page.text(".map")
    assert page.evaluate("document.querySelector('.bar:nth-child(2)').getAttribute('aria-pressed')") == "true"
    page.click(".bar:nth-child(2)")
    page.wait_until("document.querySelector('.map').hidden")


def test_unreadable_images_are_refused(page: BrowserPage, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    page.drop("#stage", tmp_path / "notes.png")
    page.wait_until("message.classList.contains('error')")
    assert page.text("#message").startswith("The image is unreadable: not a picture")
    assert page.texts(".face") == []
    (tmp_path / "film.mov").write_bytes(bytes(26_000_000))
    page.drop("#stage", tmp_path / "film.mov")
    page.wait_until("message.innerText.includes('too large')")


def test_whole_image_can_be_treated_as_a_face(page: BrowserPage, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "grey").save(tmp_path / "blank.jpg")
    page.drop("#stage", tmp_path / "blank.jpg")
    page.wait_until("message.innerText === 'No face was found.'")
    page.click("#whole")
    wait_for_face(page)


def test_faces_are_shown_if_the_browser_cannot_show_the_image(
    page: BrowserPage, photograph: Path, tmp_path: Path
) -> None:
    Image.open(photograph).save(tmp_path / "photograph.tiff")
    page.drop("#stage", tmp_path / "photograph.tiff")
    wait_for_face(page)
    page.wait_until("preview.hidden && !invitation.hidden")


def test_sample_face_is_predicted(page: BrowserPage) -> None:
    page.click("#sample")
    wait_for_face(page)


def test_camera_frame_is_captured_and_the_camera_released(page: BrowserPage) -> None:
    page.click("#camera")
    page.wait_until("!video.hidden && document.querySelectorAll('.face').length === 1")
    assert page.text("#camera") == "Capture this frame"
    mirrored = page.evaluate("document.querySelector('.box').offsetLeft / video.offsetWidth")
    page.click("#camera")
    page.wait_until("!photo.hidden")
    wait_for_face(page)
    x, width = page.evaluate(
        "(b => [b.offsetLeft, b.offsetWidth].map(x => x / photo.offsetWidth))(document.querySelector('.box'))"
    )
    assert abs(mirrored - (1 - x - width)) < 0.03
    assert page.evaluate("video.srcObject === null")
    assert page.text("#camera") == "Use the camera"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_page_fits_the_screen_and_is_accessible(page: BrowserPage, photograph: Path, dark: bool, phone: bool) -> None:
    page.set_viewport(*((390, 844) if phone else (1280, 860)), dark=dark, phone=phone)
    page.drop("#stage", photograph)
    wait_for_face(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = page.evaluate(
        "[...document.querySelectorAll('.button:not([hidden]), .bar')].map(element => element.offsetHeight)"
    )
    assert min(heights) >= 40
    controls = "[...document.querySelectorAll('button, input, img')].filter(element => element.checkVisibility())"
    label = "element.innerText || element.ariaLabel || element.alt || element.labels?.length"
    assert page.evaluate(f"{controls}.filter(element => !({label})).length") == 0
    for selector in (".face h2", ".face p", ".hint", "#message", "footer p", ".button.primary", ".box span"):
        assert page.contrast(selector) >= 4.5, selector
