"""The whole pipeline run by DVC on a small drawn sample, with two networks and a round of pseudo-labels.

One network is the example of docs/networks.md, added as the page says.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import yaml
from markupsafe import escape
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parent.parent
SMALL = {
    "sources": ["sample_fer2013", "sample_rafdb", "sample_photos"],
    "ensemble": {"simple_cnn": 2, "linear": 1},
    "sample": {"labelled": 210, "tests": 100, "photos": 60},
    "ingest": {"max_dropped": 0.2},
    "unify": {"label_budget": None},
    "train": {"epochs": 2},
}
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def call(folder: Path, *command: str) -> str:
    completed = run(folder, *command)
    assert completed.returncode == 0, f"{' '.join(command)}\n{completed.stdout[-3000:]}\n{completed.stderr[-3000:]}"
    return completed.stdout + completed.stderr


def edit_params(folder: Path, pattern: str, replacement: str) -> None:
    path = folder / "params.yaml"
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, f"params.yaml has no {pattern}"
    path.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project in which `dvc repro` has run once."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("fer", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in SMALL.items():
        params[key] = params[key] | value if isinstance(params[key], dict) else value
    params["pseudo_label"]["policies"]["fixed"]["threshold"] = 0.2
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "networks.md").read_text(), re.DOTALL)
    assert example
    (folder / "fer" / "models" / "linear.py").write_text(example[1])
    params["networks"]["linear"] = {}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "data" / "pseudo_labels").mkdir(parents=True)
    (folder / "data" / "pseudo_labels" / ".gitkeep").touch()
    shutil.copy(ROOT / "data" / "reviews.csv", folder / "data" / "reviews.csv")
    call(folder, "dvc", "init", "--quiet", "--no-scm")
    call(folder, "dvc", "config", "core.analytics", "false")
    call(folder, "dvc", "repro")
    return folder


def test_every_network_of_every_round_is_trained_and_evaluated(project: Path) -> None:
    metrics = json.loads((project / "metrics" / "evaluate.json").read_text())
    assert list(metrics) == ["0", "1"]
    for round_, networks in metrics.items():
        assert set(networks) == {"simple_cnn-0", "linear-0", "ensemble"}
        for name in networks:
            assert {"valid", "test", "test_without_twins", "test_by_source"} <= set(networks[name])
            assert networks[name]["test"]["n"] == 150
        for name in ("simple_cnn-0", "linear-0"):
            assert (project / "data" / "models" / round_ / name / "weights.safetensors").is_file()
    assert set(json.loads((project / "metrics" / "verdict.json").read_text())) == {"1"}


def test_training_prediction_and_pseudo_labelling_read_no_image_files(project: Path) -> None:
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    stages = ("train", "retrain", "predict", "pseudo_label")
    paths = {dep["path"] for name, stage in lock.items() if name.partition("@")[0] in stages for dep in stage["deps"]}
    data = [project / path for path in paths if path.startswith("data/")]
    files = [file for path in data for file in [path, *path.rglob("*")]]
    assert {"faces.npy", "parents.npy", "weights.safetensors"} <= {file.name for file in files}
    assert not [file for file in files if file.suffix in (".png", ".jpg", ".jpeg", ".svg", ".html")]
    assert (project / "data/inspected/preview.png").is_file()


def test_row_i_is_the_same_face_everywhere(project: Path) -> None:
    faces = np.load(project / "data" / "unified" / "faces.npy", mmap_mode="r")
    n = len(faces)
    for path in ("data/predictions/0/simple_cnn-0.npy", "data/predictions/1/linear-0.npy"):
        assert np.load(project / path, mmap_mode="r").shape == (n, 2, 7)
    for name in ("accepted", "probs", "weights", "reviewed"):
        assert len(np.load(project / "data" / "pseudo_labels" / "1" / f"{name}.npy")) == n
    for name in ("table", "truth"):
        with (project / "data" / "unified" / f"{name}.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == n


def test_no_held_out_face_has_a_twin_in_training_or_the_pool(project: Path) -> None:
    faces = np.load(project / "data" / "unified" / "faces.npy")
    with (project / "data" / "unified" / "table.csv").open(newline="") as file:
        fold = np.array([row["fold"] for row in csv.DictReader(file)])
    held_out = {face.tobytes() for face in faces[(fold == "test") | (fold == "valid")]}
    training = [face.tobytes() for face in faces[(fold == "train") | (fold == "unlabelled")]]
    assert held_out.isdisjoint(training)
    assert len(training) == len(set(training))
    report = json.loads((project / "metrics" / "data.json").read_text())
    assert report["identical_twins_as_supplied"]["test_in_train"] > 0


def test_an_unchanged_project_runs_no_stage(project: Path) -> None:
    output = call(project, "dvc", "repro")
    assert "up to date" in output
    assert "Running stage" not in output


def test_a_new_threshold_repeats_no_inference_and_the_old_one_repeats_nothing(project: Path) -> None:
    original_metrics = (project / "metrics" / "evaluate.json").read_bytes()
    edit_params(project, r"threshold: 0\.2", "threshold: 1.0")  # No face is that confident.
    output = call(project, "dvc", "repro", "retrain@1-simple_cnn-0", "retrain@1-linear-0")
    stages = set(re.findall(r"Running stage '([^']+)'", output))
    assert stages == {"pseudo_label@1", "retrain@1-simple_cnn-0", "retrain@1-linear-0"}
    assert "accepted none of" in output
    for name in ("simple_cnn-0", "linear-0"):
        weights = [project / "data" / "models" / round_ / name / "weights.safetensors" for round_ in "01"]
        assert weights[0].read_bytes() == weights[1].read_bytes(), "without pseudo-labels retraining equals training"

    edit_params(project, r"threshold: 1\.0", "threshold: 0.2")
    output = call(project, "dvc", "repro")
    stages = set(re.findall(r"Running stage '([^']+)'", output))
    assert not {stage for stage in stages if stage.startswith(("retrain", "predict", "pseudo_label"))}
    assert (project / "metrics" / "evaluate.json").read_bytes() == original_metrics


def test_the_package_predicts_images_and_reports_each_of_them(project: Path) -> None:
    completed = run(project, "fer", "predict", "data/raw/sample_photos/photos", "--out", "found.csv")
    assert (completed.returncode, "Traceback" in completed.stderr) == (1, False)
    with (project / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(list((project / "data/raw/sample_photos/photos").iterdir()))
    statuses = {row["status"] for row in rows}
    assert {"ok", "unreadable"} <= statuses
    for row in rows:
        probs = [float(row[key]) for key in row if key.startswith("p_") and row[key]]
        assert (len(probs), row["label"] != "") == ((7, True) if row["status"] == "ok" else (0, False))
        assert not probs or abs(sum(probs) - 1) < 1e-4


def test_the_report_has_the_verdict_and_shows_faces(project: Path) -> None:
    page = (project / "data" / "report" / "index.html").read_text()
    verdicts = json.loads((project / "metrics" / "verdict.json").read_text())
    assert escape(verdicts["1"]["verdict"]) in page
    assert escape((project / "params.yaml").read_text()) in page
    pages = json.loads((project / "data" / "explained" / "pages.json").read_text())["pages"]
    assert len(pages) == 16
    assert page.count("data:image/png;base64,") == 16 + 5 + 3 + 1
    assert "largest weight in the ensemble of 2 networks" in " ".join(page.split())
    for source in SMALL["sources"]:
        match = re.search(rf"- path: data/raw/{source}\n +hash: md5\n +md5: (\S+)", (project / "dvc.lock").read_text())
        assert match
        assert match[1] in page


def test_a_package_with_changed_weights_is_refused(project: Path) -> None:
    copy = project / "tampered"
    shutil.copytree(project / "data" / "package", copy)
    weights = copy / "simple_cnn-0" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    completed = run(project, "fer", "predict", "data/raw/sample_photos/photos", "--model", "tampered")
    assert completed.returncode == 1
    assert (
        completed.stderr.strip()
        .splitlines()[-1]
        .endswith("not the weights that were packaged; run `dvc repro package`")
    )
    assert "Traceback" not in completed.stderr


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of an S3 server with an empty bucket `faces`."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setitem(ENVIRONMENT, key, "anybody")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        urlopen(Request(f"{url}/faces", method="PUT")).close()
        yield url
    finally:
        server.stop()


@pytest.mark.harden
def test_a_clone_that_pulls_from_s3_is_up_to_date(project: Path, tmp_path: Path, bucket: str) -> None:
    clone = tmp_path / "clone"
    for name in (".gitignore", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, project / name)
    call(project, "dvc", "config", "core.no_scm", "false")
    call(project, "dvc", "remote", "add", "--default", "store", "s3://faces/fer")
    call(project, "dvc", "remote", "modify", "store", "endpointurl", bucket)
    call(project, "git", "init", "--quiet")
    call(project, "git", "add", ".")
    call(project, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "Everything")
    call(project, "dvc", "push")
    call(tmp_path, "git", "clone", "--quiet", str(project), str(clone))
    assert not (clone / "data" / "package").exists()

    call(clone, "dvc", "pull")
    assert "up to date" in call(clone, "dvc", "repro")
    for name in ("unified/faces.npy", "models/1/simple_cnn-0/weights.safetensors", "package/package.json"):
        assert (clone / "data" / name).read_bytes() == (project / "data" / name).read_bytes()
