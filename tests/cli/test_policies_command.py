"""`fer policies` reads stored predictions only, and `--set` edits params.yaml in place."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from commands import call_fer
from PIL import Image

from fer.core.files import write_json
from fer.core.table import TABLE_COLUMNS, write_csv
from fer.experiments.policies import format_policy
from fer.params import load_params
from pipeline import pseudo_label

N = 700


@pytest.fixture
def predicted(project: Path) -> Path:
    """Return a project with predictions of round 0 for labelled, validation and unlabelled faces."""
    emotions, rng = load_params().emotions, np.random.default_rng(0)
    truth = rng.integers(0, len(emotions), N)
    names = np.array(emotions)[truth]
    fold = np.array(["train", "valid", "unlabelled", "unlabelled"])[np.arange(N) % 4]
    table = pd.DataFrame("", index=range(N), columns=list(TABLE_COLUMNS))
    table["id"], table["source"], table["fold"] = [f"{row}.png" for row in range(N)], "faces", fold
    table["emotion"] = np.where(fold == "unlabelled", "", names)
    write_csv(project / "data/unified/table.csv", table.assign(twin_in_train=False))
    hidden = pd.DataFrame({"emotion": np.where(fold == "unlabelled", names, "")})
    write_csv(project / "data/unified/truth.csv", hidden)
    write_csv(project / "data/reviews.csv", pd.DataFrame(columns=["source", "id", "emotion"]))
    folder = project / "data/predictions/0"
    folder.mkdir(parents=True)
    logits = rng.normal(size=(N, 2, len(emotions))) + 2 * np.eye(len(emotions))[truth][:, None]
    for name in load_params().members:
        np.save(folder / f"{name}.npy", logits.astype(np.float32))
        network, _, replica = name.rpartition("-")
        manifest = {"network": network, "replica": int(replica), "weights_sha256": "0"}
        manifest |= {"emotions": emotions, "views": ["plain", "flip"]}
        write_json(folder / f"{name}.json", manifest)
    return project


def replace_column(path: Path, column: str, values: list[str] | str) -> None:
    write_csv(path, pd.read_csv(path, dtype=str, keep_default_na=False).assign(**{column: values}))


def test_policies_are_compared_in_a_table_a_plot_and_json(
    predicted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = Path("params.yaml").read_bytes()
    assert call_fer(monkeypatch, "policies", "--out", "plots/policies.png", "--json", "policies.json") is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("teacher of round 0, alignment none: right on ")
    assert lines[0].endswith("of 175 validation faces; 350 unlabelled and 175 labelled faces")
    assert any(line.startswith("| fixed=0.8 * ") for line in lines)
    assert max(map(len, lines[:-2])) <= 120
    document = json.loads(Path("policies.json").read_text())
    gains = [row["gain"] for row in document["policies"]]
    assert gains == sorted(gains, reverse=True)
    assert lines[-1].endswith(f"Choose with `fer policies --set {document['policies'][0]['policy']}`")
    assert all(row["accepted"] == 0 or row["precision"] > 0.3 for row in document["policies"])
    with Image.open("plots/policies.png") as image:
        assert image.width > 1200
    assert Path("params.yaml").read_bytes() == params


@pytest.mark.parametrize(
    ("policy", "weights"), [("fixed", "none"), ("quota", "confidence"), ("fixed", "softmatch"), ("softmatch", "none")]
)
def test_the_stage_decides_weighs_and_estimates_alike(
    predicted: Path, monkeypatch: pytest.MonkeyPatch, policy: str, weights: str
) -> None:
    reviews = pd.DataFrame({"source": "faces", "id": ["2.png", "3.png"], "emotion": ["happy", "unusable"]})
    write_csv(predicted / "data/reviews.csv", reviews)
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["pseudo_label"] |= {"alignment": "valid", "agreement": ["views", "networks"], "policy": policy}
    content["pseudo_label"]["weights"] = weights
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    paths = [
        "--table",
        "data/unified/table.csv",
        "--predictions",
        "data/predictions/0",
        "--reviews",
        "data/reviews.csv",
    ]
    monkeypatch.setattr(sys, "argv", ["pseudo_label", "--round", "1", "--teacher", "0", *paths, "--out", "labels"])
    pseudo_label.main()
    summary = json.loads(Path("labels/summary.json").read_text())
    assert call_fer(monkeypatch, "policies", "--json", "policies.json") is None
    rows = {row["policy"]: row for row in json.loads(Path("policies.json").read_text())["policies"]}
    options = load_params().pseudo_label
    row = rows[format_policy(policy, options.active_policy)]
    assert 0 < row["accepted"] == summary["accepted"]
    assert {key: row.get(key) for key in summary["estimate"] if key != "per_emotion"} == {
        key: value for key, value in summary["estimate"].items() if key != "per_emotion"
    }
    face_weights = np.load("labels/weights.npy")[~np.load("labels/reviewed.npy")].astype(np.float64)
    assert row["effective"] == pytest.approx(face_weights.sum() ** 2 / (face_weights**2).sum())


def test_another_alignment_is_tried_without_writing_it(
    predicted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {}
    for alignment in ("none", "valid", "uniform"):
        assert call_fer(monkeypatch, "policies", "--alignment", alignment) is None
        first, tables[alignment] = capsys.readouterr().out.split("\n", 1)
        assert f"alignment {alignment}:" in first
    assert len(set(tables.values())) == 3
    assert load_params().pseudo_label.alignment == "none"


def test_reviewed_faces_are_labelled_ones(
    predicted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reviews = pd.DataFrame({"source": "faces", "id": ["2.png", "3.png"], "emotion": ["happy", "unusable"]})
    write_csv(predicted / "data/reviews.csv", reviews)
    assert call_fer(monkeypatch, "policies") is None
    assert "348 unlabelled and 176 labelled faces" in capsys.readouterr().out


def test_an_unknown_truth_leaves_a_gap(
    predicted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_column(predicted / "data/unified/truth.csv", "emotion", "")
    assert call_fer(monkeypatch, "policies", "--json", "policies.json", "--out", "policies.png") is None
    assert not any("precision" in row for row in json.loads(Path("policies.json").read_text())["policies"])


def test_missing_inputs_are_reported_with_the_command_that_makes_them(
    predicted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Path("data/unified/table.csv")
    remedy = "does not exist; run `dvc repro predict`, which predicts rounds 0, 1"
    assert call_fer(monkeypatch, "policies", "--round", "1") == f"error: data/predictions/1: {remedy}"
    replace_column(table, "fold", ["train", "valid", "excluded", "excluded"] * (N // 4))
    assert str(call_fer(monkeypatch, "policies")).startswith("error: there are no unlabelled faces; add an unlabelled ")
    replace_column(table, "fold", "unlabelled")
    assert "the validation fold has no faces" in str(call_fer(monkeypatch, "policies"))
    write_csv(Path("data/unified/truth.csv"), pd.DataFrame({"emotion": ["sad"]}))
    assert call_fer(monkeypatch, "policies") == f"error: the truth has 1 rows, but the table has {N}; run `dvc repro`"
    shutil.rmtree("data/predictions")
    assert call_fer(monkeypatch, "policies") == f"error: data/predictions/0: {remedy}"
    table.unlink()
    assert call_fer(monkeypatch, "policies") == f"error: {table}: {remedy}"


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["softmatch"], ["pseudo_label.policy: fixed -> softmatch"]),
        (["fixed=0.55"], ["pseudo_label.policies.fixed.threshold: 0.8 -> 0.55"]),
        (["quota=0.5"], ["pseudo_label.policy: fixed -> quota", "pseudo_label.policies.quota.share: 0.3 -> 0.5"]),
        (
            ["softmatch", "--alignment", "valid"],
            ["pseudo_label.policy: fixed -> softmatch", "pseudo_label.alignment: none -> valid"],
        ),
    ],
)
def test_a_chosen_policy_changes_only_its_lines(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    changes: list[str],
) -> None:
    old = Path("params.yaml").read_text().splitlines()
    assert call_fer(monkeypatch, "policies", "--set", *arguments) is None
    assert capsys.readouterr().out.splitlines() == [*changes, "now run `dvc repro`"]
    pairs = zip(old, Path("params.yaml").read_text().splitlines(), strict=True)
    changed = [(before, after) for before, after in pairs if before != after]
    assert len(changed) == len(changes)
    for before, after in changed:
        assert before.partition("#")[2] == after.partition("#")[2]
    load_params()
    text = Path("params.yaml").read_bytes()
    assert call_fer(monkeypatch, "policies", "--set", *arguments) is None
    assert capsys.readouterr().out == "nothing to change\n"
    assert Path("params.yaml").read_bytes() == text


def test_a_refused_policy_leaves_params_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path("params.yaml").read_bytes()
    assert str(call_fer(monkeypatch, "policies", "--set", "fixed=2")).startswith("error: policy fixed: threshold is 2;")
    assert Path("params.yaml").read_bytes() == text
