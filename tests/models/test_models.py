"""Laws of every network in fer/models, and how weights are saved and loaded."""

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
from fer.nn.names import NETWORKS
from fer.params import load_params
from fer.runtime.errors import InputError
from fer.training import loop
from fer.training.params import RecipeOverrides

ROOT = Path(__file__).parents[2]
SEVEN = EMOTIONS[:7]
REPORTED_PARAMETERS = {  # as PyTorch and as Keras count them
    "shallow": (18_897_479, 18_897_671),
    "deeper": (4_474_759, 4_478_727),
    "se": (7_950_727, 7_954_695),
    "improved_se": (5_232_071, 5_235_335),
}
ROWS = load_params(ROOT / "params.yaml").networks


def make_config(name: str, size: int = 48, dropout: float = 0.3) -> weights.ModelConfig:
    input_px = 96 if ROWS[name].transfer else None
    return weights.ModelConfig(network=name, emotions=SEVEN, size=size, dropout=dropout, input_px=input_px)


@cache
def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return make_config(name).build()


def faces(n: int, size: int = 48) -> torch.Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_face_of_any_size_gives_a_logit_for_each_emotion(name: str) -> None:
    assert network(name).eval()(faces(2)).shape == (2, 7)
    assert make_config(name, 64).build().eval()(faces(2, 64)).shape == (2, 7)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = network(name).train()
    model.zero_grad()
    model(faces(4)).square().sum().backward()
    assert not [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_acts_only_in_training_mode(name: str) -> None:
    model, batch = network(name).train(), faces(4)
    assert (model(batch) != model(batch)).any()
    model.eval()
    assert torch.equal(model(batch), model(batch))
    rates = {layer: layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)}
    assert max(rates.values()) == 0.3
    for layer in rates:
        layer.p = 0.0
    model.train()
    assert torch.equal(model(batch), model(batch)), "nothing else is random"
    for layer, rate in rates.items():
        layer.p = rate


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_does_not_depend_on_the_batch(name: str) -> None:
    model, batch = network(name).eval(), faces(4)
    torch.testing.assert_close(model(batch)[:1], model(batch[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_docstring_has_the_number_of_parameters(name: str) -> None:
    count = weights.count_parameters(network(name))
    assert f"{count[0]:,} parameters" in " ".join(import_module(f"fer.models.{name}").__doc__.split())
    if name in REPORTED_PARAMETERS:
        assert count == REPORTED_PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_network_is_loaded_unchanged(name: str, tmp_path: Path) -> None:
    trained = network(name)
    weights.save_model(trained, make_config(name), tmp_path)
    loaded, config = weights.load_model(tmp_path, SEVEN, 48)
    assert config == make_config(name)
    assert torch.equal(loaded(faces(2)), trained.eval()(faces(2)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_imports_no_other_network(name: str) -> None:
    """`dvc.yaml` lists the file of the network and the shared files."""
    tree = ast.parse((ROOT / "fer" / "models" / f"{name}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module for module in imported if module.startswith("fer.")} <= {"fer.nn.layers", "fer.nn.transfer"}


def test_the_seed_determines_the_initial_weights() -> None:
    recipe = load_params(ROOT / "params.yaml").train.with_overrides(RecipeOverrides(dropout=0.3))
    first, same, different = (loop.init_model("cnn_se", recipe, SEVEN, 48, seed)[0].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], different[key]) for key in first)


def test_scaling_after_the_pool_equals_scaling_before_it() -> None:
    block = SEBlock(3, 32, pool=True).eval()
    maps = torch.randn(2, 3, 12, 12)
    block.norm.bias.data.normal_()
    block.norm.running_mean.normal_()
    unpooled = block.norm(torch.relu(block.conv(maps)))
    torch.testing.assert_close(block(maps), nn.functional.max_pool2d(unpooled * block.weigh(unpooled), 2))


def test_an_unknown_network_is_reported_with_the_known_ones() -> None:
    assert weights.list_models() == NETWORKS
    with pytest.raises(
        InputError, match=r"unknown network 'improved_see'; choose one of cnn, .*improved_se, .*shallow"
    ):
        weights.build_model("improved_see", 7, 48)


def test_transfer_is_rejected_for_a_network_without_imagenet_weights() -> None:
    with pytest.raises(InputError, match=r"networks\.cnn: `transfer` is set, but cnn has no ImageNet weights"):
        weights.build_model("cnn", 7, 48, input_px=96)


def test_weights_of_another_network_size_or_emotions_are_rejected(tmp_path: Path) -> None:
    weights.save_model(network("improved_se"), make_config("improved_se"), tmp_path)
    with pytest.raises(InputError, match=r"trained for angry.* at 48 pixels, not for .* at 64"):
        weights.load_model(tmp_path, SEVEN, 64)
    with pytest.raises(InputError, match="not for angry, happy at 48"):
        weights.load_model(tmp_path, ("angry", "happy"), 48)
    with pytest.raises(InputError, match="damaged, or not the weights of this network"):
        weights.load_weights(make_config("shallow").build(), tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_truncated_weights_file_is_reported(tmp_path: Path, keep: int) -> None:
    weights.save_model(network("improved_se"), make_config("improved_se"), tmp_path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged"):
        weights.load_model(tmp_path, SEVEN, 48)


def test_missing_weights_are_reported(tmp_path: Path) -> None:
    weights.save_model(network("improved_se"), make_config("improved_se"), tmp_path)
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
        {"unknown": 1},
        {"replica": -1},
    ],
)
def test_an_invalid_description_is_reported(tmp_path: Path, wrong: dict[str, object]) -> None:
    (tmp_path / "model.json").write_text(json.dumps(GOOD))
    assert weights.read_model_config(tmp_path) == make_config("improved_se")
    (tmp_path / "model.json").write_text(json.dumps(GOOD | wrong))
    with pytest.raises(InputError, match=r"model\.json: damaged"):
        weights.read_model_config(tmp_path)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_a_network_has_the_dropout_rate_of_its_recipe(rate: float) -> None:
    recipe = load_params(ROOT / "params.yaml").train.with_overrides(RecipeOverrides(dropout=rate))
    for name in ("simple_cnn", "cnn_se", "se_resnet9"):
        model, config = loop.init_model(name, recipe, SEVEN, 48, 0)
        assert max(layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)) == config.dropout == rate


def test_a_description_without_a_replica_is_of_replica_0(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps(GOOD))
    assert weights.read_model_config(tmp_path).replica == 0
    (tmp_path / "model.json").write_text(json.dumps(GOOD | {"replica": 2}))
    assert weights.read_model_config(tmp_path).replica == 2


def test_an_incomplete_description_is_reported(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"network": "improved_se"}')
    with pytest.raises(InputError, match=r"model\.json: damaged"):
        weights.read_model_config(tmp_path)


def test_the_example_network_of_the_docs_works() -> None:
    source = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "networks.md").read_text(), re.DOTALL)
    assert source
    module = ModuleType("example")
    exec(source[1], module.__dict__)
    model = module.build(n_classes=7, size=48, dropout=0.3)
    assert model(faces(2)).shape == (2, 7)
    module.__doc__ = ast.get_docstring(ast.parse(source[1]))
    assert f"{weights.count_parameters(model)[0]:,} parameters" in module.__doc__
