"""The stage `evaluate`."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from fer.core.table import TABLE_COLUMNS
from fer.evaluation.verdict import AS_PREDICTED
from fer.runtime.errors import InputError
from fer.runtime.stage import run_stage
from pipeline import evaluate

ROOT = Path(__file__).parents[2]
EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
FOLDS = ["train"] * 20 + ["valid"] * 60 + ["test"] * 80 + ["unlabelled"] * 60 + ["excluded"] * 5
STAGE_WRITES = {
    *(f"{name}.json" for name in ("evaluate", "pseudo_labels", "verdict", "summary", "data")),
    "pseudo_labels.png",
    *(f"{name}.{kind}" for name in ("curves", "confusion", "reliability", "coverage") for kind in ("csv", "png")),
}
ARGUMENTS = ["--table", "table.csv", "--truth", "truth.csv", "--report", "report.json", "--predictions", "predictions"]
ARGUMENTS += ["--pseudo-labels", "pseudo_labels", "--models", "models", "--history", "history.csv", "--out", "metrics"]
REPORT = {"faces": 225, "excluded": {"same picture as a train face": 3, "blank picture": 2}, "notes": ["made up"]}
ESTIMATE = {"estimated_from": 9, "estimated_precision": 0.5, "estimated_precision_interval": {"low": 0.3, "high": 0.7}}


class Project:
    """A folder with params.yaml and the outputs of the earlier stages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params: Any = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.params["ensemble"] = ["improved_se", "shallow"]
        self.set_rounds(3)
        self.emotion = np.random.default_rng(0).choice(EMOTIONS, len(FOLDS))
        self.hidden = np.isin(FOLDS, ["unlabelled"])
        self.logits: dict[tuple[int, str], np.ndarray] = {}

    def set_rounds(self, count: int) -> None:
        later = list(range(1, count))
        teachers = {str(round_): round_ - 1 for round_ in later}
        self.params["rounds"] = {"predict": [0, *later], "retrain": later, "teacher": teachers}

    def write(self) -> None:
        """Write all inputs again and remove old ones; keep the metrics."""
        for name in ("predictions", "pseudo_labels", "models"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        (self.root / "params.yaml").write_text(yaml.safe_dump(self.params, sort_keys=False))
        table = pd.DataFrame({"id": [f"{row}.png" for row in range(len(FOLDS))], "source": "faces", "fold": FOLDS})
        table = table.assign(emotion=np.where(self.hidden, "", self.emotion), votes="", group="", reason="")
        table = table.assign(twin_in_train=[fold == "test" and row % 7 == 0 for row, fold in enumerate(FOLDS)])
        table[list(TABLE_COLUMNS)].to_csv(self.root / "table.csv", index=False)
        truth = np.where(self.hidden, self.emotion, "")
        pd.DataFrame({"id": table["id"], "emotion": truth}).to_csv(self.root / "truth.csv", index=False)
        (self.root / "report.json").write_text(json.dumps(REPORT))
        for round_ in self.params["rounds"]["predict"]:
            for network, replica in itertools.product(self.params["ensemble"], self.params["replicas"]):
                self.write_member(round_, network, replica)
        for round_ in self.params["rounds"]["retrain"]:
            self.write_pseudo_labels(round_)

    def write_member(self, round_: int, network: str, replica: int) -> None:
        member, generator = f"{network}-{replica}", np.random.default_rng([round_, len(network), replica])
        logits = generator.normal(size=(len(FOLDS), 2, 7)).astype(np.float32)
        logits[np.arange(len(FOLDS)), :, [EMOTIONS.index(name) for name in self.emotion]] += 1 + round_
        path = self.root / "predictions" / str(round_) / f"{member}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, self.logits.get((round_, member), logits))
        manifest = {"network": network, "replica": replica, "weights_sha256": "0"}
        manifest |= {"views": ["plain", "flip"], "emotions": EMOTIONS}
        path.with_suffix(".json").write_text(json.dumps(manifest))
        curve = pd.DataFrame(
            {"epoch": [1, 2], "learning_rate": 0.1, "train_loss": [2.0, 1.5], "valid_loss": [1.9, 1.7]}
        )
        folder = self.root / "models" / str(round_) / member
        folder.mkdir(parents=True)
        curve.assign(train_accuracy=[0.3, 0.4], valid_accuracy=[0.2, 0.3]).to_csv(folder / "curve.csv", index=False)

    def write_pseudo_labels(self, round_: int) -> None:
        threshold = self.params["pseudo_label"]["policies"]["fixed"]["threshold"]
        folder = self.root / "pseudo_labels" / str(round_)
        folder.mkdir(parents=True)
        probs = np.random.default_rng(round_).dirichlet(np.full(7, 0.2), len(FOLDS)).astype(np.float32)
        np.save(folder / "probs.npy", probs)
        np.save(folder / "accepted.npy", self.hidden & (probs.max(axis=1) >= threshold))
        np.save(folder / "reviewed.npy", np.zeros(len(FOLDS), dtype=bool))
        estimate = ESTIMATE | {"share_without_estimate": 0.0, "per_emotion": dict.fromkeys(EMOTIONS, ESTIMATE)}
        summary = {"thresholds": dict.fromkeys(EMOTIONS, threshold), "reviewed": 0, "set_aside": 0}
        summary |= {"estimate": estimate, "shift": {"shifted": True}}
        (folder / "summary.json").write_text(json.dumps(summary))

    def run(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "pipeline.evaluate", *ARGUMENTS]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def read_metrics(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "metrics").iterdir()}

    def read(self, name: str) -> Any:
        return json.loads((self.root / "metrics" / name).read_text(), parse_constant=pytest.fail)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", *ARGUMENTS])
    project = Project(tmp_path)
    project.write()
    return project


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the plots, which take most of the stage's time."""
    for module in (evaluate.plots, evaluate.audit_plot):
        for name in [name for name in vars(module) if name.startswith("plot_") and name != "plot_file"]:
            monkeypatch.setattr(module, name, lambda *_: None)


