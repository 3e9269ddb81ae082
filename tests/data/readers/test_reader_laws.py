"""Properties of every reader, checked on a small tree in the owner's layout."""

import random
from pathlib import Path
from types import ModuleType

import pytest
import trees
from PIL import Image

from fer.data.ingest.detect import GENERAL_READERS, READERS
from fer.data.media.folders import IMAGE_SUFFIXES, Folder, Note
from fer.data.readers import (
    afew,
    celeba,
    class_folders,
    disfa,
    fairface,
    ffhq,
    jaffe,
    kdef,
    lfw,
    photos,
    sfew,
    tree,
    utkface,
    wider,
)
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record

TREES: dict[ModuleType, dict[str, str]] = {  # name -> content, "" for images and videos
    afew: {"Train_AFEW/Angry/000046280.avi": "", "Val_AFEW/Sad/000046281.avi": "", "Test_AFEW/000046282.avi": ""},
    celeba: {"img_align_celeba/000001.jpg": "", "identity_CelebA.txt": "000001.jpg 2880\n"},
    disfa: {
        "Videos_LeftCamera/LeftVideoSN001_comp.avi": "",
        "Videos_RightCamera/RightVideoSN001_comp.avi": "",
        **{f"ActionUnit_Labels/SN001/SN001_au{unit}.txt": "1,0\n2,3\n" for unit in disfa.DISFA_ACTION_UNITS},
    },
    fairface: {"train/1.jpg": "", "val/1.jpg": "", "fairface_label_train.csv": "file,age,gender,race,service_test\n"},
    ffhq: {"thumbnails128x128/00000/00000.png": "", "thumbnails128x128/69000/69999.png": ""},
    jaffe: {"KA.AN1.39.tiff": "", "YM.SU2.9.tiff": "", "KA.NE3.28.tiff": "", "README": "by Lyons"},
    kdef: {"AF01/AF01ANS.JPG": "", "BF01/BF01HAHL.JPG": "", "AM35/AM35AFS.JPG": ""},
    lfw: {"A_B/A_B_0001.jpg": "", "C_D/C_D_0001.jpg": "", "C_D/C_D_0002.jpg": ""},
    sfew: {
        "Train/Angry/Airheads_000519240_00000005.png": "",
        "Train_Aligned_Faces/Angry/Airheads_000519240_00000005.png": "",
        "Val/Happy/21_000143560_00000012.png": "",
        "Test/HangOver_001234567_00000001.png": "",
    },
    utkface: {"26_0_2_20170104023102422.jpg": "", "1_1_20170109142408075.jpg.chip.jpg": ""},
    wider: {
        "WIDER_train/images/0--Parade/0_1.jpg": "",
        "WIDER_test/images/1--March/1_2.jpg": "",
        "wider_face_split/wider_face_train_bbx_gt.txt": "0--Parade/0_1.jpg\n1\n4 3 22 14 0 0 0 0 0 0\n",
    },
    class_folders: {"train/angry/1.jpg": "", "train/sad/1.jpg": "", "test/HAPPY/1.jpg": "", "train/bored/2.jpg": ""},
    photos: {"a/1.jpg": "", "b/c/film.mp4": ""},
    tree: {"a/1.jpg": "", "b/c/2.png": "", "truth.csv": "file,emotion\na/1.jpg,happy\n"},
}
GENERAL = (class_folders, photos, tree)  # they read what no other reader recognises
readers = pytest.mark.parametrize("reader", TREES, ids=lambda reader: reader.__name__.rpartition(".")[2])


def write_tree(root: Path, reader: ModuleType, order: random.Random | None = None) -> Path:
    names = list(TREES[reader])
    if order:
        order.shuffle(names)
    for name in names:
        if name.lower().endswith(IMAGE_SUFFIXES):
            trees.save_image(root / name)
        else:
            trees.write_file(root / name, TREES[reader][name])
    return root


def read_contents(reader: ModuleType, root: Folder, rules: Ingest) -> list[object]:
    """Return all that a reader yields, apart from the images."""
    contents: list[object] = []
    for item in reader.read(root, rules):
        if isinstance(item, Record):
            values = (item.emotion, item.fold, item.group, item.truth, item.face_mode, item.box, item.by_rule)
            contents.append((item.id, *values, tuple((item.frame_emotions or {}).items())))
        elif isinstance(item, Note):
            contents.append(item)
        else:
            contents.append((item.id, item.reason, item.is_defect))
    return contents


@readers
def test_a_reader_matches_and_describes_its_own_layout(tmp_path: Path, rules: Ingest, reader: ModuleType) -> None:
    root = Folder(write_tree(tmp_path, reader))
    assert reader.matches(root)
    assert any(isinstance(item, Record) for item in reader.read(root, rules))
    assert reader.LAYOUT
    assert reader.LICENSE_TERMS


@readers
def test_no_other_reader_matches_the_layout(tmp_path: Path, reader: ModuleType) -> None:
    root = Folder(write_tree(tmp_path, reader))
    specific_readers = {*TREES, *READERS} - {reader, *GENERAL, *GENERAL_READERS}
    assert [candidate.__name__ for candidate in specific_readers if candidate.matches(root)] == []


@readers
@pytest.mark.parametrize("disfa_rules", [False, True])
def test_an_archive_gives_the_same_items_as_the_folder(
    tmp_path: Path, rules: Ingest, reader: ModuleType, disfa_rules: bool
) -> None:
    rules = rules.model_copy(update={"disfa_rules": disfa_rules})
    root = write_tree(tmp_path / "folder", reader)
    archive = trees.zip_folder(root, tmp_path / "packed.zip")
    assert reader.matches(archive)
    assert read_contents(reader, archive, rules) == read_contents(reader, Folder(root), rules)


@readers
def test_the_order_of_writing_and_system_files_make_no_difference(
    tmp_path: Path, rules: Ingest, reader: ModuleType
) -> None:
    first = write_tree(tmp_path / "first", reader)
    second = write_tree(tmp_path / "second", reader, random.Random(0))
    for name in ("__MACOSX/1.jpg", ".DS_Store", "Thumbs.db", "._1.jpg", "._2.avi"):
        (second / name).parent.mkdir(exist_ok=True)
        (second / name).write_bytes(b"")
    assert read_contents(reader, Folder(first), rules) == read_contents(reader, Folder(second), rules)


@readers
def test_every_image_is_reported_exactly_once(tmp_path: Path, rules: Ingest, reader: ModuleType) -> None:
    root = write_tree(tmp_path, reader)
    ids = [item.id.partition("#")[0] for item in reader.read(Folder(root), rules) if not isinstance(item, Note)]
    files = (
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in (*IMAGE_SUFFIXES, ".avi")
    )
    assert sorted(id for id in ids if not id.endswith(".mp4")) == sorted(files)


@readers
def test_reading_decodes_no_image(
    tmp_path: Path, rules: Ingest, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path, reader)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("an image was decoded"))
    assert reader.matches(Folder(root))
    list(reader.read(Folder(root), rules))
