"""A headless Chromium, controlled by the DevTools protocol through a pipe; it needs no driver and no package."""

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
    "--no-sandbox",  # the sandbox does not work for root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
CONTRAST_SCRIPT = """
element => {
  const style = node => getComputedStyle(node);
  const channels = colour => colour.match(/[0-9.]+/g).map(Number);
  let background = element;
  while (channels(style(background).backgroundColor)[3] === 0) background = background.parentElement;
  const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) =>
    0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255) + 0.05;
  const colours = [style(element).color, style(background).backgroundColor];
  const luminances = colours.map(channels).map(luminance);
  return Math.max(...luminances) / Math.min(...luminances);
}"""


class BrowserPage:
    """A page in the browser."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._last_id, self._session = 0, ""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.console: list[str] = []  # errors and violations of the content security policy
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> Any:
        """Send a command and return its result."""
        self._last_id += 1
        command = {"id": self._last_id, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._commands.write(json.dumps(command).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last_id:
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
        """Return the value of a script's last expression; wait for it if it is a promise."""
        answer = self(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
            replMode=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        for address in ("about:blank", url):
            assert "errorText" not in self("Page.navigate", url=address), f"{address} does not open"
            self.wait_until(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(address)})")

    def wait_until(self, condition: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, (
                f"{condition} is still false; the text of the page: {self.evaluate('document.body.innerText')}"
            )
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        return list(
            self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(node => node.innerText)")
        )

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def drop(self, selector: str, file: Path) -> None:
        """Drag a file over the element and drop it there, as with a mouse."""
        rect = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.evaluate(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({rect})")
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def contrast(self, selector: str) -> float:
        """Return the contrast ratio of an element's text and background as in WCAG 2, which requires at least 4.5."""
        return float(self.evaluate(f"({CONTRAST_SCRIPT})(document.querySelector({json.dumps(selector)}))"))

    def set_viewport(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the page in pixels and its colour scheme."""
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
    """Open a page in a browser with its profile in `folder`; skip the test if no browser is installed."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    (browser_input, commands), (answers, browser_output) = os.pipe(), os.pipe()
    # Chromium reads commands from file descriptor 3 and writes answers to file descriptor 4.
    shell_command = f'exec "$@" 3<&{browser_input} 4>&{browser_output}'
    browser = subprocess.Popen(
        ["bash", "-c", shell_command, "bash", program, *CHROMIUM_FLAGS, f"--user-data-dir={folder}", *flags],
        pass_fds=(browser_input, browser_output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(browser_input)
    os.close(browser_output)
    with os.fdopen(commands, "wb", buffering=0) as to_browser, os.fdopen(answers, "rb") as from_browser, browser:
        try:
            yield BrowserPage(to_browser, from_browser)
        finally:
            browser.kill()
