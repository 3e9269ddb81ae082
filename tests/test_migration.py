"""A params.yaml of an older version is told what to write, and then means what it meant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fer import migration, params
from fer.errors import InputError

HERE = Path(__file__).parent
OLD = HERE / "params_0.1.0.yaml"
NOW = yaml.safe_load((HERE.parent / "params.yaml").read_text())


def migrated(content: dict[str, Any]) -> dict[str, Any]:
    for key, value in migration.to_write(content).items():
        section, _, name = key.rpartition(".")
        (content[section] if section else content)[name] = value
    return content


def test_what_an_old_file_lacks_is_told_as_lines_to_write(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(OLD.read_text().replace("[improved_se]", "[shallow, improved_se]").replace("0.8 ", "0.7 "))
    with pytest.raises(InputError) as told:
        params.load(path)
    said = str(told.value)
    assert said.startswith(f"{path}: of an older version of the project; to have what it had, write `detector: haar`, ")
    for line in (
        "`disfa_rules: false` in ingest; `leaks: exclude` in unify; `targets: labels`, `mixup: 0.0` in train; ",
        "`ensemble: [shallow, improved_se]`, `networks: {shallow: {}, improved_se: {}}`",
        "`policy: fixed`",
        "`policies: {fixed: {threshold: 0.7}, precision: {target: 0.9,",
        "`online: {policy: none, ",
    ):
        assert line in said
    assert "git checkout" not in said
    assert "\n" not in said


def test_with_those_lines_it_is_valid_and_means_what_it_meant(tmp_path: Path) -> None:
    content = migrated(yaml.safe_load(OLD.read_text()))
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    chosen = params.load(path)
    assert (dict(chosen.ensemble), chosen.pseudo_label.chosen.threshold) == ({"improved_se": 1.0}, 0.8)
    assert chosen.retrain.online.policy == "none"


def test_nothing_else_is_new_since_then() -> None:
    for section, added in migration.ADDED.items():
        assert added.keys() <= NOW[section].keys()
    assert migration.to_write(NOW) == {}
    old = migrated(yaml.safe_load(OLD.read_text()))
    for key, value in NOW.items():
        assert key in old
        if isinstance(value, dict) and key not in ("networks", "rounds"):
            assert value.keys() == old[key].keys()


@pytest.mark.parametrize(("key", "told"), [("mixup", "`mixup: 0.0` in train"), ("epochs", "git checkout")])
def test_other_mistakes_are_told_beside(tmp_path: Path, key: str, told: str) -> None:
    path = tmp_path / "params.yaml"
    content = NOW | {"train": {name: value for name, value in NOW["train"].items() if name != key}, "seed": -1}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="seed is -1") as error:
        params.load(path)
    assert told in str(error.value)


def test_a_misspelt_key_is_no_older_version(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(NOW | {"unify": {**NOW["unify"], "leaks": None}}).replace("leaks:", "leeks:"))
    with pytest.raises(InputError, match=r"unify\.leeks is not a key; did you mean leaks") as error:
        params.load(path)
    assert "older version" not in str(error.value)
