"""`fer export` and the Python code of docs/export.md, on a package with random weights."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import write_package
from commands import call_fer

from fer.serving.package import bundle

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return write_package(tmp_path / "data" / "package")


def test_the_examples_of_docs_export_md_work(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call_fer(monkeypatch, "export") is None
    output = capsys.readouterr().out
    check = r"logits of ONNX Runtime and torch differ by at most \d\.\de-\d\d"
    assert re.match(rf"model\.onnx: \d+\.\d MB, opset 18; {check}\n", output)
    assert "faces: uint8 (n, 16, 16) -> probabilities: angry, happy" in output

    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(encoding="utf-8"), re.DOTALL)
    faces = np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8)
    names: dict[str, np.ndarray] = {"faces": faces}
    exec(code, names)
    probs = bundle.load_package(package, torch.device("cpu"))(faces)
    np.testing.assert_allclose(names["probabilities"], probs, atol=1e-5)
    np.testing.assert_array_equal(names["accepted"], probs.argmax(axis=1) == 0)


def test_a_missing_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "data/package: no package there" in str(call_fer(monkeypatch, "export"))
