"""The stage `pseudo_label`, run in the process of the test."""

import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from fer.core.table import TABLE_COLUMNS
from fer.params import load_params
from fer.pseudo_labels.review.answers import Reviews, write_reviews
from fer.runtime.stage import run_stage
from pipeline import pseudo_label

ROOT = Path(__file__).parents[2]
EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
NETWORKS = ["improved_se", "shallow"]
MEMBERS = [f"{network}-0" for network in NETWORKS]
ARGUMENTS = ["--round", "1", "--teacher", "0", "--table", "table.csv", "--predictions", "predictions"]
ARGUMENTS += ["--reviews", "reviews.csv", "--out", "pseudo_labels/1"]
FOLDS = ["train"] * 20 + ["valid"] * 60 + ["test"] * 20 + ["unlabelled"] * 40 + ["excluded"] * 5


class Project:
    """A folder with params.yaml, a table and the predictions of two networks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "pseudo_labels" / "1"
        self.params: Any = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.params["ensemble"] = NETWORKS
        self.reviews: Reviews = {}
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 7, len(FOLDS))
        labelled = ~np.isin(FOLDS, ["unlabelled"])
        self.table = pd.DataFrame(
            {
                "id": [f"{row}.png" for row in range(len(FOLDS))],
                "source": "faces",
                "fold": FOLDS,
                "emotion": np.where(labelled, np.array(EMOTIONS)[labels], ""),
                "votes": "",
                "group": "",
                "twin_in_train": False,
                "reason": "",
            }
        )[list(TABLE_COLUMNS)]
        self.logits = {}
        for network in NETWORKS:
            logits = generator.normal(size=(len(FOLDS), 2, 7)) * 2
            logits[np.arange(len(FOLDS)), :, labels] += 4
            self.logits[f"{network}-0"] = logits.astype(np.float32)

    def run(self) -> tuple[str, str]:
        """Return the output of the stage and the error message it ends with, "" if none."""
        (self.root / "params.yaml").write_text(yaml.safe_dump(self.params, sort_keys=False))
        self.table.to_csv(self.root / "table.csv", index=False)
        (self.root / "predictions").mkdir(exist_ok=True)
        write_reviews(self.root / "reviews.csv", self.reviews)
        for member, logits in self.logits.items():
            np.save(self.root / "predictions" / f"{member}.npy", logits)
            network, _, replica = member.rpartition("-")
            manifest = {
                "network": network,
                "replica": int(replica),
                "weights_sha256": network * 2,
                "views": ["plain", "flip"],
                "emotions": EMOTIONS,
            }
            (self.root / "predictions" / f"{member}.json").write_text(json.dumps(manifest))
        with redirect_stdout(io.StringIO()) as output:
            try:
                run_stage(pseudo_label.main)
            except SystemExit as error:
                return output.getvalue(), str(error.code)
        return output.getvalue(), ""

    def succeed(self) -> tuple[str, pd.DataFrame, dict[str, Any]]:
        printed, error = self.run()
        assert not error
        labels = pd.read_csv(self.out / "labels.csv", keep_default_na=False)
        return printed, labels, json.loads((self.out / "summary.json").read_text())

    def fail(self) -> str:
        _, error = self.run()
        assert error.startswith("error: ")
        assert "\n" not in error
        return error


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pseudo_label", *ARGUMENTS])
    return Project(tmp_path)


def test_the_output_files_agree_on_every_face(project):
    printed, labels, summary = project.succeed()
    accepted, weights = np.load(project.out / "accepted.npy"), np.load(project.out / "weights.npy")
    probs = np.load(project.out / "probs.npy")
    pool = (project.table["fold"] == "unlabelled").to_numpy()

    assert (accepted.dtype, weights.dtype, probs.dtype) == (bool, np.float32, np.float32)
    assert probs.shape == (len(FOLDS), 7)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    assert not accepted[~pool].any()
    assert 0 < accepted.sum() < pool.sum()
    np.testing.assert_array_equal(weights, accepted)

    assert list(labels) == ["id", "source", "emotion", "confidence", "threshold", "accepted", "weight", "reason"]
    assert labels["id"].tolist() == project.table["id"][pool].tolist()
    assert labels["accepted"].tolist() == accepted[pool].tolist()
    assert labels["emotion"].tolist() == [EMOTIONS[code] for code in probs[pool].argmax(axis=1)]
    np.testing.assert_allclose(labels["confidence"], probs[pool].max(axis=1), atol=1e-6)
    assert ((labels["confidence"] >= labels["threshold"]) == labels["accepted"]).all()

    assert (summary["round"], summary["teacher"]) == (1, 0)
    assert summary["policy"] == {"name": "fixed", "threshold": 0.8}
    assert list(summary["temperatures"]) == MEMBERS
    assert summary["weights_sha256"] == {f"{network}-0": network * 2 for network in NETWORKS}
    assert (summary["unlabelled"], summary["accepted"]) == (pool.sum(), accepted.sum())
    assert sum(summary["per_emotion"].values()) == accepted.sum()
    assert f"accepted {accepted.sum()} of {pool.sum()} unlabelled faces" in printed


def test_the_estimate_comes_from_validation_at_the_same_thresholds(project):
    printed, _, summary = project.succeed()
    probs, valid = np.load(project.out / "probs.npy"), (project.table["fold"] == "valid").to_numpy()
    emotion = np.array(EMOTIONS)[probs.argmax(axis=1)]
    accepted = valid & (probs.max(axis=1) >= [summary["thresholds"][name] for name in emotion])
    correct = accepted & (emotion == project.table["emotion"])
    estimate = summary["estimate"]
    for name, group in estimate["per_emotion"].items():
        assert group["estimated_from"] == accepted[emotion == name].sum()
        if group["estimated_from"]:
            assert group["estimated_precision"] == pytest.approx(correct[accepted & (emotion == name)].mean(), abs=1e-6)
    assert f"estimated precision from {estimate['estimated_from']} validation faces: " in printed


def test_a_pool_unlike_validation_gives_a_warning(project):
    printed, _, summary = project.succeed()
    assert not summary["shift"]["shifted"]
    assert "warning" not in printed
    for logits in project.logits.values():
        logits[100:140] *= 0.1
        logits[100:110] *= 100
    printed, _, summary = project.succeed()
    assert summary["shift"]["shifted"]
    assert "warning: the pool is unlike validation" in printed


def test_the_ensemble_weighs_its_networks(project):
    project.params["ensemble"] = {"improved_se": 0, "shallow": 2}
    _, _, summary = project.succeed()
    weighted_probs = np.load(project.out / "probs.npy")
    assert summary["ensemble"] == {"improved_se-0": 0, "shallow-0": 2}
    project.params["ensemble"] = ["shallow"]
    project.succeed()
    np.testing.assert_array_equal(np.load(project.out / "probs.npy"), weighted_probs)


def test_a_second_run_writes_the_same_bytes(project):
    project.succeed()
    files = {path.name: path.read_bytes() for path in project.out.iterdir()}
    project.succeed()
    assert {path.name: path.read_bytes() for path in project.out.iterdir()} == files
    assert list(project.out.parent.iterdir()) == [project.out]


def test_the_labels_of_training_test_and_excluded_faces_change_nothing(project):
    _, old, _ = project.succeed()
    project.table.loc[project.table["fold"].isin(["train", "test", "excluded"]), "emotion"] = "sad"
    _, new, _ = project.succeed()
    pd.testing.assert_frame_equal(old, new)


def test_another_seed_changes_only_the_cross_fitted_validation_faces(project):
    project.succeed()
    old_probs = np.load(project.out / "probs.npy")
    project.params["seed"] += 1
    project.succeed()
    is_changed = (np.load(project.out / "probs.npy") != old_probs).any(axis=1)
    assert set(project.table["fold"][is_changed]) == {"valid"}


def test_a_threshold_per_emotion_is_applied(project):
    project.params["pseudo_label"]["policies"]["fixed"]["threshold"] = dict.fromkeys(EMOTIONS, 0.0) | {"happy": 1.0}
    _, labels, _ = project.succeed()
    assert labels["accepted"][labels["emotion"] != "happy"].all()
    assert not labels["accepted"][labels["emotion"] == "happy"].any()


@pytest.mark.parametrize("policy", list(load_params(ROOT / "params.yaml").pseudo_label.policies.model_dump()))
def test_every_policy_labels_by_the_thresholds_in_its_summary(project, policy):
    project.params["pseudo_label"] |= {"policy": policy, "alignment": "valid"}
    _, labels, summary = project.succeed()
    assert summary["policy"] == {"name": policy} | project.params["pseudo_label"]["policies"][policy]
    assert labels["threshold"].tolist() == [summary["thresholds"][emotion] for emotion in labels["emotion"]]
    assert labels["accepted"].tolist() == (labels["confidence"] >= labels["threshold"]).tolist()
    assert (labels["accepted"] == (labels["weight"] > 0)).all()


@pytest.mark.parametrize("weights", ["none", "confidence", "softmatch"])
def test_accepted_faces_have_the_weights_of_the_params(project, weights):
    project.params["pseudo_label"]["weights"] = weights
    project.params["pseudo_label"]["policies"]["fixed"]["threshold"] = 0.0
    _, labels, summary = project.succeed()
    confidence = labels["confidence"]
    shortfall = (confidence.mean() - confidence).clip(lower=0)
    by_name = {"none": 1, "confidence": confidence, "softmatch": np.exp(-(shortfall**2) / 2 / confidence.var(ddof=0))}
    np.testing.assert_allclose(labels["weight"], np.broadcast_to(by_name[weights], len(labels)), atol=1e-5)
    assert summary["weights"] == weights


def test_alignment_moves_the_class_frequencies_of_the_pool_towards_validation(project):
    pool, valid = project.table["fold"] == "unlabelled", project.table["fold"] == "valid"
    prior = project.table["emotion"][valid].value_counts(normalize=True).reindex(EMOTIONS, fill_value=0).to_numpy()
    distances = []
    for alignment in ("none", "valid"):
        project.params["pseudo_label"]["alignment"] = alignment
        project.succeed()
        distances.append(np.abs(np.load(project.out / "probs.npy")[pool].mean(axis=0) - prior).sum())
    assert distances[1] < distances[0] / 2


def test_only_faces_on_which_all_views_agree_are_accepted(project):
    project.params["pseudo_label"] |= {"agreement": ["views"], "policy": "softmatch"}
    project.logits[MEMBERS[0]][:, 1] = np.roll(project.logits[MEMBERS[0]][:, 0], 1, axis=1)
    _, labels, _ = project.succeed()
    assert set(labels["reason"]) == {"accepted", "not agreed on"}
    assert ((labels["reason"] == "accepted") == labels["accepted"]).all()


def test_a_policy_that_accepts_nothing_writes_all_files_and_a_message(project):
    project.params["pseudo_label"]["policies"]["fixed"]["threshold"] = 1.0
    printed, labels, summary = project.succeed()
    assert len(labels) == 40
    assert summary["accepted"] == 0
    assert not np.load(project.out / "accepted.npy").any()
    assert printed.count("\n") == 1
    assert "accepted none of 40" in printed


def test_an_empty_pool_writes_a_header_and_a_message(project):
    project.table.loc[project.table["fold"] == "unlabelled", "fold"] = "excluded"
    printed, labels, summary = project.succeed()
    assert len(labels) == 0
    assert list(labels)[:2] == ["id", "source"]
    assert summary["unlabelled"] == 0
    assert "no unlabelled faces" in printed


def test_ids_that_look_like_formulas_are_escaped(project):
    project.table.loc[100, "id"] = '=HYPERLINK("x")'
    _, labels, _ = project.succeed()
    assert labels["id"][0] == '\'=HYPERLINK("x")'


def test_missing_validation_faces_are_reported(project):
    project.table.loc[project.table["fold"] == "valid", "fold"] = "train"
    assert "unify.valid" in project.fail()


def test_predictions_of_another_table_are_reported_and_old_outputs_stay(project):
    project.succeed()
    old_labels = (project.out / "labels.csv").read_bytes()
    project.logits["shallow-0"] = project.logits["shallow-0"][:-1]
    assert "predictions/shallow-0.npy: has shape (144, 2, 7)" in project.fail()
    assert (project.out / "labels.csv").read_bytes() == old_labels
    assert list(project.out.parent.iterdir()) == [project.out]


def test_predictions_that_are_not_finite_are_reported(project):
    project.logits["improved_se-0"][110, 1, 3] = np.nan
    assert "predictions/improved_se-0.npy: row 110 is not finite" in project.fail()


def test_a_network_without_predictions_is_reported(project):
    del project.logits["shallow-0"]
    assert "predictions/shallow-0.npy: no such file" in project.fail()


def test_reviewed_faces_get_the_label_of_the_reviewer_and_leave_the_pool(project):
    _, old_labels, old_summary = project.succeed()
    old_arrays = {name: np.load(project.out / f"{name}.npy") for name in ("accepted", "probs", "weights")}
    project.reviews = {("faces", "100.png"): "sad", ("faces", "101.png"): "unusable", ("faces", "139.png"): "happy"}
    printed, labels, summary = project.succeed()
    accepted, reviewed = np.load(project.out / "accepted.npy"), np.load(project.out / "reviewed.npy")
    probs, weights = np.load(project.out / "probs.npy"), np.load(project.out / "weights.npy")

    assert np.flatnonzero(reviewed).tolist() == [100, 101, 139]
    assert accepted[reviewed].tolist() == [True, False, True]
    assert weights[reviewed].tolist() == [1, 0, 1]
    assert probs[100].tolist() == [float(emotion == "sad") for emotion in EMOTIONS]
    assert (accepted.dtype, weights.dtype, probs.dtype) == (bool, np.float32, np.float32)
    for name, array in (("accepted", accepted), ("probs", probs), ("weights", weights)):
        np.testing.assert_array_equal(array[~reviewed], old_arrays[name][~reviewed])

    assert labels["reason"][[0, 1, 39]].tolist() == ["reviewed", "set aside in review", "reviewed"]
    assert labels["emotion"][[0, 1, 39]].tolist() == ["sad", old_labels["emotion"][1], "happy"]
    assert labels["confidence"].tolist() == old_labels["confidence"].tolist()
    assert (summary["reviewed"], summary["set_aside"]) == (3, 1)
    assert (old_summary["reviewed"], old_summary["set_aside"]) == (0, 0)
    assert summary["unlabelled"] == old_summary["unlabelled"] - 3
    assert summary["accepted"] == accepted[~reviewed].sum() == sum(summary["per_emotion"].values())
    assert "people reviewed 3 more and set 1 of them aside" in printed


def test_policies_ignore_reviewed_faces(project):
    project.params["pseudo_label"] |= {"policy": "top_k", "alignment": "uniform"}
    project.params["pseudo_label"]["policies"]["top_k"]["faces"] = 2
    project.reviews = {("faces", "105.png"): "sad"}
    _, reviewed, _ = project.succeed()
    project.reviews = {}
    project.table.loc[105, "fold"] = "excluded"
    _, without, _ = project.succeed()
    pd.testing.assert_frame_equal(reviewed.drop(5).reset_index(drop=True), without)


def test_reviews_without_a_matching_face_are_counted_and_ignored(project):
    _, old, _ = project.succeed()
    project.reviews = {("faces", "gone.png"): "sad", ("old", "100.png"): "sad", ("faces", "3.png"): "sad"}
    printed, new, _ = project.succeed()
    assert "note: 2 of 3 reviewed faces, such as faces/gone.png, are no longer in the table; " in printed
    assert "note: 1 of 3 reviewed faces, such as faces/3.png, are labelled or excluded; " in printed
    pd.testing.assert_frame_equal(old, new)


def test_a_review_with_an_unused_emotion_sets_the_face_aside_with_a_note(project):
    project.reviews = {("faces", "100.png"): "contempt"}
    printed, labels, _ = project.succeed()
    assert labels["reason"][0] == "set aside in review"
    assert "not in `emotions` of params.yaml" in printed
