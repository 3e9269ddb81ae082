"""`fer predict` looks at what it is told to, writes a row for it, and ends with a code that says how it went."""

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
    """The folder in which the command runs, with three pictures in it."""
    monkeypatch.chdir(tmp_path)
    return write_images(tmp_path / "faces")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_csv(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "predict", "faces", "--model", str(package), "-o", "new/a.csv") is None
    found = rows(Path("new/a.csv"))
    assert [row["source"] for row in found] == ["faces/0.png", "faces/1.png", "faces/2.png"]
    assert all(row["accepted"] == str(row["label"] == "angry") for row in found)
    assert all(float(row["p_angry"]) + float(row["p_happy"]) == pytest.approx(1, abs=1e-5) for row in found)
    assert "3 faces" in capsys.readouterr().err


def test_what_can_not_be_read_has_a_row_and_the_code_1(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "1.png").write_bytes(b"")
    arguments = ["faces", "nowhere.jpg", "faces/0.png", "--model", str(package), "-o", "a.jsonl"]
    assert call_fer(monkeypatch, "predict", *arguments) == 1
    found = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [row["status"] for row in found] == ["ok", "unreadable", "ok", "missing", "ok"]
    said = capsys.readouterr().err
    assert "faces/1.png: empty file" in said
    assert "failed: 1 missing, 1 unreadable" in said


def test_a_list_comes_by_standard_input(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"faces/2.png\r\n\nfaces\nfaces/[01].png\n")))
    assert call_fer(monkeypatch, "predict", "-", "--model", str(package)) is None
    found = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row["source"] for row in found] == [f"faces/{number}.png" for number in (2, 0, 1, 2, 0, 1)]


def test_a_carriage_return_in_a_name_begins_no_row(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "0.png").rename(folder / "a\rb.png")
    assert call_fer(monkeypatch, "predict", "faces", "--model", str(package), "-o", "a.csv") is None
    assert [row["source"] for row in rows(Path("a.csv"))] == ["faces/1.png", "faces/2.png", r"faces/a\rb.png"]


@pytest.mark.parametrize(
    ("closed", "sources", "code", "line"),
    [
        ("<&-", "-", 2, "standard input is closed"),
        (">&-", "faces", 2, "standard output is closed"),
        ("<&- >&-", "faces -o a.csv", 0, ""),
    ],
)
def test_what_is_closed_is_told_where_it_is_needed(
    folder: Path, package: Path, closed: str, sources: str, code: int, line: str
) -> None:
    command = f"{sys.executable} -c 'from fer.cli import main; main()' predict {sources} --model {package} {closed}"
    done = subprocess.run(
        command, shell=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert line in done.stderr.splitlines()[-1]


def test_a_name_is_no_formula(folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "0.png").rename("=1+1.png")
    assert call_fer(monkeypatch, "predict", "=1+1.png", "--model", str(package), "-o", "a.csv") is None
    assert [row["source"] for row in rows(Path("a.csv"))] == ["'=1+1.png"]


def test_copies_are_annotated_below_their_folder(folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["faces", "faces/0.png", "--model", str(package), "-o", "a.csv", "--annotate", "copies"]
    assert call_fer(monkeypatch, "predict", *arguments) is None
    names = [path.name for path in sorted(Path("copies").iterdir())]
    assert names == [f"{name}.annotated.jpg" for name in ("0-2", "0", "1", "2")]
    with Image.open("copies/0.annotated.jpg") as copy:
        assert copy.size == (360, 360)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["faces", "-o", "a.txt"], "a.txt ends in neither .csv nor .jsonl"),
        (["faces", "-o", "there.csv"], "there.csv is there, and is no file"),
        (["faces", "--fps", "0"], "0 is no rate above 0"),
        (["faces", "--fps", "nan"], "nan is no rate above 0"),
        (["faces", "--format", "fer", "-o", "a.csv"], "--format fer writes .jsonl, not a.csv"),
        (["faces", "--annotate", "faces/0.png"], "faces/0.png is there, and is no folder"),
        (["faces", "--annotate", "a.csv", "-o", "./a.csv"], "both are a.csv"),
        (["faces", "--annotate", "faces/new"], "lies in faces, which is searched"),
        ([], "SOURCE"),
    ],
)
def test_a_wrong_command_has_the_code_2_and_touches_nothing(
    folder: Path,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    Path("there.csv").mkdir()
    before = sorted(Path().rglob("*"))
    assert call_fer(monkeypatch, "predict", *arguments, "--model", str(package)) == 2
    assert told in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "nowhere"], "nowhere: no package there"),
        (["--detector", "nowhere.onnx", "--faces", "detect"], "nowhere.onnx: no such file; a detector is haar"),
        (["-o", "faces/0.png/a.csv"], "faces/0.png/a.csv: can't be written:"),
    ],
)
def test_what_can_not_be_done_is_one_line(
    folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    said = call_fer(monkeypatch, "predict", "faces", "--model", str(package), *arguments)
    assert isinstance(said, str)
    assert (told in said, said.count("\n")) == (True, 0)


def test_help_and_page_explain_every_status_and_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "predict", "--help") == 0
    said, page = capsys.readouterr().out, PAGE.read_text()
    for status, meaning in STATUS_MEANINGS.items():
        assert f"  {status} " in said
        assert meaning in said
        assert f"| `{status}` | {meaning} |" in page
    assert all(f"`{column}`" in page for column in result_columns(["angry"]))
    assert f"at most {MAX_CROP_PX} pixels" in " ".join(said.split())
    assert f"most {MAX_CROP_PX} pixels" in page


