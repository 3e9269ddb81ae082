"""The demo's page in a real browser: a photograph is dropped, and the answer is read from the page."""

import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import BrowserPage, open_chromium
from PIL import Image
from test_demo import PHOTOGRAPH, package

from fer.serving import demo
from fer.serving.predictor import Predictor

CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
EXPECTED = "status of 415"  # the browser tells of every refusal


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "photograph.png"
    path.write_bytes(PHOTOGRAPH)
    return path


@pytest.fixture(scope="module")
def opened(photograph: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrowserPage, demo.DemoServer]]:
    """A browser whose camera films the photograph, and a demo that is sure of everything."""
    film = photograph.with_suffix(".mjpeg")
    Image.open(photograph).save(film, "JPEG", quality=95)
    flags = (*CAMERA, f"--use-file-for-fake-video-capture={film}")
    with (
        open_chromium(tmp_path_factory.mktemp("browser"), *flags) as page,
        demo.DemoServer(Predictor(package())) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield page, server
        finally:
            server.shutdown()
            thread.join()
    assert not [said for said in page.console if EXPECTED not in said]


@pytest.fixture
def page(opened: tuple[BrowserPage, demo.DemoServer]) -> BrowserPage:
    page, server = opened
    page.open(server.url)
    return page


def told(page: BrowserPage) -> None:
    page.wait_until("document.querySelectorAll('.face').length === 1 && said.innerText === 'One face.'")


def test_a_photograph_is_dropped_and_its_face_is_named(page: BrowserPage, photograph: Path) -> None:
    page.drop("#stage", photograph)
    told(page)
    (wanted,) = Predictor(package()).predict_image(np.asarray(Image.open(io.BytesIO(PHOTOGRAPH))))
    assert page.text(".face h2").casefold() == wanted.label
    assert page.text(".face p") == f"{wanted.confidence:.0%} likely".replace("%", " %")
    shares = dict(text.casefold().split("\n")[:: len(text.split("\n")) - 1] for text in page.texts(".bar"))
    for emotion, share in wanted.probabilities.items():
        assert abs(int(shares[emotion].removesuffix(" %")) - 100 * share) <= 0.51
    widths = page.evaluate("[...document.querySelectorAll('.bar b')].map(bar => bar.getBoundingClientRect().width)")
    lengths = page.evaluate("[...document.querySelectorAll('.bar i')].map(track => track.offsetWidth)")
    np.testing.assert_allclose(np.divide(widths, lengths), [*wanted.probabilities.values()], atol=0.02)
    left = page.evaluate("document.querySelector('.box').offsetLeft / document.querySelector('#photo').offsetWidth")
    assert abs(left - wanted.box.x / 500) < 0.02
    assert page.text(".box") == f"{wanted.label} {wanted.confidence:.0%}".replace("%", " %")


def test_where_it_is_not_sure_it_says_so(
    opened: tuple[BrowserPage, demo.DemoServer], photograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, server = opened
    unsure = Predictor(package(0.9))
    monkeypatch.setattr(server, "predictor", unsure)
    monkeypatch.setattr(server, "page", demo.render_demo(unsure, ""))
    page.open(server.url)
    page.drop("#stage", photograph)
    told(page)
    assert page.text(".face h2") == "Not sure"
    assert re.fullmatch(r"Most likely \w+, \d+ %; accepted from 90 %", page.text(".face p"))
    assert page.text(".box") == "not sure"
    assert page.evaluate("getComputedStyle(document.querySelector('.box')).borderStyle") == "dashed"
    assert page.evaluate("document.querySelector('.likeliest em').style.left") == "90%"


def test_what_speaks_for_an_emotion_is_shown_and_put_away(page: BrowserPage, photograph: Path) -> None:
    page.drop("#stage", photograph)
    told(page)
    page.click(".bar:nth-child(2)")
    page.wait_until("[...document.querySelectorAll('.map img')].filter(image => image.naturalWidth).length === 2")
    assert "Speaks for disgust (Grad-CAM of other, round 1)" in page.text(".map")
    assert page.evaluate("document.querySelector('.bar:nth-child(2)').getAttribute('aria-pressed')") == "true"
    page.click(".bar:nth-child(2)")
    page.wait_until("document.querySelector('.map').hidden")


def test_what_is_no_picture_is_refused_in_words(page: BrowserPage, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    page.drop("#stage", tmp_path / "notes.png")
    page.wait_until("said.classList.contains('wrong')")
    assert page.text("#said").startswith("That can't be read: not a picture")
    assert page.texts(".face") == []
    (tmp_path / "film.mov").write_bytes(bytes(26_000_000))
    page.drop("#stage", tmp_path / "film.mov")
    page.wait_until("said.innerText.includes('too large')")


def test_a_picture_without_a_face_can_be_taken_for_one(page: BrowserPage, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "grey").save(tmp_path / "wall.jpg")
    page.drop("#stage", tmp_path / "wall.jpg")
    page.wait_until("said.innerText === 'No face was found.'")
    page.click("#whole")
    told(page)


def test_of_a_picture_that_the_browser_can_not_show_the_faces_are_shown(
    page: BrowserPage, photograph: Path, tmp_path: Path
) -> None:
    Image.open(photograph).save(tmp_path / "photograph.tiff")
    page.drop("#stage", tmp_path / "photograph.tiff")
    told(page)
    page.wait_until("picture.hidden && !invitation.hidden")


def test_a_drawn_face_is_named(page: BrowserPage) -> None:
    page.click("#drawn")
    told(page)


def test_the_camera_is_watched_held_and_let_go(page: BrowserPage) -> None:
    page.click("#camera")
    page.wait_until("!video.hidden && document.querySelectorAll('.face').length === 1")
    assert page.text("#camera") == "Hold this moment"
    mirrored = page.evaluate("document.querySelector('.box').offsetLeft / video.offsetWidth")
    page.click("#camera")
    page.wait_until("!photo.hidden")
    told(page)
    plain, wide = page.evaluate(
        "(b => [b.offsetLeft, b.offsetWidth].map(x => x / photo.offsetWidth))(document.querySelector('.box'))"
    )
    assert abs(mirrored - (1 - plain - wide)) < 0.03
    assert page.evaluate("video.srcObject === null")
    assert page.text("#camera") == "Use the camera"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_it_fits_the_screen_and_can_be_read(page: BrowserPage, photograph: Path, dark: bool, phone: bool) -> None:
    page.set_viewport(*((390, 844) if phone else (1280, 860)), dark=dark, phone=phone)
    page.drop("#stage", photograph)
    told(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    touched = page.evaluate(
        "[...document.querySelectorAll('.button:not([hidden]), .bar')].map(each => each.offsetHeight)"
    )
    assert min(touched) >= 40
    names = "[...document.querySelectorAll('button, input, img')].filter(each => each.checkVisibility())"
    nameless = f"{names}.filter(each => !(each.innerText || each.ariaLabel || each.alt || each.labels?.length)).length"
    assert page.evaluate(nameless) == 0
    for what in (".face h2", ".face p", ".hint", "#said", "footer p", ".button.first", ".box span"):
        assert page.contrast(what) >= 4.5, what