def test_outputs_are_complete_and_reproducible_and_other_files_stay(project: Project) -> None:
    (project.root / "metrics").mkdir()
    (project.root / "metrics" / "mine.txt").write_text("mine")
    shutil.copytree(project.root / "predictions" / "0", project.root / "predictions" / "9")
    completed = project.run()
    assert completed.returncode == 0, completed.stderr
    warning, *verdicts = completed.stdout.splitlines()
    assert warning.startswith("warning: round 2, faces: all 80 test faces are recognised; are ")
    assert [line.split(":")[0] for line in verdicts] == ["round 1", "round 1", "round 2", "round 2"]
    assert verdicts[0::2] == [f"round {key}: {gain['verdict']}" for key, gain in project.read("verdict.json").items()]
    assert verdicts[1::2] == [f"round {key}: {gain['losses']}" for key, gain in project.read("verdict.json").items()]
    metrics = project.read_metrics()
    assert set(metrics) == STAGE_WRITES | {"mine.txt"}

    figures = project.read("evaluate.json")
    folds = {"valid", "test", "test_without_twins", "test_by_source"}
    others = {"temperature", "corrected_to_prior", "ece_before_calibration", "single_crop"}
    assert list(figures) == ["0", "1", "2"], "a round that params.yaml does not list is not read"
    for networks in figures.values():
        assert list(networks) == ["improved_se-0", "shallow-0", "ensemble"]
        assert networks["improved_se-0"].keys() == folds | others
        assert networks["ensemble"].keys() == folds | others - {"temperature"}
    assert figures["0"]["ensemble"]["test"]["n"] == figures["0"]["ensemble"]["test_by_source"]["faces"]["n"] == 80
    assert list(project.read("pseudo_labels.json")) == list(project.read("verdict.json")) == ["1", "2"]
    assert project.read("summary.json")["0"]["test_accuracy"] == figures["0"]["ensemble"]["test"]["accuracy"]
    assert project.read("data.json") == {**REPORT, "notes": [*REPORT["notes"], warning.removeprefix("warning: ")]}
    rows = {name: pd.read_csv(project.root / "metrics" / name) for name in metrics if name.endswith(".csv")}
    assert list(rows["confusion.csv"]) == ["round", "actual", "predicted"]
    assert len(rows["confusion.csv"]) == 3 * 80
    assert len(rows["curves.csv"]) == 3 * 2 * 2
    assert rows["reliability.csv"].groupby(["round", "calibration"])["n"].sum().eq(80).all()
    assert set(rows["coverage.csv"]["round"]) == {1, 2}
    faces, audits = pd.read_csv(project.root / "history.csv"), project.read("pseudo_labels.json")
    assert list(faces["id"]) == [f"{row}.png" for row in np.flatnonzero(project.hidden)]
    assert (faces["emotion_1"] != faces["emotion_2"]).sum() == faces["flips"].sum() == audits["2"]["changes"]["flipped"]
    assert audits["2"]["changes"]["new"] + audits["2"]["changes"]["kept"] == audits["2"]["accepted"]

    evaluate.main()
    assert project.read_metrics() == metrics


@pytest.mark.usefixtures("without_plots")
def test_the_ensemble_weighs_its_networks(project: Project) -> None:
    project.params["ensemble"] = {"improved_se": 0, "shallow": 1}
    project.write()
    evaluate.main()
    figures = project.read("evaluate.json")["0"]
    assert figures["ensemble"]["test"] == figures["shallow-0"]["test"] != figures["improved_se-0"]["test"]


