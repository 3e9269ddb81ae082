"""The demo: a page for this computer alone, where the faces of a photograph or of the camera are named."""

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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

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
REQUEST_TIMEOUT = 20.0  # to send a request
MAX_CONNECTIONS = 16  # requests; a browser sends at most 6
UPLOAD_TYPE = "application/octet-stream"  # no page of another origin can send it unasked, as it could text/plain


class RequestError(Exception):
    """A request is not answered; the message says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class DemoServer(ThreadingHTTPServer):
    """The demo, listening on `url`; `serve_forever` answers. With the port 0 it takes a free one.

    Pictures are looked at one after another, and nothing of them is kept.

    Raises:
        OSError: the port is taken.
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
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()  # further connections wait in the system's queue
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # whoever asked has gone, or was too slow
            super().handle_error(request, client_address)


def render_demo(predictor: Predictor, card: str) -> bytes:
    """The page. What it is about is JSON in it, without "<", so that no text can end that and begin something else."""
    about = predictor.package.manifest
    facts = {
        "networks": list(about.vote),
        "round": about.round,
        "emotions": about.emotions,
        "thresholds": about.thresholds,
        "max_bytes": MAX_UPLOAD_BYTES,
        "card": card,
    }
    return DEMO_TEMPLATE.read_bytes().replace(b"{{facts}}", json.dumps(facts).replace("<", "\\u003c").encode())


def content_security_policy(page: bytes) -> str:
    """What the page may do: run its own script and style, show pictures that it has, and ask its server."""

    def inline(tag: bytes) -> str:
        (text,) = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {inline(b'script')}; style-src {inline(b'style')}; img-src blob: data:; "
        "media-src blob:; connect-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def describe_faces(predictor: Predictor, image: bytes, whole: bool) -> dict[str, Any]:
    """What the page shows of a picture: its width and height, and the faces in its pixels, the largest first.

    Raises:
        UndecodableError: it is no picture.
    """
    width, height = read_image_size(image)
    found = find_faces(image, replace(predictor.face_settings, faces="whole") if whole else predictor.face_settings)
    return {
        "width": width,
        "height": height,
        "faces": [
            {side: getattr(of.box, side) for side in ("x", "y", "width", "height")}
            | {key: getattr(of, key) for key in ("label", "confidence", "accepted", "probabilities")}
            | {"face": data_uri(of.face)}
            for of in predictor.predict_faces(found)
        ],
    }


def explain_face(predictor: Predictor, image: bytes, emotion: str) -> dict[str, str]:
    """How it was found what in a face speaks for `emotion`, and the picture of that, as `fer explain` draws it.

    Raises:
        UndecodableError: it is no picture.
    """
    about, voter = predictor.package.manifest, strongest_member(predictor.package)
    face = decode_face(image, about.size)
    way, heat = explain_faces(voter.network, face[None], np.array([about.emotions.index(emotion)]))
    return {"method": f"{way} of {voter.name}", "picture": data_uri(overlay_heat(face, heat[0]))}


def draw_sample_face() -> bytes:
    """A PNG of a drawn person, another one each time."""
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
    timeout = REQUEST_TIMEOUT  # for an answer that is not fetched

    def setup(self) -> None:
        super().setup()
        self._late = threading.Timer(REQUEST_TIMEOUT, self._end)  # for a question that is not ended
        self._late.daemon = True
        self._late.start()

    def finish(self) -> None:
        self._late.cancel()
        super().finish()

    def _end(self) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self.connection.shutdown(socket.SHUT_RD)

    def do_GET(self) -> None:
        self._answer({"/": self._page, "/drawn": self._drawn})

    def do_POST(self) -> None:
        self._answer({"/faces": self._faces, "/explain": self._explain})

    def _answer(self, routes: dict[str, Callable[[], tuple[str, bytes]]]) -> None:
        try:
            self._check_origin()
            route = routes.get(self._address().path)
            if route is None:
                raise RequestError(HTTPStatus.NOT_FOUND, "there is nothing of that name")
            kind, content = route()
        except RequestError as error:
            self.send_error(error.status, str(error))
        except UndecodableError as error:
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"That can't be read: {error}.")
        except OSError:
            raise
        except Exception:
            traceback.print_exc()
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "The demo failed; its terminal says how.")
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _check_origin(self) -> None:
        """Refuse what comes from other sites' pages, also by a name of theirs that leads here (DNS rebinding)."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in self.server.hosts:
            raise RequestError(HTTPStatus.MISDIRECTED_REQUEST, f"the demo is at {self.server.url}")
        if origin not in (None, f"http://{host}"):
            raise RequestError(HTTPStatus.FORBIDDEN, "the demo answers no other site")

    def _page(self) -> tuple[str, bytes]:
        return "text/html; charset=utf-8", self.server.page

    def _drawn(self) -> tuple[str, bytes]:
        return "image/png", draw_sample_face()

    def _faces(self) -> tuple[str, bytes]:
        picture, whole = self._body(), bool(self._query("whole"))
        return self._computed(lambda: describe_faces(self.server.predictor, picture, whole))

    def _explain(self) -> tuple[str, bytes]:
        about = self.server.predictor.package.manifest
        emotion = self._query("emotion")
        if emotion not in about.emotions:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"emotion is none of {', '.join(about.emotions)}")
        face = self._body()
        return self._computed(lambda: explain_face(self.server.predictor, face, emotion))

    def _computed(self, call: Callable[[], dict[str, Any]]) -> tuple[str, bytes]:
        return "application/json", json.dumps(self.server.executor.submit(call).result()).encode()

    def _query(self, key: str) -> str:
        return parse_qs(self._address().query).get(key, [""])[-1]

    def _address(self) -> SplitResult:
        try:
            address = urlsplit(self.path)
        except ValueError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, "that is no address") from error
        if address.netloc not in ("", *self.server.hosts):
            raise RequestError(HTTPStatus.MISDIRECTED_REQUEST, f"the demo is at {self.server.url}")
        return address

    def _body(self) -> bytes:
        if self.headers.get("Content-Type") != UPLOAD_TYPE:
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a picture is sent as {UPLOAD_TYPE}")
        stated = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,15}", stated):
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        length = int(stated)
        if length > MAX_UPLOAD_BYTES:
            while length > 0 and (part := self.rfile.read1(65536)):  # who is not heard out does not hear the answer
                length -= len(part)
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"That file is too large: at most {MAX_UPLOAD_BYTES / 1e6:g} MB."
            )
        body = self.rfile.read(length)
        if len(body) < length:
            raise RequestError(HTTPStatus.REQUEST_TIMEOUT, "the picture did not arrive")
        return body

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        why = message or HTTPStatus(code).phrase
        self._send(HTTPStatus(code), "application/json", json.dumps({"error": why}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for header, value in {
            "Content-Type": kind,
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
