"""The demo's server answers its own page on this computer, and nobody else; whatever it is sent, it stands."""

import base64
import hashlib
import http.client
import io
import json
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fer.core.labels import EMOTIONS
from fer.data.media.images import decode_face
from fer.data.synthetic.portraits import draw_portrait
from fer.nn import weights
from fer.reporting.explanation.heatmaps import overlay_heat
from fer.reporting.explanation.saliency import grad_cam
from fer.serving import demo
from fer.serving.package import bundle
from fer.serving.predictor import Predictor

PICTURES = {"Content-Type": "application/octet-stream"}


def package(thresholds: float = 0.0) -> bundle.ModelPackage:
    """Two networks of random weights."""
    torch.manual_seed(0)
    facts = weights.ModelConfig(network="simple_cnn", emotions=EMOTIONS[:7], size=48, dropout=0.1, input_px=None)
    networks = {name: facts.build().eval() for name in ("one", "other")}
    about = bundle.PackageManifest(
        round=1,
        emotions=EMOTIONS[:7],
        size=48,
        align=False,
        views=("plain",),
        precision="fp32",
        vote={"one": 1.0, "other": 2.0},
        temperatures={"one": 0.05, "other": 0.05},
        thresholds=dict.fromkeys(EMOTIONS[:7], thresholds),
        weights_sha256={"one": "1", "other": "2"},
    )
    return bundle.ModelPackage(about, networks)


def photograph() -> bytes:
    """A drawn person in which the detector finds one face."""
    picture = Image.new("RGB", (500, 400), (150, 170, 160))
    picture.paste(draw_portrait("neutral", 1.0, np.random.default_rng(12)), (150, 100))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


PHOTOGRAPH = photograph()


@pytest.fixture(scope="module")
def served() -> Iterator[demo.DemoServer]:
    with demo.DemoServer(Predictor(package()), "# Card </script><b>") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: demo.DemoServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, body, (PICTURES if body is not None else {}) | (headers or {}))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.msg


def raw(server: demo.DemoServer, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose head promises 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    )


def test_the_page_needs_nothing_else_and_may_run_nothing_else(served: demo.DemoServer) -> None:
    status, page, headers = ask(served, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in (b"script", b"style"):
        (text,) = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(text).digest()).decode() in policy
    assert not re.findall(rb"(?:https?:)?//[a-z0-9]+\.", page)
    assert served.server_address[0] == "127.0.0.1"
    facts = json.loads(re.findall(rb'id="facts">(.*?)</script>', page, re.DOTALL)[0])
    assert facts["card"] == "# Card </script><b>"


def test_the_faces_are_those_of_the_predictor(served: demo.DemoServer) -> None:
    status, content, headers = ask(served, "POST", "/faces", PHOTOGRAPH)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    told = json.loads(content)
    assert (told["width"], told["height"]) == (500, 400)
    (face,) = told["faces"]
    (wanted,) = served.predictor.predict_image(np.asarray(Image.open(io.BytesIO(PHOTOGRAPH))))
    assert (face["x"], face["width"], face["label"]) == (wanted.box.x, wanted.box.width, wanted.label)
    assert face["probabilities"] == wanted.probabilities
    png = base64.b64decode(face["face"].removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), wanted.face)

    whole = json.loads(ask(served, "POST", "/faces?whole=1", PHOTOGRAPH)[1])
    assert [(face["x"], face["y"], face["width"]) for face in whole["faces"]] == [(50, 0, 400)]


def test_what_speaks_for_an_emotion_is_laid_over_the_face(served: demo.DemoServer) -> None:
    status, content, _ = ask(served, "POST", "/explain?emotion=happy", PHOTOGRAPH)
    assert status == 200
    told = json.loads(content)
    assert told["method"] == "Grad-CAM of other, round 1", "the one with most weight"
    png = base64.b64decode(told["picture"].removeprefix("data:image/png;base64,"))
    face = decode_face(PHOTOGRAPH, 48)
    heat = grad_cam(served.predictor.package.networks["other"], face[None], np.array([3]))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), overlay_heat(face, heat[0]))
    status, content, _ = ask(served, "POST", "/explain?emotion=joy", PHOTOGRAPH)
    assert (status, json.loads(content)["error"]) == (400, f"emotion is none of {', '.join(EMOTIONS[:7])}")


def test_a_drawn_face_is_another_each_time(served: demo.DemoServer) -> None:
    one, other = (ask(served, "GET", "/drawn")[1] for _ in range(2))
    assert Image.open(io.BytesIO(one)).size == Image.open(io.BytesIO(other)).size
    assert one != other


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty file"),
        (b"<svg onload=alert(1)>", "not a picture: its content is not JPEG"),
        (PHOTOGRAPH[:2000], "damaged picture"),
        (bomb(), "too many pixels"),
    ],
    ids=["nothing", "svg", "half", "bomb"],
)
def test_what_is_no_picture_is_refused_in_words(served: demo.DemoServer, body: bytes, words: str) -> None:
    for path in ("/faces", "/explain?emotion=happy"):
        status, content, _ = ask(served, "POST", path, body)
        assert status == 415
        assert json.loads(content)["error"].startswith(f"That can't be read: {words}")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8000"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "image/png"}, 415),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "1e3"}, 411),
    ],
)
def test_other_sites_are_refused(served: demo.DemoServer, headers: dict[str, str], status: int) -> None:
    assert ask(served, "POST", "/faces", PHOTOGRAPH, headers)[0] == status


