"""The public API: what it exports, that importing it is fast, and the page that documents it."""

import importlib.util
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fer
from fer.data import list_readers, read_source
from fer.data.media.folders import SkippedItem
from fer.data.readers.params import Ingest
from fer.models import build_model, list_models
from fer.params import load_params
from fer.pseudo_labels import collect_evidence, list_policies, make_policy, select, thresholds
from fer.runtime import public_api
from fer.runtime.errors import InputError

ROOT = Path(__file__).parent.parent
PACKAGES = ("fer", "fer.data", "fer.models", "fer.pseudo_labels")


def make_api() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_generated_from_the_docstrings() -> None:
    assert (ROOT / "docs" / "api.md").read_text() == make_api().page(), "run `python docs/make_api.py`"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_lists_and_exports_its_public_names(name: str) -> None:
    package = import_module(name)
    assert sorted(dir(package)) == sorted(package.__all__)
    assert all(getattr(package, public) is not None for public in package.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_importing_a_package_loads_neither_torch_nor_pandas(name: str) -> None:
    code = f"import sys, {name}; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'fer' has no attribute 'FER'$"):
        fer.FER  # noqa: B018


def test_a_foreign_distribution_is_named_where_a_name_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_api.importlib.metadata, "version", lambda name: {"fer": "25.10"}[name])
    with pytest.raises(AttributeError, match=r"PyPI package `fer` 25\.10, which uses the same import name"):
        fer.FER  # noqa: B018


def test_the_defaults_are_those_of_the_shipped_params() -> None:
    assert Ingest.default() == load_params(ROOT / "params.yaml").ingest.model_copy(update={"readers": {}})


def test_a_source_is_read_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = " ".join(["7"] * 48 * 48)
    table = tmp_path / "fer2013.csv"
    table.write_text(f"emotion,pixels,Usage\n3,{pixels},Training\n6,{pixels},PublicTest\n4,1 2 3,Training\n")
    skipped: list[SkippedItem] = []
    faces = list(read_source(table, skipped=skipped))
    assert [(face.label, face.fold) for face in faces] == [("happy", "train"), ("neutral", "valid")]
    assert all(face.image.shape == (48, 48) and (face.image == 7).all() for face in faces)
    assert [item.reason for item in skipped] == ["number of pixels"]
    assert [face.label for face in read_source(str(tmp_path), reader="fer2013_csv")] == ["happy", "neutral"]


def test_a_missing_source_and_an_unknown_reader_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        next(read_source(tmp_path / "none"))
    with pytest.raises(InputError, match="'fer2014', but the readers are"):
        next(read_source(tmp_path, reader="fer2014"))
    assert {"fer2013_csv", "photos", "affectnet_folders"} <= set(list_readers())


def test_a_network_is_built_by_its_name() -> None:
    import torch

    network = build_model("se_resnet9", n_classes=7, size=48).eval()
    assert network(torch.zeros(2, 1, 48, 48)).shape == (2, 7)
    assert "improved_se" in list_models()
    with pytest.raises(InputError, match="unknown network 'resnet9'; choose one of"):
        build_model("resnet9", n_classes=7, size=48)


def test_literal_defaults_are_those_of_the_shipped_params() -> None:
    params = load_params(ROOT / "params.yaml")
    defaults = {name: value.default for name, value in inspect.signature(build_model).parameters.items()}
    assert defaults["dropout"] == params.train.dropout
    assert inspect.signature(collect_evidence).parameters["alignment"].default == params.pseudo_label.alignment


def test_pseudo_labels_are_selected_from_arrays() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], dtype=np.float32)
    labels, fold = np.array([-1, -1, 1]), np.array(["unlabelled", "unlabelled", "valid"], dtype=object)
    evidence = collect_evidence(probs, labels, fold)
    policy = make_policy("fixed", threshold=0.7)
    assert thresholds(evidence, policy, ["sad", "happy"]).tolist() == [0.7, 0.7]
    assert select(evidence, policy, ["sad", "happy"]).accepted.tolist() == [True, False, False]


def test_a_policy_has_the_shipped_options_unless_they_are_passed() -> None:
    shipped = load_params(ROOT / "params.yaml").pseudo_label.policies
    assert {name: make_policy(name) for name in list_policies()} == dict(shipped)
    with pytest.raises(InputError, match="policy 'best' is unknown; choose from ada_cm, fixed"):
        make_policy("best")
    with pytest.raises(InputError, match="policy top_k: faces is 0; it should be greater"):
        make_policy("top_k", faces=0)


def test_the_version_is_that_of_the_distribution() -> None:
    assert fer.__version__ == "0.1.0"
