"""`fer demo` serves the page until it is told to end, and says why where it can't."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from bundles import write_package
from commands import call_fer

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "package")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_it_serves_the_page_until_it_is_interrupted(package: Path) -> None:
    (package / "card.md").write_text("# What these networks are", encoding="utf-8")
    call = "from fer.cli import main; main()"
    port = str(free_port())
    with subprocess.Popen(
        [sys.executable, "-c", call, "demo", "--model", str(package), "--port", port],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FER_DEVICE": "cpu"},
    ) as served:
        assert served.stdout is not None
        line = served.stdout.readline()
        found = re.match(rf"(http://127\.0\.0\.1:{port})   \(Ctrl-C ends it\)", line)
        assert found, served.stderr.read() if served.stderr else ""
        with urllib.request.urlopen(found[1], timeout=120) as page:
            assert b"# What these networks are" in page.read()
        served.send_signal(signal.SIGINT)
        assert served.wait(120) == 0
        assert served.stderr is not None
        assert served.stderr.read() == ""


def test_a_taken_port_is_told(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = call_fer(monkeypatch, "demo", "--model", str(package), "--port", str(port))
    assert said == f"error: port {port} is taken; try --port {port + 1}"


def test_what_is_no_port_or_no_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for port in ("80", "65536", "http"):
        assert call_fer(monkeypatch, "demo", "--port", port) == 2
    assert "no package there" in str(call_fer(monkeypatch, "demo", "--model", str(tmp_path)))
