"""What holds for every network in fer/models."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fer import models
from fer.errors import InputError
from fer.labels import EMOTIONS
from fer.models.blocks import SEBlock

SEVEN = EMOTIONS[:7]
PARAMETERS = {"improved_se": (5_232_071, 5_235_335), "shallow": (18_897_479, 18_897_671)}  # PyTorch, Keras


def facts(name: str, size: int = 48) -> models.Facts:
    return models.Facts(name, SEVEN, size, dropout=0.3)


def faces(n: int, size: int = 48) -> torch.Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("size", [48, 64])
def test_a_face_becomes_a_logit_for_each_emotion(name: str, size: int) -> None:
    assert models.build(facts(name, size))(faces(2, size)).shape == (2, 7)


@pytest.mark.parametrize("name", models.NAMES)
def test_every_parameter_learns(name: str) -> None:
    network = models.build(facts(name))
    network(faces(4)).square().sum().backward()
    still = [key for key, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert not still


@pytest.mark.parametrize("name", models.NAMES)
def test_dropout_acts_in_training_and_only_there(name: str) -> None:
    network, batch = models.build(facts(name)), faces(4)
    assert (network(batch) != network(batch)).any()
    without = models.build(replace(facts(name), dropout=0.0))
    assert torch.equal(without(batch), without(batch))
    network.eval()
    assert torch.equal(network(batch), network(batch))


@pytest.mark.parametrize("name", models.NAMES)
def test_evaluation_does_not_depend_on_the_batch(name: str) -> None:
    network, batch = models.build(facts(name)).eval(), faces(4)
    torch.testing.assert_close(network(batch)[:1], network(batch[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", models.NAMES)
def test_it_has_the_reports_number_of_parameters(name: str) -> None:
    assert models.parameter_counts(models.build(facts(name))) == PARAMETERS[name]


@pytest.mark.parametrize("name", models.NAMES)
def test_what_is_saved_is_what_is_loaded(name: str, tmp_path: Path) -> None:
    network = models.build(facts(name))
    network(faces(8))  # moves the running means
    models.save(network, facts(name), tmp_path)
    loaded, about = models.load(tmp_path, SEVEN, 48)
    assert about == facts(name)
    assert torch.equal(loaded(faces(2)), network.eval()(faces(2)))


def test_the_seed_decides_the_first_weights() -> None:
    torch.manual_seed(3)
    first = models.build(facts("improved_se")).state_dict()
    torch.manual_seed(3)
    again = models.build(facts("improved_se")).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_scaling_after_the_pool_equals_scaling_before_it() -> None:
    block = SEBlock(3, 32, pool=True).eval()
    maps = torch.randn(2, 3, 12, 12)
    before = block.norm(torch.relu(block.conv(maps)))
    torch.testing.assert_close(block(maps), nn.functional.max_pool2d(before * block.weigh(before), 2))


def test_an_unknown_network_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'improved_see' is unknown; fer/models has improved_se, shallow"):
        models.build(facts("improved_see"))


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    models.save(models.build(facts("improved_se")), facts("improved_se"), tmp_path)
    with pytest.raises(InputError, match=r"trained for angry.* at 48 pixels, but asked for .* at 64"):
        models.load(tmp_path, SEVEN, 64)
    with pytest.raises(InputError, match="but asked for angry, happy at 48"):
        models.load(tmp_path, ("angry", "happy"), 48)
    with pytest.raises(InputError, match="damaged, or not the weights of this network"):
        models.load_weights(models.build(facts("shallow")), tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_truncated_weights_file_is_told(tmp_path: Path, keep: int) -> None:
    models.save(models.build(facts("improved_se")), facts("improved_se"), tmp_path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged"):
        models.load(tmp_path, SEVEN, 48)


def test_a_damaged_description_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"network": "improved_se"}')
    with pytest.raises(InputError, match=r"model\.json: damaged"):
        models.read_facts(tmp_path)
