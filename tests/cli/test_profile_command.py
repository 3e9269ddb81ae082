"""`fer profile` edits params.yaml in place and prints every change."""

from pathlib import Path

import pytest
from commands import call_fer

from fer.params import load_params


def test_a_profile_is_written_with_one_line_for_each_change(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path("params.yaml").read_text()
    assert call_fer(monkeypatch, "profile", "gpu") is None
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["precision: fp32 -> bf16", "train.batch: 32 -> 512", "train.optimizer.lr: 0.003 -> 0.005"]
    assert out[-1] == "now run `dvc repro`"
    params = load_params()
    assert (params.precision, params.train.batch, params.predict.batch) == ("bf16", 512, 4096)
    phases = params.networks["vgg16"].transfer.phases
    assert [phase.lr for phase in phases] == [4e-3, 2e-3, 2e-4]
    pairs = zip(old.splitlines(), Path("params.yaml").read_text().splitlines(), strict=True)
    changed = [(before, after) for before, after in pairs if before != after]
    assert len(changed) == len(out) - 1
    for before, after in changed:
        assert before.partition("#")[2] == after.partition("#")[2]


def test_a_second_call_changes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call_fer(monkeypatch, "profile", "gpu")
    text = Path("params.yaml").read_bytes()
    capsys.readouterr()
    assert call_fer(monkeypatch, "profile", "gpu") is None
    assert capsys.readouterr().out == "nothing to change\n"
    assert Path("params.yaml").read_bytes() == text


def test_the_way_back_leads_to_the_old_parameters(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load_params()
    call_fer(monkeypatch, "profile", "gpu")
    assert load_params() != old
    call_fer(monkeypatch, "profile", "cpu")
    assert load_params() == old


def test_a_damaged_file_is_reported_and_left_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path("params.yaml").read_text().replace("batch: 32 ", "batch: many ")
    Path("params.yaml").write_text(text)
    assert str(call_fer(monkeypatch, "profile", "gpu")).startswith("error: params.yaml: train.batch is 'many'")
    assert Path("params.yaml").read_text() == text
