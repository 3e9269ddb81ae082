"""The commands of the README and of docs/own_data.md, on faces that are drawn here; DVC's part is done by a stub."""

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
SEEN = 52  # a drawn person whom the cascade takes for a face


@pytest.fixture
def home(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with what the pages find there. Commands run in the project beside it."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    picture = draw_portrait("neutral", 0.0, np.random.default_rng(SEEN)).resize((200, 200))
    photograph = Image.new("RGB", (400, 300), (130, 130, 130))
    photograph.paste(picture, (100, 50))
    for emotion in ("Angry", "joy", "neutral"):
        write_images(home / "faces/labelled" / emotion)
    for folder in ("faces/unlabelled", "portraits"):
        write_images(home / folder)
    for folder in ("Downloads", "Pictures/party", "Videos"):
        (home / folder).mkdir(parents=True)
    with tarfile.open(home / "Downloads/fer2013.tar.gz", "w:gz") as archive:
        archive.add(write_fer2013_csv(tmp_path / "fer2013.csv"), "fer2013/fer2013.csv")
    for path in (home / "Pictures/party/1.jpg", home / "portraits/large.png", project / "selfie.jpg"):
        photograph.save(path)
    for path in (home / "Videos/talk.mp4", project / "party.mp4"):
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, photograph.size)
        for _ in range(3):
            writer.write(cv2.cvtColor(np.asarray(photograph), cv2.COLOR_RGB2BGR))
        writer.release()
    return home


def commands(page: str, name: str) -> list[list[str]]:
    """The words of each `fer` command `name` in the blocks of a page, ~ replaced."""
    lines = re.findall(rf"^    fer ({name} .*)", page, re.MULTILINE)
    return [[str(Path(word).expanduser()) for word in shlex.split(line, comments=True)] for line in lines]


def test_what_own_data_says_works(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in commands(OWN_DATA, "add"):
        assert call_fer(monkeypatch, *command) is None
    read = dict(re.findall(r"^(\w+): [\d,]+ faces, read as (\w+)$", capsys.readouterr().out, re.MULTILINE))
    assert read == {
        "fer2013": "fer2013_csv",
        "mine": "class_folders",
        "pool": "tree",
        "party": "photos",
        "talk": "photos",
        "portraits": "tree",
    }
    assert load_params().sources == list(read)
    asked, done = commands(OWN_DATA, "remove")
    assert "would delete data/raw/pool" in str(call_fer(monkeypatch, *asked))
    assert call_fer(monkeypatch, *done) is None
    assert load_params().sources == [name for name in read if name != "pool"]


def test_a_list_of_labels_becomes_folders(home: Path) -> None:
    table = {"file": [f"{home}/portraits/{n}.png" for n in range(3)], "emotion": ["joy", "sad", "joy"], "age": 1}
    pd.DataFrame(table).to_csv("labels.csv")
    (program,) = re.findall("```python\n(.*?)```", OWN_DATA, re.DOTALL)
    exec(program, {})
    assert [len(list(Path("labelled", emotion).iterdir())) for emotion in ("joy", "sad")] == [2, 1]


def test_what_the_readme_says_of_photographs_works(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").mkdir()
    write_package(Path("data/package"))
    for name, count in (("predict", 2), ("explain", 1), ("export", 1)):
        shown = commands(README, name)
        assert len(shown) == count
        for command in shown:
            assert call_fer(monkeypatch, *command) is None, capsys.readouterr().err
    assert len(pd.read_csv("found.csv").query("status == 'ok'")) == 2
    for made in ("copies/party.annotated.mp4", "explained/0001.explained.png", "model.onnx"):
        assert Path(made).stat().st_size > 1000


def test_a_sample_to_label_by_hand_is_written_as_pseudo_labels_md_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/pseudo_labels/1").mkdir(parents=True)
    faces = {"id": [f"{n}.png" for n in range(600)], "source": ["pool", "other"] * 300}
    pd.DataFrame(faces | {"accepted": [True, True, False] * 200}).to_csv("data/pseudo_labels/1/labels.csv")
    page = (ROOT / "docs" / "pseudo_labels.md").read_text(encoding="utf-8")
    (program,) = re.findall(r'\$ python -c "(.*?)"\n', page, re.DOTALL)
    exec(re.sub(r"^ +", "", program.replace('\\"', '"'), flags=re.MULTILINE), {})
    asked = pd.read_csv("truth.csv")
    assert asked["file"].is_unique
    assert (len(asked), asked["emotion"].isna().all()) == (200, True)
