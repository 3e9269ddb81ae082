"""The commands of the README and of docs/own_data.md, on drawn faces and with a stub of DVC."""

import re
import shlex
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from bundles import write_package
from commands import call_fer, write_fer2013_csv, write_images
from PIL import Image

from fer.data.synthetic.portraits import draw_portrait
from fer.params import load_params

ROOT = Path(__file__).parents[2]
OWN_DATA = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
DETECTABLE_SEED = 52  # the cascade detects the face drawn with this seed


@pytest.fixture
def home(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with the files that the pages name. Commands run in the project beside it."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    portrait = draw_portrait("neutral", 0.0, np.random.default_rng(DETECTABLE_SEED)).resize((200, 200))
    photo = Image.new("RGB", (400, 300), (130, 130, 130))
    photo.paste(portrait, (100, 50))
    for emotion in ("Angry", "joy", "neutral"):
        write_images(home / "faces/labelled" / emotion)
    for folder in ("faces/unlabelled", "portraits"):
        write_images(home / folder)
    for folder in ("Downloads", "Pictures/party", "Videos"):
        (home / folder).mkdir(parents=True)
    with tarfile.open(home / "Downloads/fer2013.tar.gz", "w:gz") as archive:
        archive.add(write_fer2013_csv(tmp_path / "fer2013.csv"), "fer2013/fer2013.csv")
    for path in (home / "Pictures/party/1.jpg", home / "portraits/large.png", project / "selfie.jpg"):
        photo.save(path)
    for path in (home / "Videos/talk.mp4", project / "party.mp4"):
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, photo.size)
        for _ in range(3):
            writer.write(cv2.cvtColor(np.asarray(photo), cv2.COLOR_RGB2BGR))
        writer.release()
    return home


def commands(page: str, name: str) -> list[list[str]]:
    """Return the arguments of each `fer` command `name` in the blocks of a page, with ~ expanded."""
    lines = re.findall(rf"^    fer ({name} .*)", page, re.MULTILINE)
    return [[str(Path(word).expanduser()) for word in shlex.split(line, comments=True)] for line in lines]


def test_the_commands_of_own_data_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in commands(OWN_DATA, "add"):
        assert call_fer(monkeypatch, *command) is None
    readers = dict(re.findall(r"^(\w+): [\d,]+ faces, read as (\w+)$", capsys.readouterr().out, re.MULTILINE))
    assert readers == {
        "fer2013": "fer2013_csv",
        "mine": "class_folders",
        "pool": "tree",
        "party": "photos",
        "talk": "photos",
        "portraits": "tree",
    }
    assert load_params().sources == list(readers)
    preview, remove = commands(OWN_DATA, "remove")
    assert "would delete data/raw/pool" in str(call_fer(monkeypatch, *preview))
    assert call_fer(monkeypatch, *remove) is None
    assert load_params().sources == [name for name in readers if name != "pool"]


def test_the_program_that_turns_a_list_of_labels_into_folders_works(home: Path) -> None:
    table = {"file": [f"{home}/portraits/{n}.png" for n in range(3)], "emotion": ["joy", "sad", "joy"], "age": 1}
    pd.DataFrame(table).to_csv("labels.csv")
    (program,) = re.findall("```python\n(.*?)```", OWN_DATA, re.DOTALL)
    exec(program, {})
    assert [len(list(Path("labelled", emotion).iterdir())) for emotion in ("joy", "sad")] == [2, 1]


def test_the_commands_of_the_readme_for_images_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").mkdir()
    write_package(Path("data/package"))
    for name, count in (("predict", 2), ("explain", 1), ("export", 1)):
        examples = commands(README, name)
        assert len(examples) == count
        for command in examples:
            assert call_fer(monkeypatch, *command) is None, capsys.readouterr().err
    assert len(pd.read_csv("found.csv").query("status == 'ok'")) == 2
    for output in ("copies/party.annotated.mp4", "explained/0001.explained.png", "model.onnx"):
        assert Path(output).stat().st_size > 1000


def test_the_program_that_samples_faces_to_label_by_hand_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/pseudo_labels/1").mkdir(parents=True)
    faces = {"id": [f"{n}.png" for n in range(600)], "source": ["pool", "other"] * 300}
    pd.DataFrame(faces | {"accepted": [True, True, False] * 200}).to_csv("data/pseudo_labels/1/labels.csv")
    page = (ROOT / "docs" / "pseudo_labels.md").read_text(encoding="utf-8")
    (program,) = re.findall(r'\$ python -c "(.*?)"\n', page, re.DOTALL)
    exec(re.sub(r"^ +", "", program.replace('\\"', '"'), flags=re.MULTILINE), {})
    sample = pd.read_csv("truth.csv")
    assert sample["file"].is_unique
    assert (len(sample), sample["emotion"].isna().all()) == (200, True)
