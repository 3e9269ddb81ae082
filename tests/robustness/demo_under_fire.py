"""Send the demo's server hundreds of requests at once, most of them broken, and check the status of each answer."""

import contextlib
import io
import re
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr

import numpy as np

from fer.data.synthetic.portraits import draw_portrait
from fer.serving.demo import DemoServer
from fer.serving.package.bundle import ModelPackage
from fer.serving.predictor import Predictor
from tests.robustness.hostile_files import GOOD_PNG, encode_image, hostile_images

CONNECTIONS, REPETITIONS = 100, 5
REQUIRED_HEADERS = (
    "Content-Type",
    "Content-Length",
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "Cache-Control",
)


def make_requests(port: int) -> list[tuple[bytes, set[int]]]:
    """Return requests with the allowed status codes; without any, the connection may also be closed."""
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    post = b"POST /faces HTTP/1.1\r\n" + host + b"Content-Type: application/octet-stream\r\n"
    photograph = encode_image(draw_portrait("happy", 1.0, np.random.default_rng(0)).convert("RGB"), "PNG")

    def get(path: bytes, headers: bytes = b"") -> bytes:
        return b"GET " + path + b" HTTP/1.1\r\n" + host + headers + b"\r\n"

    def sent(body: bytes, path: bytes = b"/faces") -> bytes:
        return post.replace(b"/faces", path) + b"Content-Length: %d\r\n\r\n" % len(body) + body

    whole = [
        (get(b"/"), {200}),
        (get(b"/drawn"), {200}),
        (sent(photograph), {200}),
        (sent(GOOD_PNG, b"/explain?emotion=happy"), {200}),
    ]
    broken = [
        *((sent(content), {200, 415}) for name, content in hostile_images().items() if len(content) < 2_000_000),
        *((get(path), {400, 404}) for path in (b"/../../etc/passwd", b"/%2e%2e/params.yaml", b"//[", b"//etc/passwd")),
        *(
            (get(path), {400, 404, 421})
            for path in (b"http://[::1", b"http://evil.example/", b"*", b"/\xff\xfe", b"/a\0b")
        ),
        (get(b"/?" + b"a=1&" * 10_000), {200, 414}),
        (get(b"/" + b"a" * 70_000), {414}),
        (get(b"/", b"X: 1\r\n" * 200), {431}),
        (get(b"/", b"X: " + b"a" * 70_000 + b"\r\n"), {431}),
        (get(b"/", b"Origin: http://evil.example\r\n"), {403}),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", {421}),
        (b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n", {421}),
        (b"GET / HTTP/9.9\r\n\r\n", {400, 505}),
        (b"GET / HTTP/1.1\n" + host + b"X: a\r\n b: c\r\n\r\n", {200, 400}),
        (b"BREW / HTTP/1.1\r\n" + host + b"\r\n", {501}),
        (b"\x16\x03\x01\x02\x00\x01\x00\xff", set()),
        (b"", set()),
        (b"\r\n\r\n", set()),
        (sent(GOOD_PNG, b"/explain?emotion=%00"), {400}),
        (sent(GOOD_PNG, b"/explain?emotion=" + b"x" * 50_000), {400}),
        (sent(GOOD_PNG, b"/explain"), {400}),
        (post + b"Content-Length: -1\r\n\r\n", {411}),
        (post + b"Content-Length: 1e9\r\n\r\n", {411}),
        (post + b"Content-Length: 99999999999999999999\r\n\r\n", {411}),
        (post + b"Content-Length: 99999999\r\n\r\nshort", {413}),
        (post + b"Content-Length: 100000\r\n\r\nshort", {408}),
        (post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", {400, 408, 415}),
        (post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", {411}),
        (sent(GOOD_PNG).replace(b"application/octet-stream", b"text/plain"), {415}),
    ]
    return whole * (len(broken) // len(whole)) + broken


def stress_demo(package: ModelPackage, repetitions: int = REPETITIONS) -> tuple[int, list[str]]:
    """Return the number of requests that were sent, and the problems of the answers."""
    wrong = Counter[str]()
    errors = io.StringIO()
    with DemoServer(Predictor(package)) as server, redirect_stderr(errors):
        served = threading.Thread(target=server.serve_forever, args=(0.05,))
        served.start()
        requests = make_requests(server.server_port) * repetitions
        np.random.default_rng(0).shuffle(requests)  # type: ignore[arg-type]
        try:
            _send(
                server.server_port, make_requests(server.server_port)[2][0]
            )  # with it the thread begins that computes
            threads = threading.active_count()
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                answers = list(pool.map(lambda request: _send(server.server_port, request[0]), requests))
            for (request, right), answer in zip(requests, answers, strict=True):
                if problem := _find_problem(answer, right):
                    wrong[f"{request[:60]!r}: {problem}"] += 1
            end = time.monotonic() + 10
            while threading.active_count() > threads and time.monotonic() < end:
                time.sleep(0.05)
            if threading.active_count() > threads:
                wrong[f"{threading.active_count() - threads} threads are left"] += 1
            if not _send(server.server_port, b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.server_port):
                wrong["it answers no more"] += 1
        finally:
            server.shutdown()
            served.join()
    if "Traceback" in errors.getvalue():
        wrong[f"traceback: {errors.getvalue().strip().splitlines()[-1]}"] += 1
    return len(requests), [f"{problem} ({count} times)" for problem, count in wrong.items()]


def _send(port: int, request: bytes) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            answer += part
    return answer


def _find_problem(answer: bytes, right: set[int]) -> str:
    if not answer or not right:
        return ""  # the connection of a broken request may be closed
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3}) ", head)
    if not status:
        return "" if 400 in right or 505 in right else f"no status: {answer[:40]!r}"
    if int(status[1]) not in right:
        return f"status {status[1].decode()}, not {sorted(right)}: {body[:80]!r}"
    if missing := [name for name in REQUIRED_HEADERS if f"\r\n{name}:".encode() not in head]:
        return f"without {', '.join(missing)}"
    if int(status[1]) != 200 and not body.startswith(b'{"error": "'):
        return f"says {body[:60]!r}"
    return ""
