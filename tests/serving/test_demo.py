"""The demo server answers only its own page on this computer and survives malformed requests."""

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
from fer.serving.package.manifest import PackageManifest
from fer.serving.predictor import Predictor

UPLOAD_HEADERS = {"Content-Type": "application/octet-stream"}


def make_package(threshold: float = 0.0) -> bundle.ModelPackage:
    """Return a package of two networks with random weights."""
    torch.manual_seed(0)
    config = weights.ModelConfig(network="simple_cnn", emotions=EMOTIONS[:7], size=48, dropout=0.1, input_px=None)
    networks = {name: config.build().eval() for name in ("first", "second")}
    manifest = PackageManifest(
        round=1,
        emotions=EMOTIONS[:7],
        size=48,
        align=False,
        views=("plain",),
        precision="fp32",
        vote={"first": 1.0, "second": 2.0},
        temperatures={"first": 0.05, "second": 0.05},
        thresholds=dict.fromkeys(EMOTIONS[:7], threshold),
        weights_sha256={"first": "1", "second": "2"},
    )
    return bundle.ModelPackage(manifest, networks)


def make_photograph() -> bytes:
    """Return a PNG with a drawn person, in which the detector finds one face."""
    image = Image.new("RGB", (500, 400), (150, 170, 160))
    image.paste(draw_portrait("neutral", 1.0, np.random.default_rng(12)), (150, 100))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PHOTOGRAPH = make_photograph()


@pytest.fixture(scope="module")
def server() -> Iterator[demo.DemoServer]:
    with demo.DemoServer(Predictor(make_package()), "# Card </script><b>") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send_request(
    server: demo.DemoServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, body, (UPLOAD_HEADERS if body is not None else {}) | (headers or {}))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content, response.msg


