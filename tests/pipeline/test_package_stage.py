"""The stage `package`: what it corrects to the class frequencies of the validation fold, and what it leaves alone."""

import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from fer.core.table import TABLE_COLUMNS
from fer.nn import weights
from fer.predictions.ensembles import calibrate_ensemble
from fer.predictions.prior import correct_to_prior
from fer.serving.package import bundle
from pipeline import package

ROOT = Path(__file__).parents[2]
EMOTIONS = ("angry", "happy", "sad")
SHARES = (0.15, 0.7, 0.15)  # of the faces; the logits prefer no emotion
FOLDS = np.array(["train"] * 20 + ["valid"] * 300 + ["test"] * 300 + ["unlabelled"] * 20)
ARGUMENTS = ["--table", "table.csv", "--report", "report.json", "--models", "models", "--predictions", "predictions"]
ARGUMENTS += ["--pseudo-labels", "pseudo_labels", "--out", "package"]


class Project:
    """A folder with params.yaml and the outputs of the earlier stages, of one network and two rounds.

    Round 1 knows more than round 0, but its predictions are far from the class frequencies of the faces.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params: Any = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.params |= {"ensemble": ["simple_cnn"], "emotions": list(EMOTIONS)}
        self.params["pseudo_label"]["policy"] = "ada_cm"  # its thresholds follow the probabilities
        generator = np.random.default_rng(0)
        self.labels = generator.choice(3, len(FOLDS), p=SHARES)
        self.logits = generator.normal(size=(2, len(FOLDS), 2, 3)).astype(np.float32)
        self.logits[0, np.arange(len(FOLDS)), :, self.labels] += 0.7
        self.logits[1, np.arange(len(FOLDS)), :, self.labels] += 2.5
        self.logits[1, :, :, 1] -= 2.5

    def run(self, prior: str) -> dict[str, Any]:
        """Write all inputs, run the stage and return the manifest of the package."""
        self.params["package"]["prior"] = prior
        Path("params.yaml").write_text(yaml.safe_dump(self.params, sort_keys=False))
        emotion = np.where(FOLDS == "unlabelled", "", np.array(EMOTIONS)[self.labels])
        table = pd.DataFrame({"id": [f"{row}.png" for row in range(len(FOLDS))], "source": "faces", "fold": FOLDS})
        table = table.assign(emotion=emotion, votes="", group="", reason="", twin_in_train=False)
        table[list(TABLE_COLUMNS)].to_csv("table.csv", index=False)
        report = {"sources": {}, "emotions": {"train": {}, "valid": {}, "test": {}}, "excluded": {}, "supplied": {}}
        Path("report.json").write_text(json.dumps(report))
        config = weights.ModelConfig(network="simple_cnn", emotions=EMOTIONS, size=16, dropout=0.1, input_px=None)
        for (round_, logits), replica in itertools.product(enumerate(self.logits), self.params["replicas"]):
            model, predictions = Path(f"models/{round_}/simple_cnn-{replica}"), Path(f"predictions/{round_}")
            for folder in (model, predictions):
                folder.mkdir(parents=True, exist_ok=True)
            weights.save_model(config.build(), config.model_copy(update={"replica": replica}), model)
            np.save(predictions / f"simple_cnn-{replica}.npy", logits)
            stored = {"network": "simple_cnn", "replica": replica, "emotions": EMOTIONS, "views": ["plain", "flip"]}
            stored["weights_sha256"] = weights.hash_weights(model)
            (predictions / f"simple_cnn-{replica}.json").write_text(json.dumps(stored))
        Path("pseudo_labels/1").mkdir(parents=True, exist_ok=True)
        summary = {"accepted": 10, "unlabelled": 20, "teacher": 0}
        Path("pseudo_labels/1/summary.json").write_text(json.dumps(summary))
        package.main()
        return dict(json.loads(Path("package/package.json").read_text()))

    def correct(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corrected probabilities and the factors of round 0."""
        valid = FOLDS == "valid"
        calibrated = calibrate_ensemble({"simple_cnn": self.logits[0]}, self.labels, valid, 0, {"simple_cnn": 1.0})
        return correct_to_prior(calibrated.ensemble_probs, self.labels, valid, 0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["package", *ARGUMENTS])
    return Project(tmp_path)


