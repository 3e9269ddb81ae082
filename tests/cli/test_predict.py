"""`fer predict` writes a row for each face of its sources, and reports failures by its exit code."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from bundles import write_package
from commands import call_fer, write_images
from PIL import Image

from fer.data.media import video
from fer.serving.face_finder import MAX_CROP_PX
from fer.serving.outputs import result_columns
from fer.serving.statuses import STATUS_MEANINGS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "predict.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("bundle") / "package")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of three images; the command runs in its parent."""
    monkeypatch.chdir(tmp_path)
    return write_images(tmp_path / "faces")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_csv(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "predict", "faces", "--model", str(package), "-o", "new/a.csv") is None
    rows = read_rows(Path("new/a.csv"))
    assert [row["source"] for row in rows] == ["faces/0.png", "faces/1.png", "faces/2.png"]
    assert all(row["accepted"] == str(row["label"] == "angry") for row in rows)
    assert all(float(row["p_angry"]) + float(row["p_happy"]) == pytest.approx(1, abs=1e-5) for row in rows)
    assert "3 faces" in capsys.readouterr().err


def test_unreadable_sources_have_a_row_and_the_exit_code_is_1(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "1.png").write_bytes(b"")
    arguments = ["faces", "nowhere.jpg", "faces/0.png", "--model", str(package), "-o", "a.jsonl"]
    assert call_fer(monkeypatch, "predict", *arguments) == 1
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "unreadable", "ok", "missing", "ok"]
    output = capsys.readouterr().err
    assert "faces/1.png: empty file" in output
    assert "failed: 1 missing, 1 unreadable" in output


def test_sources_are_read_from_standard_input(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"faces/2.png\r\n\nfaces\nfaces/[01].png\n")))
    assert call_fer(monkeypatch, "predict", "-", "--model", str(package)) is None
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row["source"] for row in rows] == [f"faces/{number}.png" for number in (2, 0, 1, 2, 0, 1)]


def test_a_carriage_return_in_a_file_name_starts_no_row(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "0.png").rename(folder / "a\rb.png")
    assert call_fer(monkeypatch, "predict", "faces", "--model", str(package), "-o", "a.csv") is None
    assert [row["source"] for row in read_rows(Path("a.csv"))] == ["faces/1.png", "faces/2.png", r"faces/a\rb.png"]


@pytest.mark.parametrize(
    ("closed", "sources", "code", "line"),
    [
        ("<&-", "-", 2, "standard input is closed"),
        (">&-", "faces", 2, "standard output is closed"),
        ("<&- >&-", "faces -o a.csv", 0, ""),
    ],
)
def test_a_closed_stream_is_reported_only_if_it_is_needed(
    folder: Path, package: Path, closed: str, sources: str, code: int, line: str
) -> None:
    command = f"'{sys.executable}' -c 'from fer.cli import main; main()' predict {sources} --model '{package}' {closed}"
    done = subprocess.run(
        command, shell=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert line in done.stderr.splitlines()[-1]


def test_a_file_name_becomes_no_spreadsheet_formula(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "0.png").rename("=1+1.png")
    assert call_fer(monkeypatch, "predict", "=1+1.png", "--model", str(package), "-o", "a.csv") is None
    assert [row["source"] for row in read_rows(Path("a.csv"))] == ["'=1+1.png"]


def test_only_annotation_loads_matplotlib(folder: Path, package: Path) -> None:
    code = "import sys; from fer.cli import main; main(); print('matplotlib' in sys.modules, file=sys.stderr)"
    for options, is_loaded in ([], False), (["--annotate", "copies"], True):
        arguments = [sys.executable, "-c", code, "predict", "faces/0.png", "--model", package, *options]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == str(is_loaded)


def test_annotated_copies_are_written_into_their_folder(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["faces", "faces/0.png", "--model", str(package), "-o", "a.csv", "--annotate", "copies"]
    assert call_fer(monkeypatch, "predict", *arguments) is None
    names = [path.name for path in sorted(Path("copies").iterdir())]
    assert names == [f"{name}.annotated.jpg" for name in ("0-2", "0", "1", "2")]
    with Image.open("copies/0.annotated.jpg") as copy:
        assert copy.size == (360, 360)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["faces", "-o", "a.txt"], "a.txt must end in .csv or .jsonl"),
        (["faces", "-o", "there.csv"], "there.csv exists and is not a file"),
        (["faces", "--fps", "0"], "0 is not a number above 0"),
        (["faces", "--fps", "nan"], "nan is not a number above 0"),
        (["faces", "--format", "fer", "-o", "a.csv"], "--format fer writes .jsonl, not a.csv"),
        (["faces", "--annotate", "faces/0.png"], "faces/0.png exists and is not a folder"),
        (["faces", "--annotate", "a.csv", "-o", "./a.csv"], "are both a.csv"),
        (["faces", "--annotate", "faces/new"], "faces/new is inside the source faces"),
        ([], "SOURCE"),
    ],
)
def test_a_wrong_command_has_the_exit_code_2_and_changes_nothing(
    folder: Path,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    Path("there.csv").mkdir()
    paths = sorted(Path().rglob("*"))
    assert call_fer(monkeypatch, "predict", *arguments, "--model", str(package)) == 2
    assert message in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == paths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nowhere"], "nowhere: no package there"),
        (["--detector", "nowhere.onnx", "--faces", "detect"], "nowhere.onnx: no such file; a detector is haar"),
        (["-o", "faces/0.png/a.csv"], "faces/0.png/a.csv: can't be written:"),
    ],
)
def test_a_failure_is_reported_in_one_line(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    error = call_fer(monkeypatch, "predict", "faces", "--model", str(package), *arguments)
    assert isinstance(error, str)
    assert (message in error, error.count("\n")) == (True, 0)


def test_help_and_page_explain_every_status_and_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "predict", "--help") == 0
    output, page = capsys.readouterr().out, PAGE.read_text()
    for status, meaning in STATUS_MEANINGS.items():
        assert f"  {status} " in output
        assert meaning in output
        assert f"| `{status}` | {meaning} |" in page
    assert all(f"`{column}`" in page for column in result_columns(["angry"]))
    assert f"at most {MAX_CROP_PX} pixels" in " ".join(output.split())
    assert f"most {MAX_CROP_PX} pixels" in page