def send_raw(server: demo.DemoServer, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        response = b""
        try:
            while part := connection.recv(65536):
                response += part
        except ConnectionResetError:
            pass
        return response


def make_bomb() -> bytes:
    """Return a PNG of a few hundred bytes whose header claims 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


def test_page_is_self_contained_and_has_a_strict_policy(server: demo.DemoServer) -> None:
    status, page, headers = send_request(server, "GET", "/")
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
    assert server.server_address[0] == "127.0.0.1"
    settings = json.loads(re.findall(rb'id="settings">(.*?)</script>', page, re.DOTALL)[0])
    assert settings["card"] == "# Card </script><b>"


def test_faces_are_those_of_the_predictor(server: demo.DemoServer) -> None:
    status, content, headers = send_request(server, "POST", "/faces", PHOTOGRAPH)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    result = json.loads(content)
    assert (result["width"], result["height"]) == (500, 400)
    (face,) = result["faces"]
    (expected,) = server.predictor.predict_image(np.asarray(Image.open(io.BytesIO(PHOTOGRAPH))))
    assert (face["x"], face["width"], face["label"]) == (expected.box.x, expected.box.width, expected.label)
    assert face["probabilities"] == expected.probabilities
    png = base64.b64decode(face["face"].removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), expected.face)

    whole = json.loads(send_request(server, "POST", "/faces?whole=1", PHOTOGRAPH)[1])
    assert [(face["x"], face["y"], face["width"]) for face in whole["faces"]] == [(50, 0, 400)]


def test_explanation_is_the_heat_over_the_face(server: demo.DemoServer) -> None:
    status, content, _ = send_request(server, "POST", "/explain?emotion=happy", PHOTOGRAPH)
    assert status == 200
    result = json.loads(content)
    assert result["method"] == "Grad-CAM of second, round 1", "the network with the largest weight"
    png = base64.b64decode(result["picture"].removeprefix("data:image/png;base64,"))
    face = decode_face(PHOTOGRAPH, 48)
    heat = grad_cam(server.predictor.package.networks["second"], face[None], np.array([3]))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), overlay_heat(face, heat[0]))
    status, content, _ = send_request(server, "POST", "/explain?emotion=joy", PHOTOGRAPH)
    assert (status, json.loads(content)["error"]) == (400, f"unknown emotion; allowed: {', '.join(EMOTIONS[:7])}")


def test_sample_faces_differ(server: demo.DemoServer) -> None:
    first, second = (send_request(server, "GET", "/drawn")[1] for _ in range(2))
    assert Image.open(io.BytesIO(first)).size == Image.open(io.BytesIO(second)).size
    assert first != second


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty file"),
        (b"<svg onload=alert(1)>", "not a picture: its content is not JPEG"),
        (PHOTOGRAPH[:2000], "damaged picture"),
        (make_bomb(), "too many pixels"),
    ],
    ids=["empty", "svg", "truncated", "bomb"],
)
def test_unreadable_images_are_refused(server: demo.DemoServer, body: bytes, message: str) -> None:
    for path in ("/faces", "/explain?emotion=happy"):
        status, content, _ = send_request(server, "POST", path, body)
        assert status == 415
        assert json.loads(content)["error"].startswith(f"The image is unreadable: {message}")


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
def test_other_sites_are_refused(server: demo.DemoServer, headers: dict[str, str], status: int) -> None:
    assert send_request(server, "POST", "/faces", PHOTOGRAPH, headers)[0] == status


def test_own_host_names_are_answered(server: demo.DemoServer) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.server_port}"
        assert send_request(server, "POST", "/faces", PHOTOGRAPH, {"Host": host, "Origin": f"http://{host}"})[0] == 200


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
def test_other_paths_and_methods_are_refused(server: demo.DemoServer, method: str, path: str, status: int) -> None:
    code, content, headers = send_request(server, method, path)
    assert (code, headers["Content-Type"]) == (status, "application/json")
    assert set(json.loads(content)) == {"error"}


def test_invalid_url_is_refused(server: demo.DemoServer) -> None:
    response = send_raw(server, f"GET http://[::1 HTTP/1.1\r\nHost: localhost:{server.server_port}\r\n\r\n".encode())
    assert response.startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize(("name", "code"), [("evil.example", 421), ("localhost", 421), ("localhost:{port}", 200)])
def test_absolute_url_must_name_this_server(server: demo.DemoServer, name: str, code: int) -> None:
    host = f"localhost:{server.server_port}"
    target = name.format(port=server.server_port)
    response = send_raw(server, f"GET http://{target}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert response.startswith(f"HTTP/1.0 {code} ".encode())


def test_too_large_file_is_refused(server: demo.DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MAX_UPLOAD_BYTES", 1_000_000)
    status, content, _ = send_request(server, "POST", "/faces", bytes(3_000_000))
    assert (status, json.loads(content)["error"]) == (413, "The file is too large: at most 1 MB are allowed.")


def test_internal_error_is_reported_and_the_server_continues(
    server: demo.DemoServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(demo, "find_faces", lambda *_: 1 / 0)
        status, content, _ = send_request(server, "POST", "/faces", PHOTOGRAPH)
    assert (status, json.loads(content)["error"]) == (500, "The demo failed. See its terminal for details.")
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert send_request(server, "POST", "/faces", PHOTOGRAPH)[0] == 200


def test_slow_clients_are_disconnected(server: demo.DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "REQUEST_TIMEOUT", 0.5)
    head = f"POST /faces HTTP/1.0\r\nHost: localhost:{server.server_port}\r\nContent-Type: application/octet-stream\r\n"
    connections = []
    for text in ("", "GET / HT", head, head + "Content-Length: 1000\r\n\r\nabc"):
        for _ in range(demo.MAX_CONNECTIONS):
            connections.append(socket.create_connection(("127.0.0.1", server.server_port), timeout=60))
            connections[-1].sendall(text.encode())
    assert send_request(server, "GET", "/")[0] == 200  # queued after all slow connections
    assert b"408" in connections[-1].recv(65536)
    for connection in connections:
        connection.close()


def test_server_survives_hundreds_of_concurrent_malformed_requests(server: demo.DemoServer) -> None:
    host = f"Host: localhost:{server.server_port}\r\n".encode()
    post = b"POST /faces HTTP/1.1\r\n" + host + b"Content-Type: application/octet-stream\r\n"
    malformed = [
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

    def send(number: int) -> Any:
        if number % 4:
            return send_raw(server, malformed[number % len(malformed)])[:12]
        return send_request(server, "POST", "/faces", PHOTOGRAPH)[0]

    assert send(0) == 200  # starts the thread that computes predictions
    threads_before = threading.active_count()
    with ThreadPoolExecutor(100) as senders:
        responses = list(senders.map(send, range(200)))
    assert [response for number, response in enumerate(responses) if number % 4 == 0] == [200] * 50
    for number, response in enumerate(responses):
        assert number % 4 == 0 or not response or re.match(rb"HTTP/1.0 [45]|{", response), malformed[
            number % len(malformed)
        ][:99]
    assert send_request(server, "GET", "/")[0] == 200
    deadline = time.monotonic() + 60
    while threading.active_count() > threads_before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= threads_before, threading.enumerate()


def test_images_leave_no_files(server: demo.DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert send_request(server, "POST", "/faces", PHOTOGRAPH)[0] == 200
    assert not list(tmp_path.iterdir())
