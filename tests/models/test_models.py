"""What holds for every network in fer/models."""

import ast
import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from fer.core.labels import EMOTIONS
from fer.nn import weights
from fer.nn.layers import SEBlock
from fer.params import load_params
from fer.runtime.errors import InputError
from fer.training import loop
from fer.training.params import RecipeOverrides

ROOT = Path(__file__).parents[2]
SEVEN = EMOTIONS[:7]
OF_REPORT = {  # parameters as PyTorch and as Keras count them
    "shallow": (18_897_479, 18_897_671),
    "deeper": (4_474_759, 4_478_727),
    "se": (7_950_727, 7_954_695),
    "improved_se": (5_232_071, 5_235_335),
}
ROWS = load_params(ROOT / "params.yaml").networks


def facts(name: str, size: int = 48, dropout: float = 0.3) -> weights.ModelConfig:
    return weights.ModelConfig(
        network=name, emotions=SEVEN, size=size, dropout=dropout, input_px=96 if ROWS[name].transfer else None
    )


@cache
def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return weights.build_model(facts(name))


def faces(n: int, size: int = 48) -> torch.Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", weights.NETWORK_NAMES)
def test_a_face_of_any_size_becomes_a_logit_for_each_emotion(name: str) -> None:
    assert network(name).eval()(faces(2)).shape == (2, 7)
    assert weights.build_model(facts(name, 64)).eval()(faces(2, 64)).shape == (2, 7)


@pytest.mark.parametrize("name", weights.NETWORK_NAMES)
def test_every_parameter_learns(name: str) -> None:
    learning = network(name).train()
    learning.zero_grad()
    learning(faces(4)).square().sum().backward()
    still = [key for key, value in learning.named_parameters() if value.grad is None or not value.grad.any()]
    assert not still


@pytest.mark.parametrize("name", weights.NETWORK_NAMES)
def test_dropout_acts_in_training_and_only_there(name: str) -> None:
    learning, batch = network(name).train(), faces(4)
    assert (learning(batch) != learning(batch)).any()
    learning.eval()
    assert torch.equal(learning(batch), learning(batch))
    rates = {layer: layer.p for layer in learning.modules() if isinstance(layer, nn.Dropout)}
    assert max(rates.values()) == 0.3
    for layer in rates:
        layer.p = 0.0
    learning.train()
    assert torch.equal(learning(batch), learning(batch)), "nothing else is random"
    for layer, rate in rates.items():
        layer.p = rate


