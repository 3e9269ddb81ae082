"""The demo: a local web page that predicts the expressions of faces in a photograph or from the camera."""

import base64
import contextlib
import hashlib
import io
import json
import re
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fer.data.media.images import UndecodableError, decode_face, read_image_size
from fer.data.synthetic.portraits import draw_portrait
from fer.reporting.explanation.heatmaps import overlay_heat
from fer.reporting.explanation.saliency import explain_faces
from fer.serving.face_finder import find_faces
from fer.serving.package.bundle import strongest_member
from fer.serving.predictor import Predictor

DEMO_TEMPLATE = Path(__file__).with_suffix(".html")
HOST = "127.0.0.1"
MAX_UPLOAD_BYTES = 25_000_000  # photographs of phones have up to 15 MB
REQUEST_TIMEOUT = 20.0  # seconds
MAX_CONNECTIONS = 16  # a browser opens at most 6
UPLOAD_TYPE = "application/octet-stream"  # unlike text/plain, browsers do not send it across origins unasked


class RequestError(Exception):
    """An error of the client, with the HTTP status and message of the response."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class DemoServer(ThreadingHTTPServer):
    """The server of the demo at `url`, on a free port if `port` is 0.

    Images are processed one at a time and never stored.

    Raises:
        OSError: The port is in use.
    """

    request_queue_size = 128

    def __init__(self, predictor: Predictor, card: str = "", port: int = 0) -> None:
        super().__init__((HOST, port), _RequestHandler)
        self.predictor = predictor
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        self.url = f"http://{HOST}:{self.server_port}"
        self.page = render_demo(predictor, card)
        self.content_policy = content_security_policy(self.page)
        self.executor = ThreadPoolExecutor(1)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.acquire()  # further connections wait in the system's queue
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # the client disconnected or timed out
            super().handle_error(request, client_address)


def render_demo(predictor: Predictor, card: str) -> bytes:
    """Return the page with its settings as JSON. "<" is escaped so that no text can end the JSON's script element."""
    manifest = predictor.package.manifest
    settings = {
        "networks": list(manifest.vote),
        "round": manifest.round,
        "emotions": manifest.emotions,
        "thresholds": manifest.thresholds,
        "max_bytes": MAX_UPLOAD_BYTES,
        "card": card,
    }
    return DEMO_TEMPLATE.read_bytes().replace(b"{{settings}}", json.dumps(settings).replace("<", "\\u003c").encode())


def content_security_policy(page: bytes) -> str:
    """Return a policy that allows only the page's own script and style, its own images, and requests to its server."""

    def hash_inline(tag: bytes) -> str:
        (text,) = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"

    script, style = hash_inline(b"script"), hash_inline(b"style")
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src blob: data:; "
        "media-src blob:; connect-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def describe_faces(predictor: Predictor, image: bytes, whole: bool) -> dict[str, Any]:
    """Return the size of an image and its faces, or the `whole` image as one face, as JSON for the page.

    Raises:
        UndecodableError: The image is unreadable.
    """
    width, height = read_image_size(image)
    settings = replace(predictor.face_settings, faces="whole") if whole else predictor.face_settings
    return {
        "width": width,
        "height": height,
        "faces": [
            {side: getattr(face.box, side) for side in ("x", "y", "width", "height")}
            | {key: getattr(face, key) for key in ("label", "confidence", "accepted", "probabilities")}
            | {"face": data_uri(face.face)}
            for face in predictor.predict_faces(find_faces(image, settings))
        ],
    }


def explain_face(predictor: Predictor, image: bytes, emotion: str) -> dict[str, str]:
    """Return a face's heatmap for `emotion`, as `fer explain` draws it, and the method's name as JSON for the page.

    Raises:
        UndecodableError: The image is unreadable.
    """
    member = strongest_member(predictor.package)
    face = decode_face(image, predictor.package.manifest.size)
    method, heat = explain_faces(member.network, face[None], np.array([member.emotions.index(emotion)]))
    return {"method": f"{method} of {member.name}", "picture": data_uri(overlay_heat(face, heat[0]))}


