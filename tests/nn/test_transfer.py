"""Transfer networks. The "ImageNet" weights here are random: none are downloaded."""

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
from fer.nn.transfer import load_imagenet_weights, pooled_head
from fer.nn.weights import build_model, normalize_faces
from fer.params import load_params
from fer.runtime.errors import InputError
from fer.training import loop
from fer.training.examples import LabelledSet
from fer.training.params import Recipe, RecipeOverrides

ROOT = Path(__file__).parents[2]
PARAMS = load_params(ROOT / "params.yaml")
NAMES = [name for name, row in PARAMS.networks.items() if row.transfer]
KERAS_BACKBONES = {  # trainable parameters without the top
    "mobilenet": 3_206_976,
    "inception_v3": 21_768_352,
    "vgg16": 14_714_688,
    "resnet50v2": 23_519_360 - 19_008,  # Keras' convolutions have biases
}
SEVEN = EMOTIONS[:7]
PHASE = {"epochs": 1, "lr": 0.01, "class_weights": "none"}


def recipe(**transfer: Any) -> Recipe:
    transfer = {"pretrained": False, "input_px": 32, "phases": [{"layers": "all"} | PHASE]} | transfer
    return PARAMS.train.with_overrides(RecipeOverrides.model_validate({"transfer": transfer, "batch": 8}))


def mobilenet(**transfer: Any) -> torch.nn.Module:
    return loop.init_model("mobilenet", recipe(**transfer), SEVEN, 48, seed=0)[0]


@pytest.fixture
def imagenet() -> dict[str, torch.Tensor]:
    """Return the state of timm's complete MobileNet, as its weights file holds it."""
    torch.manual_seed(9)
    return timm.create_model(import_module("fer.models.mobilenet").BACKBONE).state_dict()


def test_five_networks_of_the_reports_are_trained_in_phases() -> None:
    assert NAMES == ["resnet50v2", "inception_v3", "mobilenet", "xception", "vgg16"]
    for name in NAMES:
        layers = [phase.layers for phase in PARAMS.networks[name].transfer.phases]
        weights = [phase.class_weights for phase in PARAMS.networks[name].transfer.phases]
        assert (layers, weights) == (["head", "all", "all"], ["none", "none", "balanced"])


@pytest.mark.parametrize("name", KERAS_BACKBONES)
def test_the_backbone_has_the_parameter_count_of_keras(name: str) -> None:
    parameters = dict(build_model(name, 7, 48, input_px=96).backbone.named_parameters())
    if name == "inception_v3":  # Keras has no scales of batch norm
        parameters = {key: value for key, value in parameters.items() if not key.endswith("bn.weight")}
    assert sum(value.numel() for value in parameters.values()) == KERAS_BACKBONES[name]


def test_the_backbone_gets_resized_normalised_rgb_images() -> None:
    network = build_model("vgg16", 7, 48, input_px=64).eval()
    images = []
    network.backbone.features[0].register_forward_pre_hook(lambda _, inputs: images.append(inputs[0]))
    network(normalize_faces(torch.full((1, 48, 48), 0.8)))
    assert images[0].shape == (1, 3, 64, 64)
    for channel, mean, std in zip(images[0][0], (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True):
        torch.testing.assert_close(channel, torch.full((64, 64), (0.8 - mean) / std), atol=1e-5, rtol=0)


def test_pretrained_true_loads_the_weights_from_the_hub_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imagenet: dict[str, torch.Tensor]
) -> None:
    repository = tmp_path / "models--timm--mobilenetv1_100.ra4_e3600_r224_in1k"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(imagenet, repository / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    state = mobilenet(pretrained=True).backbone.state_dict()
    assert all(torch.equal(state[key], imagenet[key]) for key in state)


def test_without_a_connection_the_remedies_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = r"cannot download .*mobilenetv1.*huggingface\.co.*\.safetensors, or to false"
    with pytest.raises(InputError, match=message) as raised:
        mobilenet(pretrained=True)
    assert "\n" not in str(raised.value)


def test_weights_are_loaded_from_a_file_and_the_head_stays_new(
    tmp_path: Path, imagenet: dict[str, torch.Tensor]
) -> None:
    save_file(imagenet, tmp_path / "imagenet.safetensors")
    scratch, pretrained = mobilenet(), mobilenet(pretrained=str(tmp_path / "imagenet.safetensors"))
    state = pretrained.backbone.state_dict()
    assert all(torch.equal(state[key], imagenet[key]) for key in state)
    assert not torch.equal(state["conv_stem.weight"], scratch.backbone.state_dict()["conv_stem.weight"])
    heads = zip(scratch.head.parameters(), pretrained.head.parameters(), strict=True)
    assert all(torch.equal(*parameters) for parameters in heads)


def test_files_without_the_weights_are_rejected(tmp_path: Path, imagenet: dict[str, torch.Tensor]) -> None:
    network = mobilenet()
    torch.save(imagenet, tmp_path / "pickled.bin")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    save_file(imagenet | {"conv_stem.weight": torch.zeros(2)}, tmp_path / "shape.safetensors")
    for name in ("pickled.bin", "other.safetensors", "shape.safetensors", "missing.safetensors"):
        with pytest.raises(InputError, match=rf"{name}: not a safetensors file with the weights of timm/mobilenetv1"):
            load_imagenet_weights(network, str(tmp_path / name))


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_the_max_pool_of_the_head_uses_every_cell_of_a_map(side: int) -> None:
    maps = torch.zeros(1, 4, side, side)
    maps[..., -1, -1] = 1
    pooling_layers = pooled_head(4, n_classes=7, dropout=0.3).eval()[:4]
    assert (pooling_layers(maps) > 0).all()


def test_a_too_small_input_px_is_reported() -> None:
    with pytest.raises(
        InputError, match=r"inception_v3\.tf_in1k: transfer\.input_px=64 is below the minimum of 75 pixels"
    ):
        build_model("inception_v3", 7, 48, input_px=64)


def test_a_missing_timm_is_reported_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    original_import = builtins.__import__

    def without_timm(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "timm":
            raise ImportError("No module named 'timm'")
        return original_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(InputError, match=r"mobilenetv1.*timm is not installed; run `pip install '\.\[transfer\]'`"):
        mobilenet()


def test_the_head_is_trained_first_then_all_layers() -> None:
    generator = np.random.default_rng(0)
    targets = np.eye(7, dtype=np.float32)[generator.integers(0, 7, 16)]
    faces = LabelledSet(
        generator.integers(0, 256, (16, 48, 48), dtype=np.uint8), targets, np.ones(16, dtype=np.float32)
    )

    def train_phases(*layers: str) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
        network = mobilenet()
        curve = loop.train_network(
            network,
            faces,
            faces,
            recipe=recipe(phases=[{"layers": name} | PHASE for name in layers]),
            transforms=PARAMS.transform_sets[PARAMS.transforms],
            seed=0,
            precision="fp32",
            name="mobilenet",
            epoch_faces=16,
        )
        return network.state_dict(), curve

    initial = mobilenet().state_dict()
    head_only, curve = train_phases("head")
    changed = {key for key in initial if not torch.equal(initial[key], head_only[key])}
    assert changed
    assert all(key.startswith("head.") for key in changed), "weights and running means of the backbone must stay"
    assert [row["epoch"] for row in curve] == [1]

    all_layers, curve = train_phases("head", "all")
    unchanged = {key for key in initial if torch.equal(initial[key], all_layers[key])}
    assert all(key.endswith("num_batches_tracked") for key in unchanged), "update_ema skips integers"
    assert [row["epoch"] for row in curve] == [1, 2]
