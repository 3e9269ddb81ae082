"""Networks that begin with ImageNet weights. The weights here are drawn: none are downloaded."""

import builtins
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from fer.core.labels import EMOTIONS
from fer.nn import weights as nn_weights
from fer.nn.transfer import load_imagenet_weights, pooled_head
from fer.params import load_params
from fer.runtime.errors import InputError
from fer.training import loop
from fer.training.examples import LabelledSet
from fer.training.params import Recipe, RecipeOverrides

ROOT = Path(__file__).parents[2]
CHOSEN = load_params(ROOT / "params.yaml")
NAMES = [name for name, row in CHOSEN.networks.items() if row.transfer]
KERAS_BACKBONES = {  # what learns, without the top
    "mobilenet": 3_206_976,
    "inception_v3": 21_768_352,
    "vgg16": 14_714_688,
    "resnet50v2": 23_519_360 - 19_008,  # Keras' convolutions have biases
}
SEVEN = EMOTIONS[:7]
PHASE = {"epochs": 1, "lr": 0.01, "class_weights": "none"}


def recipe(**transfer: Any) -> Recipe:
    given = {"pretrained": False, "input_px": 32, "phases": [{"layers": "all"} | PHASE]} | transfer
    return CHOSEN.train.with_overrides(RecipeOverrides.model_validate({"transfer": given, "batch": 8}))


def mobilenet(**transfer: Any) -> torch.nn.Module:
    return loop.init_model("mobilenet", recipe(**transfer), SEVEN, 48, seed=0)[0]


@pytest.fixture
def imagenet() -> dict[str, torch.Tensor]:
    """The state of timm's whole MobileNet, classifier included, as its weights file holds it."""
    torch.manual_seed(9)
    return timm.create_model(import_module("fer.models.mobilenet").BACKBONE).state_dict()


def test_the_reports_five_networks_have_a_row_with_phases() -> None:
    assert NAMES == ["resnet50v2", "inception_v3", "mobilenet", "xception", "vgg16"]
    for name in NAMES:
        layers = [phase.layers for phase in CHOSEN.networks[name].transfer.phases]
        weights = [phase.class_weights for phase in CHOSEN.networks[name].transfer.phases]
        assert (layers, weights) == (["head", "all", "all"], ["none", "none", "balanced"])


@pytest.mark.parametrize("name", KERAS_BACKBONES)
def test_the_backbone_has_the_parameters_that_keras_counts(name: str) -> None:
    network = nn_weights.build_model(
        nn_weights.ModelConfig(network=name, emotions=SEVEN, size=48, dropout=0.3, input_px=96)
    )
    learning = dict(network.backbone.named_parameters())
    if name == "inception_v3":  # Keras' has no scales of batch norm
        learning = {key: value for key, value in learning.items() if not key.endswith("bn.weight")}
    assert sum(value.numel() for value in learning.values()) == KERAS_BACKBONES[name]


def test_a_grey_face_reaches_the_backbone_large_and_normalised_in_three_colours() -> None:
    network = nn_weights.build_model(
        nn_weights.ModelConfig(network="vgg16", emotions=SEVEN, size=48, dropout=0.3, input_px=64)
    ).eval()
    seen = []
    network.backbone.features[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(nn_weights.normalize_faces(torch.full((1, 48, 48), 0.8)))
    assert seen[0].shape == (1, 3, 64, 64)
    for channel, mean, deviation in zip(seen[0][0], (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True):
        torch.testing.assert_close(channel, torch.full((64, 64), (0.8 - mean) / deviation), atol=1e-5, rtol=0)


def test_true_takes_the_weights_from_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imagenet: dict[str, torch.Tensor]
) -> None:
    repository = tmp_path / "models--timm--mobilenetv1_100.ra4_e3600_r224_in1k"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(imagenet, repository / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    filled = mobilenet(pretrained=True).backbone.state_dict()
    assert all(torch.equal(filled[key], imagenet[key]) for key in filled)


def test_without_a_connection_the_ways_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"mobilenetv1.*can't be had.*connection.*\.safetensors, or false") as told:
        mobilenet(pretrained=True)
    assert "\n" not in str(told.value)


def test_weights_come_from_a_file_and_the_head_stays_new(tmp_path: Path, imagenet: dict[str, torch.Tensor]) -> None:
    save_file(imagenet, tmp_path / "imagenet.safetensors")
    fresh, filled = mobilenet(), mobilenet(pretrained=str(tmp_path / "imagenet.safetensors"))
    state = filled.backbone.state_dict()
    assert all(torch.equal(state[key], imagenet[key]) for key in state)
    assert not torch.equal(state["conv_stem.weight"], fresh.backbone.state_dict()["conv_stem.weight"])
    assert all(
        torch.equal(one, other) for one, other in zip(fresh.head.parameters(), filled.head.parameters(), strict=True)
    )


def test_other_files_are_refused(tmp_path: Path, imagenet: dict[str, torch.Tensor]) -> None:
    network = mobilenet()
    torch.save(imagenet, tmp_path / "pickled.bin")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    changed = imagenet | {"conv_stem.weight": torch.zeros(2)}
    save_file(changed, tmp_path / "shape.safetensors")
    for name in ("pickled.bin", "other.safetensors", "shape.safetensors", "missing.safetensors"):
        with pytest.raises(InputError, match=rf"{name}: not a safetensors file with the weights of timm/mobilenetv1"):
            load_imagenet_weights(network, str(tmp_path / name))


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_the_pool_of_the_head_loses_no_cell_of_a_map(side: int) -> None:
    maps = torch.zeros(1, 4, side, side)
    maps[..., -1, -1] = 1
    up_to_the_average = pooled_head(4, n_classes=7, dropout=0.3).eval()[:4]
    assert (up_to_the_average(maps) > 0).all()


def test_a_picture_that_is_too_small_is_told() -> None:
    with pytest.raises(InputError, match=r"inception_v3\.tf_in1k: can't take 64 pixels, but 75 and more"):
        nn_weights.build_model(
            nn_weights.ModelConfig(network="inception_v3", emotions=SEVEN, size=48, dropout=0.3, input_px=64)
        )


def test_without_timm_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without_timm(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "timm":
            raise ImportError("No module named 'timm'")
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(InputError, match=r"mobilenetv1.*needs timm; pip install '\.\[transfer\]'"):
        mobilenet()


def test_the_head_learns_first_and_then_everything() -> None:
    random = np.random.default_rng(0)
    targets = np.eye(7, dtype=np.float32)[random.integers(0, 7, 16)]
    faces = LabelledSet(random.integers(0, 256, (16, 48, 48), dtype=np.uint8), targets, np.ones(16, dtype=np.float32))

    def after(*layers: str) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
        network = mobilenet()
        curve = loop.train_network(
            network,
            faces,
            faces,
            recipe=recipe(phases=[{"layers": each} | PHASE for each in layers]),
            transforms=CHOSEN.transforms,
            seed=0,
            precision="fp32",
            name="mobilenet",
            epoch_faces=16,
        )
        return network.state_dict(), curve

    before = mobilenet().state_dict()
    frozen, curve = after("head")
    changed = {key for key in before if not torch.equal(before[key], frozen[key])}
    assert changed
    assert all(key.startswith("head.") for key in changed), "neither weights nor running means of the backbone"
    assert [row["epoch"] for row in curve] == [1]

    both, curve = after("head", "all")
    unchanged = {key for key in before if torch.equal(before[key], both[key])}
    assert all(key.endswith("num_batches_tracked") for key in unchanged), "the averaged network does not count"
    assert [row["epoch"] for row in curve] == [1, 2]