@pytest.mark.usefixtures("without_plots")
def test_every_replica_is_a_member_of_the_ensemble(project: Project) -> None:
    project.params |= {"ensemble": ["shallow"], "replicas": [0, 2, 5]}
    project.write()
    project.params["replicas"] = [0, 2]
    (project.root / "params.yaml").write_text(yaml.safe_dump(project.params))
    evaluate.main()
    assert list(project.read("evaluate.json")["0"]) == ["shallow-0", "shallow-2", "ensemble"], "5 is no longer listed"
    verdict, tests = project.read("verdict.json")["1"], [project.read("evaluate.json")[key] for key in "01"]
    assert verdict["replicas"] == 2
    if verdict["teacher"] == verdict["student"] == AS_PREDICTED:
        means = [np.mean([by_name[f"shallow-{r}"]["test"]["accuracy"] for r in (0, 2)]) for by_name in tests]
        assert [verdict["accuracy"][key] for key in ("baseline", "new")] == pytest.approx(means, abs=1e-5)
    assert list(pd.read_csv(project.root / "metrics" / "curves.csv")["network"].unique()) == ["shallow-0", "shallow-2"]


@pytest.mark.usefixtures("without_plots")
def test_a_missing_replica_is_reported(project: Project) -> None:
    (project.root / "params.yaml").write_text(yaml.safe_dump(project.params | {"replicas": [0, 1]}))
    with pytest.raises(InputError, match=r"predictions/0/improved_se-1\.npy: no such file"):
        evaluate.main()


def test_one_round_gives_every_file_without_a_verdict(project: Project) -> None:
    project.set_rounds(1)
    project.params["ensemble"] = ["shallow"]
    project.write()
    evaluate.main()
    assert set(project.read_metrics()) == STAGE_WRITES
    assert project.read("verdict.json") == project.read("pseudo_labels.json") == {}
    assert list(project.read("evaluate.json")["0"]) == ["shallow-0", "ensemble"]
    assert len(pd.read_csv(project.root / "history.csv")) == FOLDS.count("unlabelled")


@pytest.mark.usefixtures("without_plots")
def test_a_round_that_accepts_nothing_is_reported(project: Project) -> None:
    project.params["pseudo_label"]["policies"]["fixed"]["threshold"] = 1.0
    project.write()
    evaluate.main()
    assert project.read("pseudo_labels.json")["1"]["accepted"] == 0
    assert project.read("summary.json")["1"]["pseudo_labels"] == 0


@pytest.mark.usefixtures("without_plots")
def test_the_estimate_is_written_beside_the_true_precision(project: Project) -> None:
    evaluate.main()
    audit = project.read("pseudo_labels.json")["1"]
    for group in (audit, *audit["per_emotion"].values()):
        assert ESTIMATE.items() <= group.items()
    assert audit["precision"] != audit["estimated_precision"]
    assert audit["shift"] == {"shifted": True}
    assert audit["left_out_as_pictures_of_training_faces"] == 3
    assert project.read("summary.json")["1"]["pseudo_label_precision_estimated"] == 0.5


@pytest.mark.usefixtures("without_plots")
def test_reviewed_faces_are_not_in_the_audit_or_the_history(project: Project) -> None:
    reviewed = np.zeros(len(FOLDS), dtype=bool)
    reviewed[np.flatnonzero(project.hidden)[:3]] = True
    for round_ in (1, 2):
        np.save(project.root / "pseudo_labels" / str(round_) / "reviewed.npy", reviewed)
    evaluate.main()
    n_unreviewed = int(project.hidden.sum()) - 3
    assert project.read("pseudo_labels.json")["1"]["unlabelled"] == n_unreviewed
    assert len(pd.read_csv(project.root / "history.csv")) == n_unreviewed


def test_hidden_labels_affect_only_the_audit(project: Project) -> None:
    project.set_rounds(2)
    project.write()
    evaluate.main()
    old, history = project.read_metrics(), (project.root / "history.csv").read_bytes()
    pd.DataFrame({"id": range(len(FOLDS)), "emotion": ""}).to_csv(project.root / "truth.csv", index=False)
    evaluate.main()
    new = project.read_metrics()
    affected = {"pseudo_labels.json", "pseudo_labels.png", "summary.json", "coverage.csv", "coverage.png"}
    assert {name for name in old if old[name] != new[name]} == affected
    assert project.read("pseudo_labels.json")["1"]["truth_known"] == 0
    assert (project.root / "history.csv").read_bytes() == history


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((224, 2, 7), np.float32), r"predictions/1/shallow-0\.npy: has shape \(224, 2, 7\)"),
        (np.full((225, 2, 7), np.inf, np.float32), r"predictions/1/shallow-0\.npy: row 0 is not finite"),
    ],
)
def test_invalid_predictions_are_reported(project: Project, logits: np.ndarray, message: str) -> None:
    evaluate.main()
    metrics = project.read_metrics()
    project.logits[1, "shallow-0"] = logits
    project.write()
    with pytest.raises(InputError, match=message):
        evaluate.main()
    assert project.read_metrics() == metrics


@pytest.mark.parametrize("missing", ["predictions/2/shallow-0.npy", "models/2/shallow-0/curve.csv", "truth.csv"])
def test_a_missing_file_is_reported_in_one_line(project: Project, missing: str) -> None:
    (project.root / missing).unlink()
    with pytest.raises(SystemExit, match=f"^error: {missing}: .*$") as exit_info:
        run_stage(evaluate.main)
    assert "\n" not in str(exit_info.value.code)
    assert not (project.root / "metrics").exists()
