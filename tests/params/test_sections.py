"""The schema of params.yaml and its messages."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fer.nn.names import NETWORKS
from fer.params import Params, load_params
from fer.runtime.errors import InputError
from fer.training.params import resolve_recipe

SHIPPED = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
# One layout, however the file was edited.
TEXT = yaml.safe_dump(SHIPPED, default_flow_style=None, sort_keys=False, width=1000)


def load_edited(tmp_path: Path, pattern: str, replacement: str) -> Params:
    """Return the shipped parameters with one passage replaced; patterns allow other values than the shipped ones."""
    text, count = re.subn(pattern, lambda _: replacement, TEXT, count=1, flags=re.MULTILINE)
    assert count, f"params.yaml has no {pattern}"
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_params(path)


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", "0.001"])
def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path, number: str) -> None:
    params = load_edited(tmp_path, r"label_smoothing: \S+", f"label_smoothing: {number}")
    assert params.train.label_smoothing == 1e-3


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"epochs: \d+", "epocs: 20", r"train\.epocs is not a key; did you mean epochs\?"),
        (
            r"optimizer: \{kind: adamw, lr:",
            "optimizer: {kind: adamw, lrr: 1.0, lr:",
            r"train\.optimizer\.lrr is not a key; did you mean lr\?",
        ),
        (r"epochs: \d+", "epochs: '20'", r"train\.epochs is '20'; it should be a valid integer"),
        (r"epochs: \d+", "epochs: 0", r"train\.epochs is 0; it should be greater than or equal to 1"),
        (
            r"fixed: \{.*\}",
            "fixed: {threshold: 1.8}",
            r"policies\.fixed\.threshold is 1\.8; it should be less than or equal to 1",
        ),
        (r"fixed: \{.*\}", "fixed: {threshold: high}", r"policies\.fixed\.threshold is 'high'"),
        (r"policy: \w+", "policy: fixmatch", r"pseudo_label\.policy is 'fixmatch'; it should be 'ada_cm', 'fixed'"),
        (r"target: 0.9", "target: 1.0", r"policies\.precision\.target is 1\.0; it should be less than 1"),
        (r"agreement: \[\]", "agreement: [crops]", r"agreement\.0 is 'crops'; it should be 'networks' or 'views'"),
        (
            r"fixed: \{.*\}",
            "fixed: {threshold: {angry: 0.7}}",
            "must name every emotion, in order: angry, disgust",
        ),
        (r"  ema: \S+", "  ema: .nan", r"train\.ema is nan"),
        (r"schedule: .*", "schedule: {kind: cyclic, warmup: 0.1}", "'cyclic'.*'one_cycle', 'step'"),
        (r"^seed: \d+", "seed: 0\nseed: 1", "line 2: seed occurs twice"),
        (r"retrain: \[.*?\]", "retrain: [2]", r"rounds: retrain is \[2\], but rounds are counted from 1"),
        (r"predict: \[.*?\]", "predict: [0]", r"predict is \[0\], but must be 0 and then `retrain`: \[0, 1\]"),
        (r"teacher: \{.*?\}", "teacher: {1: 0}", 'rounds.teacher.1 has the key 1, which must be quoted: "1"'),
        (r"teacher: \{.*?\}", 'teacher: {"1": 1}', "must be an earlier round"),
        (r"ensemble: .*", "ensemble: [improved_see]", "ensemble names improved_see, but networks has .*improved_se"),
        (r"ensemble: .*", "ensemble: [shallow, shallow]", "ensemble: names shallow twice"),
        (r"ensemble: .*", "ensemble: []", "at least 1"),
        (r"ensemble: .*", "ensemble: [{shallow: 2}, se]", r"ensemble: must be a list of names, or a mapping"),
        (r"^  views: .*", "  views: [plain, plain]", r"predict\.views names plain twice"),
        (
            r"  shallow: .*",
            "  shallow: {epochs: 3, transfer: {pretrained: true, input_px: 96, "
            "phases: [{layers: all, epochs: 1, lr: 1.0, class_weights: none}]}}",
            r"networks\.shallow has epochs, but each phase of transfer has its own",
        ),
        (r"replicas: .*", "replicas: []", r"replicas is \[\]; List should have at least 1 item"),
        (r"replicas: .*", "replicas: [-1]", r"replicas\.0 is -1; it should be greater than or equal to 0"),
        (r"replicas: .*", "replicas: [0, 1, 1]", "replicas names 1 twice"),
        (r"replicas: .*", "replicas: 3", "replicas is 3; it should be a valid list"),
        (r"  shallow: .*", "  shallow-2: {}", "networks names shallow-2, but a hyphen and digits mark a replica"),
        (r"ensemble: .*", "ensemble: {shallow: 0}", "ensemble gives every network the weight 0"),
        (r"ensemble: .*", "ensemble: {shallow: -1}", r"ensemble\.shallow is -1"),
        (r"  shallow: .*", "  shalow: {}", "networks names shalow, but fer/models has .*shallow"),
        (
            r"  shallow: .*",
            "  shallow: {optimizer: {kind: sgd, lr: 1, momentum: 0, nesterov: true, weight_decay: 0}}",
            r"networks\.shallow\.optimizer: nesterov needs a momentum above 0",
        ),
        (
            r"  shallow: .*",
            "  shallow: {dropuot: 0.1}",
            r"networks\.shallow\.dropuot is not a key; did you mean dropout",
        ),
        (
            r"  shallow: .*",
            "  shallow: {transfer: {pretrained: true, input_px: 96, phases: [{layer: head}]}}",
            r"networks\.shallow\.transfer\.phases\.0\.layer is not a key; did you mean layers\?",
        ),
        (r"\[angry, disgust, fear", "[disgust, angry, fear", "emotions must keep the order angry, disgust"),
        (r"readers: \{.*?\}", "readers: {mine: tree}", "ingest.readers names mine, but sources are"),
        (r"^transforms: .*", "transforms: stong", "transforms is stong, but transform_sets has standard, strong"),
        (r"^transforms: .*", "transforms: {flip: 0.5}", r"transforms is \{'flip': 0.5\}; it should be a valid string"),
        (r"erased_area: 0.3", "erased_area: 1.3", r"transform_sets\.strong\.erased_area is 1\.3; it should be less"),
        (r"erased_area: 0.3", "erased: 0.3", r"transform_sets\.strong\.erased is not a key; did you mean erased_area"),
        (
            r"  weights: none",
            "  weights: cubic",
            r"pseudo_label\.weights is 'cubic'; it should be 'none', 'confidence'",
        ),
        (r"^seed: \d+", "seed: [0", "not valid YAML"),
    ],
)
def test_a_mistake_is_reported_with_its_key_and_the_allowed_values(
    tmp_path: Path, pattern: str, replacement: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error_info:
        load_edited(tmp_path, pattern, replacement)
    assert "\n" not in str(error_info.value)
    assert "constrained" not in str(error_info.value)


def test_every_network_has_a_row_and_every_row_is_a_network() -> None:
    assert sorted(SHIPPED["networks"]) == NETWORKS


def test_the_row_of_a_network_overrides_keys_of_the_shared_recipe(tmp_path: Path) -> None:
    row = "  shallow: {dropout: 0.3, patience: 7, optimizer: {kind: adam, lr: 0.1, weight_decay: 0}}"
    params = load_edited(tmp_path, r"  shallow: .*", row)
    shared, recipe = params.train, params.train.with_overrides(params.networks["shallow"])
    assert (recipe.dropout, recipe.patience, recipe.optimizer.kind) == (0.3, 7, "adam")
    overridden_keys = {"dropout", "patience", "optimizer"}
    assert recipe.model_dump(exclude={"transfer"} | overridden_keys) == shared.model_dump(exclude=overridden_keys)
    assert recipe.phases() == [recipe]


def test_a_network_without_a_row_is_reported_with_the_existing_rows(tmp_path: Path) -> None:
    params = load_edited(tmp_path, r"^seed: .*", "seed: 0")
    with pytest.raises(InputError, match=r"network 'sea' has no row in `networks`; add one, or choose from shallow, "):
        resolve_recipe("sea", params.networks, params.train)


def test_phases_override_learning_rate_epochs_and_class_weights(tmp_path: Path) -> None:
    phases = (
        "[{layers: head, epochs: 5, lr: 1.0e-3, class_weights: none},"
        " {layers: all, epochs: 2, lr: 5.0e-5, class_weights: balanced}]"
    )
    row = f"  shallow: {{transfer: {{pretrained: false, input_px: 96, phases: {phases}}}}}"
    params = load_edited(tmp_path, r"  shallow: .*", row)
    first, second = params.train.with_overrides(params.networks["shallow"]).phases()
    assert (first.epochs, first.optimizer.lr, first.class_weights) == (5, 1e-3, "none")
    assert (second.epochs, second.optimizer.lr, second.class_weights) == (2, 5e-5, "balanced")
    assert first.optimizer.kind == params.train.optimizer.kind
    assert [phase.transfer.phases[0].layers for phase in (first, second)] == ["head", "all"]


@pytest.mark.parametrize(
    ("text", "weights"),
    [("[shallow, se]", {"shallow": 1.0, "se": 1.0}), ("{shallow: 2, se: 0.5}", {"shallow": 2.0, "se": 0.5})],
)
def test_an_ensemble_is_a_list_or_a_mapping_to_weights(tmp_path: Path, text: str, weights: dict[str, float]) -> None:
    assert load_edited(tmp_path, r"ensemble: .*", f"ensemble: {text}").ensemble == weights


def test_every_replica_of_a_network_is_a_member_with_its_weight(tmp_path: Path) -> None:
    params = load_edited(tmp_path, r"ensemble: .*\nreplicas: .*", "ensemble: {shallow: 2, se: 0.5}\nreplicas: [0, 3]")
    assert list(params.members.items()) == [("shallow-0", 2), ("shallow-3", 2), ("se-0", 0.5), ("se-3", 0.5)]
    assert params.members_of(3) == {"shallow-3": 2, "se-3": 0.5}


def test_a_missing_key_is_reported_with_its_origin(tmp_path: Path) -> None:
    message = r"train\.mixup is missing; copy it from `git show HEAD:\./params\.yaml`; .*did you mean mixup"
    with pytest.raises(InputError, match=message):
        load_edited(tmp_path, r"  mixup: .*", "  mix: 0.0")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_params(tmp_path / "params.yaml")


def test_emotions_may_lack_neutral_or_include_contempt(tmp_path: Path) -> None:
    assert "neutral" not in load_edited(tmp_path, r"surprise, neutral\]", "surprise]").emotions
    assert "contempt" in load_edited(tmp_path, r"surprise, neutral\]", "surprise, neutral, contempt]").emotions


@given(content=st.binary(max_size=200))
def test_random_bytes_are_reported_as_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("junk") / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_params(path)


@pytest.mark.parametrize(
    "text",
    [
        "".join(["a0: &a0 [1, 1]\n", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)), "seed: *a39"]),
        "".join(["m0: &m0 {x: 1}\n", *(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 40))]),
        "seed: &a [*a]",
        "seed: " + "[" * 20_000,
        "? [a, b]\n: 1",
        "seed: 2002-99-99",
        "seed: !!int many",
        "seed: !!timestamp never",
        "seed: " + "9" * 10_000,
        "seed: !!python/object/apply:os.system [exit]",
        "".join(f"k{n}: 1\n" for n in range(50_000)),
        "# " + "x" * 2_000_000,
    ],
    ids=lambda text: text[:20],
)
def test_hostile_yaml_is_refused_with_a_short_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError) as error_info:
        load_params(tmp_path / "params.yaml")
    assert len(str(error_info.value)) < 20_000


def test_a_value_may_be_shared_by_several_keys(tmp_path: Path) -> None:
    text = re.sub(r"^seed: \S+", "seed: &count 8", TEXT, flags=re.MULTILINE)
    (tmp_path / "params.yaml").write_text(re.sub(r"bins: \d+", "bins: *count", text))
    assert load_params(tmp_path / "params.yaml").evaluate.bins == 8