@pytest.mark.parametrize("name", weights.NETWORK_NAMES)
def test_evaluation_does_not_depend_on_the_batch(name: str) -> None:
    fixed, batch = network(name).eval(), faces(4)
    torch.testing.assert_close(fixed(batch)[:1], fixed(batch[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", weights.NETWORK_NAMES)
def test_its_docstring_says_how_many_parameters_it_has(name: str) -> None:
    count = weights.count_parameters(network(name))
    assert f"{count[0]:,} parameters" in " ".join(import_module(f"fer.models.{name}").__doc__.split())
    if name in OF_REPORT:
        assert count == OF_REPORT[name]


@pytest.mark.parametrize("name", weights.NETWORK_NAMES)
def test_what_is_saved_is_what_is_loaded(name: str, tmp_path: Path) -> None:
    trained = network(name)
    weights.save_model(trained, facts(name), tmp_path)
    loaded, about = weights.load_model(tmp_path, SEVEN, 48)
    assert about == facts(name)
    assert torch.equal(loaded(faces(2)), trained.eval()(faces(2)))


@pytest.mark.parametrize("name", weights.NETWORK_NAMES)
def test_a_network_depends_on_no_other(name: str) -> None:
    """`dvc.yaml` lists the network's own file and what all share."""
    tree = ast.parse((ROOT / "fer" / "models" / f"{name}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module for module in imported if module.startswith("fer.")} <= {"fer.nn.layers", "fer.nn.transfer"}


def test_the_seed_decides_the_first_weights() -> None:
    recipe = load_params(ROOT / "params.yaml").train.with_overrides(RecipeOverrides(dropout=0.3))
    first, again, other = (loop.init_model("cnn_se", recipe, SEVEN, 48, seed)[0].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_scaling_after_the_pool_equals_scaling_before_it() -> None:
    block = SEBlock(3, 32, pool=True).eval()
    maps = torch.randn(2, 3, 12, 12)
    block.norm.bias.data.normal_()
    block.norm.running_mean.normal_()
    before = block.norm(torch.relu(block.conv(maps)))
    torch.testing.assert_close(block(maps), nn.functional.max_pool2d(before * block.weigh(before), 2))


def test_an_unknown_network_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'improved_see' is unknown; fer/models has cnn, .*improved_se, .*shallow"):
        weights.build_model(facts("improved_se").model_copy(update={"network": "improved_see"}))


def test_a_network_without_imagenet_weights_refuses_to_begin_with_them() -> None:
    with pytest.raises(InputError, match=r"networks\.cnn has `transfer`, but this network begins without"):
        weights.build_model(facts("cnn").model_copy(update={"input_px": 96}))


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    weights.save_model(weights.build_model(facts("improved_se")), facts("improved_se"), tmp_path)
    with pytest.raises(InputError, match=r"trained for angry.* at 48 pixels, but asked for .* at 64"):
        weights.load_model(tmp_path, SEVEN, 64)
    with pytest.raises(InputError, match="but asked for angry, happy at 48"):
        weights.load_model(tmp_path, ("angry", "happy"), 48)
    with pytest.raises(InputError, match="damaged, or not the weights of this network"):
        weights.load_weights(weights.build_model(facts("shallow")), tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_truncated_weights_file_is_told(tmp_path: Path, keep: int) -> None:
    weights.save_model(weights.build_model(facts("improved_se")), facts("improved_se"), tmp_path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged"):
        weights.load_model(tmp_path, SEVEN, 48)


def test_missing_weights_are_told(tmp_path: Path) -> None:
    weights.save_model(network("improved_se"), facts("improved_se"), tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged \(No such file"):
        weights.load_model(tmp_path, SEVEN, 48)


GOOD = {"network": "improved_se", "emotions": list(SEVEN), "size": 48, "dropout": 0.3, "input_px": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": 3},
        {"emotions": [1, 2]},
        {"emotions": []},
        {"size": -48},
        {"size": 10**6},
        {"dropout": 7},
        {"dropout": None},
        {"input_px": "96"},
        {"more": 1},
    ],
)
def test_a_tampered_description_is_told(tmp_path: Path, wrong: dict[str, object]) -> None:
    (tmp_path / "model.json").write_text(json.dumps(GOOD))
    assert weights.read_model_config(tmp_path) == facts("improved_se")
    (tmp_path / "model.json").write_text(json.dumps(GOOD | wrong))
    with pytest.raises(InputError, match=r"model\.json: damaged"):
        weights.read_model_config(tmp_path)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_a_network_has_the_dropout_of_its_recipe(rate: float) -> None:
    recipe = load_params(ROOT / "params.yaml").train.with_overrides(RecipeOverrides(dropout=rate))
    for name in ("simple_cnn", "cnn_se", "se_resnet9"):
        built, about = loop.init_model(name, recipe, SEVEN, 48, 0)
        assert max(layer.p for layer in built.modules() if isinstance(layer, nn.Dropout)) == about.dropout == rate


def test_a_damaged_description_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"network": "improved_se"}')
    with pytest.raises(InputError, match=r"model\.json: damaged"):
        weights.read_model_config(tmp_path)


def test_the_network_that_contributing_shows_is_one() -> None:
    source = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "networks.md").read_text(), re.DOTALL)
    assert source
    module = ModuleType("shown")
    exec(source[1], module.__dict__)
    shown = module.build(7, 48, 0.3)
    assert shown(faces(2)).shape == (2, 7)
    module.__doc__ = ast.get_docstring(ast.parse(source[1]))
    assert f"{weights.count_parameters(shown)[0]:,} parameters" in module.__doc__