def read_card_accuracy() -> str:
    """Return the test accuracy that the card states."""
    match = re.search(r"^\| test +\| +300 +\| +([0-9.]+) %", Path("package/card.md").read_text(), re.MULTILINE)
    assert match
    return match[1]


def test_a_corrected_package_has_factors_thresholds_and_figures_of_corrected_probabilities(project: Project) -> None:
    project.params["package"]["round"] = 0
    plain, plain_accuracy = project.run("none"), float(read_card_accuracy())
    assert "prior_factors" not in plain
    corrected = project.run("valid")
    probs, factors = project.correct()
    assert corrected["prior_factors"] == pytest.approx(dict(zip(EMOTIONS, factors, strict=True)), abs=1e-6)
    assert factors[1] > 1 > factors[0]
    assert corrected.keys() - plain.keys() == {"prior_factors"}
    assert {key for key in plain if plain[key] != corrected[key]} == {"thresholds", "weights_sha256"}

    predicted = probs.argmax(axis=1)
    right = (FOLDS == "valid") & (predicted == project.labels)
    factor = project.params["pseudo_label"]["policies"]["ada_cm"]["factor"]
    expected = [factor * probs[right & (predicted == code)].max(axis=1).mean() for code in range(3)]
    assert list(corrected["thresholds"].values()) == pytest.approx(expected, abs=1e-5)

    accuracy = 100 * (predicted == project.labels)[FOLDS == "test"].mean()
    assert read_card_accuracy() == f"{accuracy:.1f}"
    assert accuracy > plain_accuracy + 5
    loaded = bundle.load_package(Path("package"), torch.device("cpu"))
    np.testing.assert_allclose(
        loaded.manifest.combine_logits({"simple_cnn-0": project.logits[0]})[FOLDS == "test"],
        probs[FOLDS == "test"],
        atol=1e-5,
    )


def test_emotions_that_cannot_be_corrected_are_named(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.run("valid")
    assert "warning" not in capsys.readouterr().out
    project.labels[(FOLDS == "valid") & (project.labels == 2)] = 0
    assert project.run("valid")["prior_factors"]["sad"] == 1
    warning = "warning: too few validation faces to correct predictions of sad (package.prior)\n"
    assert capsys.readouterr().out.endswith(warning)


def test_the_best_round_is_that_of_the_packaged_predictions(project: Project) -> None:
    assert project.run("none")["round"] == 0
    assert project.run("valid")["round"] == 1


def test_constant_predictions_are_packaged(project: Project) -> None:
    project.logits[:, :] = (3.0, 0.0, 0.0)
    factors = project.run("valid")["prior_factors"]
    assert all(np.isfinite(list(factors.values())))
    loaded = bundle.load_package(Path("package"), torch.device("cpu"))
    (probs,) = loaded.manifest.combine_logits({"simple_cnn-0": project.logits[0, :1]})
    shares = np.bincount(project.labels[FOLDS == "valid"], minlength=3) / 300
    np.testing.assert_allclose(probs, shares, atol=1e-4)


def test_the_package_is_the_vote_of_all_replicas(project: Project) -> None:
    project.params |= {"ensemble": {"simple_cnn": 2}, "replicas": [0, 3]}
    assert project.run("none")["vote"] == {"simple_cnn-0": 2, "simple_cnn-3": 2}
    loaded = bundle.load_package(Path("package"), torch.device("cpu"))
    assert list(loaded.networks) == ["simple_cnn-0", "simple_cnn-3"]
    assert weights.read_model_config(Path("package/simple_cnn-3")).replica == 3
