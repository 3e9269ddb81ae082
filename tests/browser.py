"""A headless Chromium, told what to do by the DevTools protocol through its pipe: it needs no driver and no package."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
CONTRAST_SCRIPT = """
element => {
  const style = each => getComputedStyle(each);
  const parts = colour => colour.match(/[0-9.]+/g).map(Number);
  let behind = element;
  while (parts(style(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) =>
    0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255) + 0.05;
  const both = [style(element).color, style(behind).backgroundColor].map(parts).map(luminance);
  return Math.max(...both) / Math.min(...both);
}"""


class BrowserPage:
    """A page that is open in the browser."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._number, self._session = 0, ""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.console: list[str] = []  # in the console: errors, what the policy forbids
        for domain in ("BrowserPage", "Runtime", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        self._commands.write(
            json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.console.append(json.dumps(answer["params"]))

    def _read(self) -> Any:
        text = bytearray()
        while (byte := self._answers.read(1)) not in (b"\0", b""):
            text += byte
        assert byte, "the browser has ended"
        return json.loads(text)

    def evaluate(self, script: str) -> Any:
        """The value of a script's last expression; a promise is waited for."""
        found = self(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
            replMode=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, url: str) -> None:
        for address in ("about:blank", url):
            assert "errorText" not in self("Page.navigate", url=address), f"{address} does not open"
            self.wait_until(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(address)})")

    def wait_until(self, condition: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < end, (
                f"{condition} has not come true; the page says: {self.evaluate('document.body.innerText')}"
            )
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        return list(
            self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.innerText)")
        )

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def drop(self, selector: str, file: Path) -> None:
        """Drag a file over the element and drop it there, as a hand with a mouse does."""
        at = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.evaluate(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({at})")
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def contrast(self, selector: str) -> float:
        """How much an element's text stands out from what is behind it, as WCAG 2 defines it; 4.5 is legible."""
        return float(self.evaluate(f"({CONTRAST_SCRIPT})(document.querySelector({json.dumps(selector)}))"))

    def set_viewport(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Show the page at this size, in pixels, in light or dark."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@contextmanager
def open_chromium(folder: Path, *flags: str) -> Iterator[BrowserPage]:
    """A page in a browser that keeps its things in `folder`. Without a browser the test is skipped, in words."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    (reads, commands), (answers, writes) = os.pipe(), os.pipe()
    # the browser reads commands from its file 3 and writes answers to its file 4
    line = f'exec "$@" 3<&{reads} 4>&{writes}'
    browser = subprocess.Popen(
        ["bash", "-c", line, "bash", program, *CHROMIUM_FLAGS, f"--user-data-dir={folder}", *flags],
        pass_fds=(reads, writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(reads)
    os.close(writes)
    with os.fdopen(commands, "wb", buffering=0) as to_browser, os.fdopen(answers, "rb") as from_browser, browser:
        try:
            yield BrowserPage(to_browser, from_browser)
        finally:
            browser.kill()