def test_what_the_page_shows_works(folder: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"selfie.jpg\n")))  # what `find` would say
    commands = [line.partition(" #")[0] for line in re.findall("^    (.*fer predict.*)", PAGE.read_text(), re.M)]
    assert len(commands) == 5
    for command in commands:
        with monkeypatch.context() as patch:
            if "predict 0" in command:
                patch.setattr(video.cv2, "VideoCapture", lambda number: Camera())
            assert (
                call_fer(monkeypatch, *shlex.split(command.split("| fer" if "|" in command else "fer", 1)[1])) is None
            )
    assert len(rows(Path("found.csv"))) == 6
    pixels = np.zeros((64, 64, 3), np.uint8)
    names = {"image": pixels, "images": lambda: iter([pixels])}
    for program in re.findall("```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(program, names)


@pytest.mark.parametrize(("place", "code", "said"), [("| head -c 1", 0, b""), ("> /dev/full", 1, b"No space left")])
def test_readers_that_leave_and_full_disks_end_it_without_a_traceback(
    folder: Path, package: Path, place: str, code: int, said: bytes
) -> None:
    command = f"'{sys.executable}' -c 'from fer.cli import main; main()' predict {'faces ' * 300} --model '{package}'"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} {place}"], env=environment, capture_output=True, check=False
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert said in done.stderr


# A camera


class Camera:
    """Six frames, and Ctrl-C during the fourth if wanted."""

    def __init__(self, opened: bool = True, interrupted: bool = False) -> None:
        self.opened, self.interrupted, self.shown = opened, interrupted, 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def grab(self) -> bool:
        self.shown += 1
        if self.interrupted and self.shown == 4:
            video.signal.raise_signal(video.signal.SIGINT)
        return self.shown <= 6

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
def test_a_camera_is_looked_through_until_ctrl_c(
    folder: Path,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    camera: Camera,
    code: int | None,
    statuses: list[str],
) -> None:
    monkeypatch.setattr(video.cv2, "VideoCapture", lambda number: camera)
    before = video.signal.getsignal(video.signal.SIGINT)
    assert call_fer(monkeypatch, "predict", "0", "--model", str(package), "-o", "a.csv") == code
    found = rows(Path("a.csv"))
    assert [(row["source"], row["status"]) for row in found] == [("0", status) for status in statuses]
    times = [float(row["time_s"]) for row in found if row["time_s"]]
    assert times == sorted(times)
    assert video.signal.getsignal(video.signal.SIGINT) is before
