"""`fer demo` serves its page until Ctrl-C, and reports why it can't start."""

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
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_page_is_served_until_ctrl_c(package: Path) -> None:
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
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.match(rf"(http://127\.0\.0\.1:{port})   \(press Ctrl-C to stop\)", line)
        assert match, process.stderr.read() if process.stderr else ""
        with urllib.request.urlopen(match[1], timeout=120) as page:
            assert b"# What these networks are" in page.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_port_in_use_is_reported(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        message = call_fer(monkeypatch, "demo", "--model", str(package), "--port", str(port))
    assert message == f"error: port {port} is in use; try --port {port + 1}"


def test_a_wrong_port_and_a_missing_package_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for port in ("80", "65536", "http"):
        assert call_fer(monkeypatch, "demo", "--port", port) == 2
    assert "no package there" in str(call_fer(monkeypatch, "demo", "--model", str(tmp_path)))
