"""Ingestion of a source to faces, labels and a report; some tests run the stage."""

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
from fer.data.ingest import ingest as ingest_module
from fer.data.ingest.ingest import ingest
from fer.data.ingest.report import format_ingest_report
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers.record import PixelText, ReaderItem, Record
from fer.params import load_params
from fer.runtime.errors import InputError

PROJECT = Path(__file__).parents[3]


def make_noise(seed: int, size: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def make_reader(*items: ReaderItem, pixels: tuple[float, float] | None = None):
    return SimpleNamespace(
        __name__="fer.data.readers.mine",
        LAYOUT="",
        LICENSE_TERMS="for research",
        PIXELS=pixels,
        matches=lambda root: True,
        read=lambda root, settings: iter(items),
    )


def run_ingest(*items: ReaderItem, max_dropped: float = 0.5, pixels: tuple[float, float] | None = None):
    settings = load_params(PROJECT / "params.yaml").ingest.model_copy(
        update={"size": 48, "max_dropped": max_dropped, "align": False}
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        report = ingest("mine", make_reader(*items, pixels=pixels), Folder(Path("data/raw/mine")), settings, out)
        tables = (
            pd.read_csv(out / f"{name}.csv", dtype=str, keep_default_na=False)
            for name in ("labels", "truth", "left_out")
        )
        return list(np.load(out / "faces.npy")), *tables, report


def test_row_i_of_labels_and_truth_is_face_i() -> None:
    records = [
        Record("c", make_noise(0), "happy", "train", group="S1", votes="happy:7 sad:3", by_rule=True),
        Record("a", make_noise(1), "sad", "test"),
        Record("b", make_noise(2), truth="fear", raw="fearfully surprised", by_rule=True),
    ]
    faces, labels, truth, left_out, _ = run_ingest(*records)
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
    images = [make_noise(seed) for seed in range(4)]
    *_, report = run_ingest(
        Record("a", images[0], "happy", "train"),
        Record("b", images[1], "happy", "train"),
        Record("c", images[2], "angry", "test"),
        Record("d", images[3]),
        Note("hello"),
    )
    assert report["emotions"] == {"angry": {"test": 1}, "happy": {"train": 2}, "unlabelled": {"none": 1}}
    assert report["folds"] == {"train": 2, "test": 1, "none": 1}
    assert (report["source"], report["reader"], report["faces"]) == ("mine", "mine", 4)
    assert report["mean"] == pytest.approx(np.mean(images))
    assert report["std"] == pytest.approx(np.std(images))
    assert report["pixels"]["train"] == pytest.approx({"mean": np.mean(images[:2]), "std": np.std(images[:2])})
    assert report["dropped"] == {}
    assert report["notes"] == ["hello"]


def test_skipped_items_are_counted_by_reason_with_three_examples(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"text")
    good = [Record(f"good{seed}", make_noise(seed)) for seed in range(6)]
    bad = [SkippedItem(f"row {row}", "pixel value", f"{row}") for row in range(4)]
    files = [Record(file.stem, file) for file in Folder(tmp_path).files()]
    expected = SkippedItem("dark", "no face", "640 x 480 pixels", is_defect=False)
    faces, labels, _, left_out, report = run_ingest(*good, *bad, *files, expected)
    assert len(faces) == len(labels) == 6
    assert left_out["id"].tolist() == ["row 0", "row 1", "row 2", "row 3", "empty", "text", "dark"]
    assert report["left_out"] == {"no face": {"count": 1, "examples": ["dark: 640 x 480 pixels"]}}
    assert report["dropped"] == {
        "empty file": {"count": 1, "examples": ["empty: 0 bytes"]},
        "not a picture": {"count": 1, "examples": ["text: its content is not JPEG, PNG, BMP, WEBP, TIFF"]},
        "pixel value": {"count": 4, "examples": ["row 0: 0", "row 1: 1", "row 2: 2"]},
    }


def test_a_source_with_more_defects_than_allowed_is_an_error() -> None:
    good = [Record(f"good{seed}", make_noise(seed)) for seed in range(19)]
    bad = [SkippedItem("x.csv:7", "pixel value", "'256'; allowed 0..255"), SkippedItem("y", "empty file", "0 bytes")]
    run_ingest(*good, bad[0], max_dropped=0.05)
    expected = (
        r"data/raw/mine: 2 of 21 faces can't be used, allowed are 5\.0%: 1 empty file \(first: y: 0 bytes\); "
        r"1 pixel value \(first: x\.csv:7: '256'; allowed 0\.\.255\); .* raise ingest\.max_dropped in params\.yaml"
    )
    with pytest.raises(InputError, match=expected):
        run_ingest(*good, *bad, max_dropped=0.05)


@pytest.mark.parametrize("items", [[], [SkippedItem("x", "empty file", "0 bytes")]])
def test_a_source_without_a_face_is_an_error(items: Sequence[ReaderItem]) -> None:
    with pytest.raises(InputError, match="data/raw/mine: no face left"):
        run_ingest(*items, max_dropped=1.0)


def test_images_without_a_face_do_not_count_as_defects() -> None:
    good = [Record(f"good{seed}", make_noise(seed)) for seed in range(2)]
    faceless = [SkippedItem(f"photo{row}", "no face", "640 x 480 pixels", is_defect=False) for row in range(50)]
    assert len(run_ingest(*good, *faceless, max_dropped=0.0)[0]) == 2
    with pytest.raises(InputError, match=r"no face left of 50: 50 no face \(first: photo0"):
        run_ingest(*faceless, max_dropped=0.0)


def test_faces_written_as_numbers_are_parsed_and_invalid_ones_skipped() -> None:
    text = " ".join(map(str, make_noise(0).ravel()))
    bad = [text + " 7", text.replace(" ", ",", 1), "", text.removesuffix(text.split()[-1]) + "256"]
    faces, *_, report = run_ingest(
        Record("good", PixelText(text, 48)),
        *(Record(f"bad{row}", PixelText(line, 48)) for row, line in enumerate(bad)),
        max_dropped=1.0,
    )
    assert (faces[0] == make_noise(0)).all()
    assert {reason: summary["count"] for reason, summary in report["dropped"].items()} == {
        "number of pixels": 2,
        "pixel value": 2,
    }


def test_the_number_of_processes_does_not_change_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer.runtime.parallel.ALONE_SECONDS", -1)
    for seed in range(400):
        Image.fromarray(make_noise(seed, 20)).save(tmp_path / f"{seed:03}.png")
    (tmp_path / "1000.png").write_bytes(b"text")
    results = []
    for processes in ("1", "2"):
        monkeypatch.setenv("FER_NPROC", processes)
        records = [Record(file.id, file) for file in Folder(tmp_path).files() if isinstance(file, File)]
        mixed = [*records[:150], SkippedItem("x", "no label", ""), *records[150:]]
        faces, labels, _, left_out, report = run_ingest(*mixed)
        results.append((np.stack(faces).tobytes(), labels.to_csv(), left_out.to_csv(), report))
    assert results[0] == results[1]
    assert results[0][3]["faces"] == 400


def test_images_of_another_size_are_scaled() -> None:
    (face, *_), *_ = run_ingest(Record("a", make_noise(0, 100)), Record("b", make_noise(1)))
    assert face.shape == (48, 48)


def test_folds_with_different_pixel_statistics_are_noted() -> None:
    train = [Record(f"train{seed}", make_noise(seed), "sad", "train") for seed in range(400)]
    flat = [Record(f"test{seed}", make_noise(seed) // 2 + 64, "sad", "test") for seed in range(400)]
    same = [Record(f"test{seed}", make_noise(seed + 400), "sad", "test") for seed in range(400)]
    (note,) = run_ingest(*train, *flat)[-1]["notes"]
    assert note == (
        "pixel statistics differ between folds (train mean 127.5, std 73.9; test mean 127.5, std 36.9); "
        "they may have been preprocessed differently"
    )
    assert run_ingest(*train, *same)[-1]["notes"] == []


def test_pixel_statistics_of_few_faces_are_not_noted() -> None:
    dark, light = (np.full((48, 48), grey, dtype=np.uint8) + make_noise(0) // 4 for grey in (60, 120))
    assert run_ingest(Record("a", dark, "sad", "train"), Record("b", light, "sad", "test"))[-1]["notes"] == []


def test_pixel_statistics_unlike_the_owners_are_noted() -> None:
    records = [Record(f"train{seed}", make_noise(seed), "sad", "train") for seed in range(400)]
    assert run_ingest(*records, pixels=(127.5, 73.9))[-1]["notes"] == []
    (note,) = run_ingest(*records, pixels=(129.4, 40.0))[-1]["notes"]
    assert note == (
        "pixel statistics (train mean 127.5, std 73.9) differ from the owner's (mean 129.4, std 40.0); "
        "the copy may have been altered"
    )


def run_stage(folder: Path, source: str, root: Path) -> subprocess.CompletedProcess[str]:
    if not (folder / "params.yaml").exists():
        (folder / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    command = [sys.executable, "-m", "pipeline.ingest", source, "--root", str(root), "--out", f"out/{source}"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def write_fer(root: Path, rows: int, header: str = "emotion,pixels,Usage") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    usages = ("Training", "PublicTest", "PrivateTest")
    lines = [f"{row % 7},{' '.join(map(str, make_noise(row).ravel()))},{usages[row % 3]}" for row in range(rows)]
    (root / "fer2013.csv").write_text("\n".join([header, *lines, ""]))
    return root


def read_contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_stage_is_repeatable_and_a_failure_keeps_its_old_output(tmp_path: Path) -> None:
    root = write_fer(tmp_path / "raw", 30)
    with (root / "fer2013.csv").open("a") as file:
        file.write("9,1 2 3,Training\n")
    first = run_stage(tmp_path, "sample_fer2013", root)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("sample_fer2013: 30 faces by fer2013_csv\n")

    out = tmp_path / "out/sample_fer2013"
    content = read_contents(out)
    assert sorted(content) == ["faces.npy", "labels.csv", "left_out.csv", "report.json", "truth.csv"]
    assert (open_faces(out / "faces.npy") == [make_noise(row) for row in range(30)]).all()
    labels = pd.read_csv(out / "labels.csv", dtype=str, keep_default_na=False)
    assert list(labels.columns) == ["id", "emotion", "votes", "raw", "by_rule", "fold", "group"]
    assert labels["id"].tolist() == [f"fer2013.csv:{line}" for line in range(2, 32)]
    assert list(pd.read_csv(out / "truth.csv").columns) == ["id", "emotion"]
    report = read_json(out / "report.json")
    assert report["folds"] == {"train": 10, "valid": 10, "test": 10}
    assert report["dropped"]["unknown label"]["count"] == 1

    assert run_stage(tmp_path, "sample_fer2013", root).returncode == 0
    assert read_contents(out) == content

    write_fer(root, 30, header="emotion,pixel,Usage")
    failure = run_stage(tmp_path, "sample_fer2013", root)
    assert failure.returncode == 1
    assert failure.stderr.startswith(f"error: {root}/fer2013.csv: line 1 must name pixels once")
    assert failure.stderr.count("\n") == 1
    assert read_contents(out) == content
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample_fer2013"]


def test_the_stage_uses_the_reader_named_in_params(tmp_path: Path) -> None:
    root = write_fer(tmp_path / "raw", 3)
    Image.fromarray(make_noise(0)).save(root / "face.png")
    text = (PROJECT / "params.yaml").read_text().replace("readers: {}", "readers: {sample_photos: tree}")
    (tmp_path / "params.yaml").write_text(text)
    assert run_stage(tmp_path, "sample_photos", root).returncode == 0
    assert read_json(tmp_path / "out/sample_photos/report.json")["reader"] == "tree"

    (tmp_path / "params.yaml").write_text(text.replace("sample_photos: tree", "sample_photos: affectnet"))
    failure = run_stage(tmp_path, "sample_photos", root)
    assert (failure.returncode, failure.stderr.count("\n")) == (1, 1)
    assert "'affectnet', but the readers are" in failure.stderr


def test_the_disk_space_of_a_large_source_is_printed_and_too_little_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [Record(str(number), make_noise(number)) for number in range(3)]
    monkeypatch.setattr(ingest_module, "_LARGE_SOURCE_BYTES", 3 * 48 * 48)
    run_ingest(*records)
    assert capsys.readouterr().out == "mine: 3 images, which take 0.0 GB of disk at one face each\n"
    monkeypatch.setattr(ingest_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"3 faces need 0\.0 GB of disk, but 0\.0 GB are free"):
        run_ingest(*records)


def test_the_printed_report_lists_all_skipped_items() -> None:
    defect = SkippedItem("x", "empty file", "0 bytes")
    faceless = SkippedItem("y", "no face", "640 x 480 pixels", is_defect=False)
    *_, report = run_ingest(Record("a", make_noise(0)), defect, faceless, Note("look"))
    assert list(format_ingest_report(report | {"pictures": 3, "pictures_with_a_face": 1})) == [
        "mine: 1 faces by mine",
        "1 of 3 images have a face (33.3%)",
        "1 left out: empty file (first: x: 0 bytes)",
        "1 left out: no face (first: y: 640 x 480 pixels)",
        "look",
    ]