def test_its_own_names_are_answered(served: demo.DemoServer) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{served.server_port}"
        assert ask(served, "POST", "/faces", PHOTOGRAPH, {"Host": host, "Origin": f"http://{host}"})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/faces", 404),
        ("GET", "/demo.html", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "//etc/passwd", 404),
        ("GET", "/%2e%2e/params.yaml", 404),
        ("POST", "/", 404),
        ("PUT", "/faces", 501),
        ("DELETE", "/", 501),
    ],
)
def test_there_are_no_other_addresses(served: demo.DemoServer, method: str, path: str, status: int) -> None:
    found, content, headers = ask(served, method, path)
    assert (found, headers["Content-Type"]) == (status, "application/json")
    assert set(json.loads(content)) == {"error"}


def test_an_address_that_is_none_is_told(served: demo.DemoServer) -> None:
    answer = raw(served, f"GET http://[::1 HTTP/1.1\r\nHost: localhost:{served.server_port}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize(("name", "code"), [("evil.example", 421), ("localhost", 421), ("localhost:{port}", 200)])
def test_a_whole_address_is_this_one(served: demo.DemoServer, name: str, code: int) -> None:
    here = f"localhost:{served.server_port}"
    there = name.format(port=served.server_port)
    answer = raw(served, f"GET http://{there}/ HTTP/1.1\r\nHost: {here}\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.0 {code} ".encode())


def test_too_large_a_file_is_told(served: demo.DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MAX_UPLOAD_BYTES", 1_000_000)
    status, content, _ = ask(served, "POST", "/faces", bytes(3_000_000))
    assert (status, json.loads(content)["error"]) == (413, "That file is too large: at most 1 MB.")


def test_a_failure_of_ours_is_told_and_is_not_the_end(
    served: demo.DemoServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(demo, "find_faces", lambda *_: 1 / 0)
        status, content, _ = ask(served, "POST", "/faces", PHOTOGRAPH)
    assert (status, json.loads(content)["error"]) == (500, "The demo failed; its terminal says how.")
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert ask(served, "POST", "/faces", PHOTOGRAPH)[0] == 200


def test_who_does_not_end_a_question_is_cut_off(served: demo.DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "REQUEST_TIMEOUT", 0.5)
    head = f"POST /faces HTTP/1.0\r\nHost: localhost:{served.server_port}\r\nContent-Type: application/octet-stream\r\n"
    slow = []
    for text in ("", "GET / HT", head, head + "Content-Length: 1000\r\n\r\nabc"):
        for _ in range(demo.MAX_CONNECTIONS):
            slow.append(socket.create_connection(("127.0.0.1", served.server_port), timeout=60))
            slow[-1].sendall(text.encode())
    assert ask(served, "GET", "/")[0] == 200  # all of them stood before it
    assert b"408" in slow[-1].recv(65536)
    for connection in slow:
        connection.close()


def test_it_stands_hundreds_of_requests_at_once_of_which_most_are_broken(served: demo.DemoServer) -> None:
    host = f"Host: localhost:{served.server_port}\r\n".encode()
    post = b"POST /faces HTTP/1.1\r\n" + host + b"Content-Type: application/octet-stream\r\n"
    broken = [
        b"",
        b"\x00\xff\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        post + b"Content-Length: 100000\r\n\r\nshort",
        post + b"Content-Length: 99999999999999999999999\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        post + b"Content-Length: %d\r\n\r\n" % len(PHOTOGRAPH) + PHOTOGRAPH[:60] + bytes(len(PHOTOGRAPH) - 60),
    ]

    def one(number: int) -> Any:
        if number % 4:
            return raw(served, broken[number % len(broken)])[:12]
        return ask(served, "POST", "/faces", PHOTOGRAPH)[0]

    assert one(0) == 200  # with it the thread begins that computes
    before = threading.active_count()
    with ThreadPoolExecutor(100) as everyone:
        answers = list(everyone.map(one, range(400)))
    assert [answer for number, answer in enumerate(answers) if number % 4 == 0] == [200] * 100
    for number, answer in enumerate(answers):
        assert number % 4 == 0 or not answer or re.match(rb"HTTP/1.0 [45]|{", answer), broken[number % len(broken)][:99]
    assert ask(served, "GET", "/")[0] == 200
    end = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before, threading.enumerate()


def test_pictures_leave_nothing_behind(
    served: demo.DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert ask(served, "POST", "/faces", PHOTOGRAPH)[0] == 200
    assert not list(tmp_path.iterdir())