def test_the_examples_of_the_page_work(folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(package, "data/package")
    folder.rename("portraits")
    shutil.copytree("portraits", "holiday/beach")
    with Image.open("portraits/0.png") as image:
        for name in ("selfie.jpg", "holiday/beach/a.jpg"):
            image.save(name)
    shutil.make_archive("album", "zip", "portraits")
    writer = cv2.VideoWriter("party.mp4", cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"selfie.jpg\n")))  # as `find` would print
    commands = [line.partition(" #")[0] for line in re.findall("^    (.*fer predict.*)", PAGE.read_text(), re.M)]
    assert len(commands) == 5
    for command in commands:
        with monkeypatch.context() as patch:
            if "predict 0" in command:
                patch.setattr(video.cv2, "VideoCapture", lambda number: Camera())
            assert (
                call_fer(monkeypatch, *shlex.split(command.split("| fer" if "|" in command else "fer", 1)[1])) is None
            )
    assert len(read_rows(Path("found.csv"))) == 6
    pixels = np.zeros((64, 64, 3), np.uint8)
    names = {"image": pixels, "images": lambda: iter([pixels])}
    for program in re.findall("```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(program, names)


@pytest.mark.parametrize(
    ("redirection", "code", "message"), [("| head -c 1", 0, b""), ("> /dev/full", 1, b"No space left")]
)
def test_a_closed_pipe_and_a_full_disk_cause_no_traceback(
    folder: Path, package: Path, redirection: str, code: int, message: bytes
) -> None:
    command = f"'{sys.executable}' -c 'from fer.cli import main; main()' predict {'faces ' * 300} --model '{package}'"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} {redirection}"], env=environment, capture_output=True, check=False
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert message in done.stderr


class Camera:
    """A stub of a camera with six frames, which can raise Ctrl-C during the fourth."""

    def __init__(self, opened: bool = True, interrupted: bool = False) -> None:
        self.opened, self.interrupted, self.frame = opened, interrupted, 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def grab(self) -> bool:
        self.frame += 1
        if self.interrupted and self.frame == 4:
            video.signal.raise_signal(video.signal.SIGINT)
        return self.frame <= 6

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((48, 48, 3), 40, np.uint8)

    def get(self, key: int) -> float:
        return 0.0

    def release(self) -> None:
        pass


@pytest.mark.parametrize(
    ("camera", "code", "statuses"),
    [
        (Camera(), None, ["ok"] * 6),
        (Camera(interrupted=True), None, ["ok"] * 4),
        (Camera(opened=False), 1, ["missing"]),
    ],
)
def test_a_camera_is_read_until_ctrl_c(
    folder: Path,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    camera: Camera,
    code: int | None,
    statuses: list[str],
) -> None:
    monkeypatch.setattr(video.cv2, "VideoCapture", lambda number: camera)
    handler = video.signal.getsignal(video.signal.SIGINT)
    assert call_fer(monkeypatch, "predict", "0", "--model", str(package), "-o", "a.csv") == code
    rows = read_rows(Path("a.csv"))
    assert [(row["source"], row["status"]) for row in rows] == [("0", status) for status in statuses]
    times = [float(row["time_s"]) for row in rows if row["time_s"]]
    assert times == sorted(times)
    assert video.signal.getsignal(video.signal.SIGINT) is handler
