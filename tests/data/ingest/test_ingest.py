"""From a source's folder to its faces, labels and report; the last tests run the stage itself."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.core.files import read_json
from fer.core.store import open_faces
from fer.data.ingest import ingest as ingest_ingest
from fer.data.ingest.ingest import ingest
from fer.data.ingest.report import format_ingest_report
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers.record import PixelText, ReaderItem, Record
from fer.params import load_params
from fer.runtime.errors import InputError

PROJECT = Path(__file__).parents[3]


def noise(seed: int, size: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def reader(*items: ReaderItem, pixels: tuple[float, float] | None = None):
    return SimpleNamespace(
        __name__="fer.data.readers.mine",
        LAYOUT="",
        LICENSE_TERMS="for research",
        PIXELS=pixels,
        matches=lambda root: True,
        read=lambda root, rules: iter(items),
    )


def ingested(*items: ReaderItem, max_dropped: float = 0.5, pixels: tuple[float, float] | None = None):
    rules = load_params(PROJECT / "params.yaml").ingest.model_copy(
        update={"size": 48, "max_dropped": max_dropped, "align": False}
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        report = ingest("mine", reader(*items, pixels=pixels), Folder(Path("data/raw/mine")), rules, out)
        tables = (
            pd.read_csv(out / f"{name}.csv", dtype=str, keep_default_na=False)
            for name in ("labels", "truth", "left_out")
        )
        return list(np.load(out / "faces.npy")), *tables, report


def test_row_i_of_labels_and_truth_is_face_i() -> None:
    records = [
        Record("c", noise(0), "happy", "train", group="S1", votes="happy:7 sad:3", by_rule=True),
        Record("a", noise(1), "sad", "test"),
        Record("b", noise(2), truth="fear", raw="fearfully surprised", by_rule=True),
    ]
    faces, labels, truth, left_out, _ = ingested(*records)
    assert all((face == record.image).all() for face, record in zip(faces, records, strict=True))
    assert labels.to_dict("list") == {
        "id": ["c", "a", "b"],
        "emotion": ["happy", "sad", ""],
        "votes": ["happy:7 sad:3", "", ""],
        "raw": ["", "", "fearfully surprised"],
        "by_rule": ["yes", "", ""],
        "fold": ["train", "test", ""],
        "group": ["S1", "", ""],
    }
    assert list(left_out.columns) == ["id", "reason", "detail"]
    assert truth.to_dict("list") == {"id": ["c", "a", "b"], "emotion": ["", "", "fear"]}


def test_the_report_counts_faces_and_measures_pixels() -> None:
    pictures = [noise(seed) for seed in range(4)]
    *_, report = ingested(
        Record("a", pictures[0], "happy", "train"),
        Record("b", pictures[1], "happy", "train"),
        Record("c", pictures[2], "angry", "test"),
        Record("d", pictures[3]),
        Note("hello"),
    )
    assert report["emotions"] == {"angry": {"test": 1}, "happy": {"train": 2}, "unlabelled": {"none": 1}}
    assert report["folds"] == {"train": 2, "test": 1, "none": 1}
    assert (report["source"], report["reader"], report["faces"]) == ("mine", "mine", 4)
    assert report["mean"] == pytest.approx(np.mean(pictures))
    assert report["std"] == pytest.approx(np.std(pictures))
    assert report["pixels"]["train"] == pytest.approx({"mean": np.mean(pictures[:2]), "std": np.std(pictures[:2])})
    assert report["dropped"] == {}
    assert report["notes"] == ["hello"]


def test_what_is_dropped_is_counted_by_reason_with_the_first_three(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"text")
    good = [Record(f"good{seed}", noise(seed)) for seed in range(6)]
    bad = [SkippedItem(f"row {row}", "pixel value", f"{row}") for row in range(4)]
    files = [Record(file.stem, file) for file in Folder(tmp_path).files()]
    expected = SkippedItem("dark", "no face", "640 x 480 pixels", is_defect=False)
    faces, labels, _, left_out, report = ingested(*good, *bad, *files, expected)
    assert len(faces) == len(labels) == 6
    assert left_out["id"].tolist() == ["row 0", "row 1", "row 2", "row 3", "empty", "text", "dark"]
    assert report["left_out"] == {"no face": {"count": 1, "examples": ["dark: 640 x 480 pixels"]}}
    assert report["dropped"] == {
        "empty file": {"count": 1, "examples": ["empty: 0 bytes"]},
        "not a picture": {"count": 1, "examples": ["text: its content is not JPEG, PNG, BMP, WEBP, TIFF"]},
        "pixel value": {"count": 4, "examples": ["row 0: 0", "row 1: 1", "row 2: 2"]},
    }


def test_a_source_may_lose_the_allowed_share_and_not_more() -> None:
    good = [Record(f"good{seed}", noise(seed)) for seed in range(19)]
    bad = [SkippedItem("x.csv:7", "pixel value", "'256'; allowed 0..255"), SkippedItem("y", "empty file", "0 bytes")]
    ingested(*good, bad[0], max_dropped=0.05)
    expected = (
        r"data/raw/mine: 2 of 21 faces can't be used, allowed are 5\.0%: 1 empty file \(first: y: 0 bytes\); "
        r"1 pixel value \(first: x\.csv:7: '256'; allowed 0\.\.255\); .* raise ingest\.max_dropped in params\.yaml"
    )
    with pytest.raises(InputError, match=expected):
        ingested(*good, *bad, max_dropped=0.05)


@pytest.mark.parametrize("items", [[], [SkippedItem("x", "empty file", "0 bytes")]])
def test_a_source_without_a_face_is_an_error(items: Sequence[ReaderItem]) -> None:
    with pytest.raises(InputError, match="data/raw/mine: no face left"):
        ingested(*items, max_dropped=1.0)


def test_what_is_no_defect_does_not_count_as_lost() -> None:
    good = [Record(f"good{seed}", noise(seed)) for seed in range(2)]
    faceless = [SkippedItem(f"photo{row}", "no face", "640 x 480 pixels", is_defect=False) for row in range(50)]
    assert len(ingested(*good, *faceless, max_dropped=0.0)[0]) == 2
    with pytest.raises(InputError, match=r"no face left of 50: 50 no face \(first: photo0"):
        ingested(*faceless, max_dropped=0.0)


def test_faces_written_as_numbers_are_parsed_and_bad_ones_told() -> None:
    text = " ".join(map(str, noise(0).ravel()))
    bad = [text + " 7", text.replace(" ", ",", 1), "", text.removesuffix(text.split()[-1]) + "256"]
    faces, *_, report = ingested(
        Record("good", PixelText(text, 48)),
        *(Record(f"bad{row}", PixelText(line, 48)) for row, line in enumerate(bad)),
        max_dropped=1.0,
    )
    assert (faces[0] == noise(0)).all()
    assert {reason: found["count"] for reason, found in report["dropped"].items()} == {
        "number of pixels": 2,
        "pixel value": 2,
    }


def test_the_same_bytes_are_written_however_many_processes_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(400):
        Image.fromarray(noise(seed, 20)).save(tmp_path / f"{seed:03}.png")
    (tmp_path / "1000.png").write_bytes(b"text")
    results = []
    for processes in ("1", "2"):
        monkeypatch.setenv("FER_NPROC", processes)
        records = [Record(file.id, file) for file in Folder(tmp_path).files() if isinstance(file, File)]
        mixed = [*records[:150], SkippedItem("x", "no label", ""), *records[150:]]
        faces, labels, _, left_out, report = ingested(*mixed)
        results.append((np.stack(faces).tobytes(), labels.to_csv(), left_out.to_csv(), report))
    assert results[0] == results[1]
    assert results[0][3]["faces"] == 400


def test_pictures_of_another_size_are_scaled() -> None:
    (face, *_), *_ = ingested(Record("a", noise(0, 100)), Record("b", noise(1)))
    assert face.shape == (48, 48)


def test_folds_that_were_processed_apart_are_pointed_out() -> None:
    train = [Record(f"train{seed}", noise(seed), "sad", "train") for seed in range(400)]
    flat = [Record(f"test{seed}", noise(seed) // 2 + 64, "sad", "test") for seed in range(400)]
    same = [Record(f"test{seed}", noise(seed + 400), "sad", "test") for seed in range(400)]
    (note,) = ingested(*train, *flat)[-1]["notes"]
    assert note == (
        "pixel statistics differ between folds (train mean 127.5, std 73.9; test mean 127.5, std 36.9); "
        "they may have been preprocessed differently"
    )
    assert ingested(*train, *same)[-1]["notes"] == []


def test_a_handful_of_faces_is_no_reason_for_suspicion() -> None:
    dark, light = (np.full((48, 48), grey, dtype=np.uint8) + noise(0) // 4 for grey in (60, 120))
    assert ingested(Record("a", dark, "sad", "train"), Record("b", light, "sad", "test"))[-1]["notes"] == []


def test_pixels_unlike_the_owners_are_pointed_out() -> None:
    records = [Record(f"train{seed}", noise(seed), "sad", "train") for seed in range(400)]
    assert ingested(*records, pixels=(127.5, 73.9))[-1]["notes"] == []
    (note,) = ingested(*records, pixels=(129.4, 40.0))[-1]["notes"]
    assert note == (
        "pixel statistics (train mean 127.5, std 73.9) differ from the owner's (mean 129.4, std 40.0); "
        "the copy may have been altered"
    )


def stage(folder: Path, source: str, root: Path) -> subprocess.CompletedProcess[str]:
    if not (folder / "params.yaml").exists():
        (folder / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    command = [sys.executable, "-m", "pipeline.ingest", source, "--root", str(root), "--out", f"out/{source}"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def write_fer(root: Path, rows: int, header: str = "emotion,pixels,Usage") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    usages = ("Training", "PublicTest", "PrivateTest")
    lines = [f"{row % 7},{' '.join(map(str, noise(row).ravel()))},{usages[row % 3]}" for row in range(rows)]
    (root / "fer2013.csv").write_text("\n".join([header, *lines, ""]))
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_stage_writes_the_same_bytes_twice_and_a_bad_source_leaves_them(tmp_path: Path) -> None:
    root = write_fer(tmp_path / "raw", 30)
    with (root / "fer2013.csv").open("a") as file:
        file.write("9,1 2 3,Training\n")
    first = stage(tmp_path, "sample_fer2013", root)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("sample_fer2013: 30 faces by fer2013_csv\n")

    out = tmp_path / "out/sample_fer2013"
    written = contents(out)
    assert sorted(written) == ["faces.npy", "labels.csv", "left_out.csv", "report.json", "truth.csv"]
    assert (open_faces(out / "faces.npy") == [noise(row) for row in range(30)]).all()
    labels = pd.read_csv(out / "labels.csv", dtype=str, keep_default_na=False)
    assert list(labels.columns) == ["id", "emotion", "votes", "raw", "by_rule", "fold", "group"]
    assert labels["id"].tolist() == [f"fer2013.csv:{line}" for line in range(2, 32)]
    assert list(pd.read_csv(out / "truth.csv").columns) == ["id", "emotion"]
    report = read_json(out / "report.json")
    assert report["folds"] == {"train": 10, "valid": 10, "test": 10}
    assert report["dropped"]["unknown label"]["count"] == 1

    assert stage(tmp_path, "sample_fer2013", root).returncode == 0
    assert contents(out) == written

    write_fer(root, 30, header="emotion,pixel,Usage")
    bad = stage(tmp_path, "sample_fer2013", root)
    assert bad.returncode == 1
    assert bad.stderr.startswith(f"error: {root}/fer2013.csv: line 1 must name pixels once")
    assert bad.stderr.count("\n") == 1
    assert contents(out) == written
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample_fer2013"]


def test_the_stage_reads_a_source_by_the_reader_that_params_name(tmp_path: Path) -> None:
    root = write_fer(tmp_path / "raw", 3)
    Image.fromarray(noise(0)).save(root / "face.png")
    text = (PROJECT / "params.yaml").read_text().replace("readers: {}", "readers: {sample_photos: tree}")
    (tmp_path / "params.yaml").write_text(text)
    assert stage(tmp_path, "sample_photos", root).returncode == 0
    assert read_json(tmp_path / "out/sample_photos/report.json")["reader"] == "tree"

    (tmp_path / "params.yaml").write_text(text.replace("sample_photos: tree", "sample_photos: affectnet"))
    bad = stage(tmp_path, "sample_photos", root)
    assert (bad.returncode, bad.stderr.count("\n")) == (1, 1)
    assert "'affectnet', but the readers are" in bad.stderr


def test_a_large_source_says_what_disk_it_takes_and_too_large_a_one_stops(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [Record(str(number), noise(number)) for number in range(3)]
    monkeypatch.setattr(ingest_ingest, "_LARGE_SOURCE_BYTES", 3 * 48 * 48)
    ingested(*records)
    assert capsys.readouterr().out == "mine: 3 images, which take 0.0 GB of disk at one face each\n"
    monkeypatch.setattr(ingest_ingest.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"3 faces need 0\.0 GB of disk, but 0\.0 GB are free"):
        ingested(*records)


def test_the_report_is_told_in_words_with_all_that_was_left_out() -> None:
    defect = SkippedItem("x", "empty file", "0 bytes")
    faceless = SkippedItem("y", "no face", "640 x 480 pixels", is_defect=False)
    *_, report = ingested(Record("a", noise(0)), defect, faceless, Note("look"))
    assert list(format_ingest_report(report | {"pictures": 3, "pictures_with_a_face": 1})) == [
        "mine: 1 faces by mine",
        "1 of 3 images have a face (33.3%)",
        "1 left out: empty file (first: x: 0 bytes)",
        "1 left out: no face (first: y: 640 x 480 pixels)",
        "look",
    ]