def draw_sample_face() -> bytes:
    """Return a PNG of a random synthetic portrait."""
    rng = np.random.default_rng()
    emotion = rng.choice(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
    return encode_png(np.asarray(draw_portrait(str(emotion), 1.0, rng)))


def encode_png(pixels: UInt8[np.ndarray, "..."]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def data_uri(pixels: UInt8[np.ndarray, "..."]) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()


class _RequestHandler(BaseHTTPRequestHandler):
    server: DemoServer
    timeout = REQUEST_TIMEOUT  # for clients that do not read the response

    def setup(self) -> None:
        super().setup()
        self._timer = threading.Timer(REQUEST_TIMEOUT, self._stop_reading)  # for clients that do not finish the request
        self._timer.daemon = True
        self._timer.start()

    def finish(self) -> None:
        self._timer.cancel()
        super().finish()

    def _stop_reading(self) -> None:
        with contextlib.suppress(OSError):  # the connection is already closed
            self.connection.shutdown(socket.SHUT_RD)

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def _respond(self) -> None:
        try:
            url = self._check_origin()
            content_type, content = self._answer(url.path, dict(parse_qsl(url.query)))
        except RequestError as error:
            self.send_error(error.status, str(error))
        except UndecodableError as error:
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The image is unreadable: {error}.")
        except OSError:
            raise
        except Exception:
            traceback.print_exc()
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "The demo failed. See its terminal for details.")
        else:
            self._send(HTTPStatus.OK, content_type, content)

    def _check_origin(self) -> SplitResult:
        """Return the URL. Refuse pages of other sites and host names that resolve to this server (DNS rebinding)."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        try:
            url = urlsplit(self.path)
        except ValueError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, "invalid URL") from error
        if host not in self.server.hosts or url.netloc not in ("", *self.server.hosts):
            raise RequestError(HTTPStatus.MISDIRECTED_REQUEST, f"the demo is at {self.server.url}")
        if origin not in (None, f"http://{host}"):
            raise RequestError(HTTPStatus.FORBIDDEN, "requests from other sites are not allowed")
        return url

    def _answer(self, path: str, query: Mapping[str, str]) -> tuple[str, bytes]:
        """Return the type and content of the response."""
        predictor = self.server.predictor
        match self.command, path:
            case "GET", "/":
                return "text/html; charset=utf-8", self.server.page
            case "GET", "/drawn":
                return "image/png", draw_sample_face()
            case "POST", "/faces":
                result = self.server.executor.submit(describe_faces, predictor, self._read_body(), "whole" in query)
            case "POST", "/explain":
                emotion, emotions = query.get("emotion"), predictor.package.manifest.emotions
                if emotion not in emotions:
                    raise RequestError(HTTPStatus.BAD_REQUEST, f"unknown emotion; allowed: {', '.join(emotions)}")
                result = self.server.executor.submit(explain_face, predictor, self._read_body(), emotion)
            case _:
                raise RequestError(HTTPStatus.NOT_FOUND, "no such page")
        return "application/json", json.dumps(result.result()).encode()

    def _read_body(self) -> bytes:
        if self.headers.get("Content-Type") != UPLOAD_TYPE:
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the image as {UPLOAD_TYPE}")
        content_length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,15}", content_length):
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing or invalid")
        length = int(content_length)
        if length > MAX_UPLOAD_BYTES:
            while length > 0 and (part := self.rfile.read1(65536)):  # clients read the response only after sending
                length -= len(part)
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The file is too large: at most {MAX_UPLOAD_BYTES / 1e6:g} MB are allowed.",
            )
        body = self.rfile.read(length)
        if len(body) < length:
            raise RequestError(HTTPStatus.REQUEST_TIMEOUT, "the request body is incomplete")
        return body

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        content = json.dumps({"error": message or HTTPStatus(code).phrase}).encode()
        self._send(HTTPStatus(code), "application/json", content)

    def _send(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
        self.send_response(status)
        for header, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": self.server.content_policy,
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": "camera=(self)",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        return "fer"

    def log_message(self, format: str, *args: Any) -> None:
        pass
