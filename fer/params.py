"""`params.yaml`: its schema, read whole by every stage. No default stands here: the numbers are in the file."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from fer.errors import InputError, run
from fer.labels import EMOTIONS
from fer.policies import Emotion, Policies, Policy
from fer.recipes import Changes, Train
from fer.schema import BelowOne, Count, Name, NotNegative, Positive, Section, Share, in_words

_SHARED = ("__init__", "blocks", "transfer")  # files in fer/models that are no networks
NETWORKS = sorted(file.stem for file in (Path(__file__).parent / "models").glob("*.py") if file.stem not in _SHARED)


_MAX_BYTES, _MAX_VALUES = 1_000_000, 100_000  # of params.yaml


class Rounds(Section):
    predict: list[int]
    retrain: list[int]
    teacher: dict[str, int]

    @model_validator(mode="after")
    def _agree(self) -> "Rounds":
        if self.retrain != list(range(1, len(self.retrain) + 1)):
            raise ValueError(f"retrain is {self.retrain}, but rounds are counted from 1: [], [1], [1, 2], …")
        if self.predict != [0, *self.retrain]:
            raise ValueError(f"predict is {self.predict}, but must be 0 and then `retrain`: {[0, *self.retrain]}")
        if list(self.teacher) != [str(round_) for round_ in self.retrain]:
            raise ValueError(
                f"teacher names rounds {list(self.teacher)}, but must name those of `retrain`: {self.retrain}"
            )
        for round_, teacher in self.teacher.items():
            if not 0 <= teacher < int(round_):
                raise ValueError(f'teacher of round "{round_}" is {teacher}, but must be an earlier round')
        return self


class Sample(Section):
    labelled: Annotated[int, Field(ge=70)]
    tests: Annotated[int, Field(ge=70)]
    photos: Annotated[int, Field(ge=10)]


class Ingest(Section):
    size: Annotated[int, Field(ge=16, le=512)]
    readers: dict[Name, str]
    max_dropped: Share
    detector: str
    align: bool
    min_face_px: Annotated[int, Field(ge=8)]
    min_brightness: Annotated[float, Field(ge=0, le=255)]
    frames_per_second: Positive
    ferplus: Literal["majority", "probability", "argmax"]
    ckplus_frames: Annotated[int, Field(ge=1, le=5)]
    kdef_views: Annotated[list[Literal["straight", "half", "profile"]], Field(min_length=1)]
    disfa_rules: bool


class Unify(Section):
    label_budget: Count | None
    valid: Annotated[float, Field(gt=0, lt=0.5)]
    test: Annotated[float, Field(gt=0, lt=0.5)]
    contradictions: Literal["exclude", "majority", "keep"]
    leaks: Literal["exclude", "stop"]


class Augment(Section):
    balance: Share
    max_copies: Annotated[int, Field(ge=0)]


class Transforms(Section):
    flip: Share
    rotation_degrees: Annotated[float, Field(ge=0, le=180)]
    shift: BelowOne
    zoom: BelowOne
    shear_degrees: Annotated[float, Field(ge=0, le=45)]
    brightness: BelowOne
    contrast: BelowOne
    erasing: Share


class Predict(Section):
    views: Annotated[list[Literal["plain", "flip", "ten_crop"]], Field(min_length=1)]
    batch: Count


class PseudoLabel(Section):
    alignment: Literal["none", "valid", "uniform"]
    agreement: list[Literal["networks", "views"]]
    policy: Literal["fixed", "precision", "top_k", "quota", "flexmatch", "freematch", "ada_cm", "softmatch"]
    policies: Policies

    @property
    def chosen(self) -> Policy:
        return getattr(self.policies, self.policy)


class Online(Section):
    policy: Literal["none", "fixmatch", "freematch", "softmatch"]
    threshold: Share
    share: Annotated[float, Field(gt=0, lt=1)]
    alignment: Literal["none", "valid", "uniform"]


class Retrain(Section):
    start: Literal["scratch", "teacher"]
    labels: Literal["soft", "hard"]
    weight: NotNegative
    steps: Positive
    online: Online


class Evaluate(Section):
    bins: Annotated[int, Field(ge=2, le=100)]


class Package(Section):
    round: Literal["best"] | Annotated[int, Field(ge=0)]


def _equal_weights(ensemble: Any) -> Any:
    """A list of networks as the mapping to their weights that it stands for."""
    if not isinstance(ensemble, list):
        return ensemble
    if not all(isinstance(name, str) for name in ensemble):
        raise ValueError("must be a list of names, or a mapping of names to weights: {improved_se: 2, shallow: 1}")
    if twice := sorted({str(name) for name in ensemble if ensemble.count(name) > 1}):
        raise ValueError(f"names {', '.join(twice)} twice")
    return dict.fromkeys(ensemble, 1.0)


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    emotions: Annotated[list[Emotion], Field(min_length=2)]
    sources: Annotated[list[Name], Field(min_length=1)]
    networks: dict[Name, Annotated[Changes, BeforeValidator(lambda row: {} if row is None else row)]]
    ensemble: Annotated[dict[Name, NotNegative], BeforeValidator(_equal_weights), Field(min_length=1)]
    precision: Literal["fp32", "bf16"]
    rounds: Rounds
    sample: Sample
    ingest: Ingest
    unify: Unify
    augment: Augment
    transforms: Transforms
    train: Train
    predict: Predict
    pseudo_label: PseudoLabel
    retrain: Retrain
    evaluate: Evaluate
    package: Package

    @model_validator(mode="after")
    def _agree(self) -> "Params":
        lists: dict[str, list[Any]] = {
            "sources": self.sources,
            "emotions": self.emotions,
            "predict.views": self.predict.views,
        }
        for key, names in lists.items():
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key} names {', '.join(twice)} twice")
        if self.emotions != [emotion for emotion in EMOTIONS if emotion in self.emotions]:
            raise ValueError(f"emotions must keep the order {', '.join(EMOTIONS)}")
        if unknown := [name for name in self.networks if name not in NETWORKS]:
            raise ValueError(f"networks names {', '.join(unknown)}, but fer/models has {', '.join(NETWORKS)}")
        for name, row in self.networks.items():
            if row.transfer and (dead := {"epochs", "class_weights"} & row.model_fields_set):
                raise ValueError(
                    f"networks.{name} has {', '.join(sorted(dead))}, but each phase of transfer has its own"
                )
        if unknown := [name for name in self.ensemble if name not in self.networks]:
            raise ValueError(f"ensemble names {', '.join(unknown)}, but networks has {', '.join(self.networks)}")
        if not any(self.ensemble.values()):
            raise ValueError("ensemble gives every network the weight 0; at least one must vote")
        if unknown := sorted(set(self.ingest.readers) - set(self.sources)):
            raise ValueError(f"ingest.readers names {', '.join(unknown)}, but sources are {', '.join(self.sources)}")
        threshold = self.pseudo_label.policies.fixed.threshold
        if isinstance(threshold, dict) and list(threshold) != self.emotions:
            raise ValueError(
                f"pseudo_label.policies.fixed.threshold must name every emotion, in order: {', '.join(self.emotions)}"
            )
        if isinstance(self.package.round, int) and self.package.round not in self.rounds.predict:
            raise ValueError(f"package.round is {self.package.round}, but the rounds are {self.rounds.predict}")
        return self


class Loader(yaml.SafeLoader):
    """YAML as DVC reads it: floats by the rule of YAML 1.2, so that 1e-3 is a number, and no key twice.

    Values are counted as often as aliases repeat them: a few lines can stand for gigabytes.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._values, self._within = 0, dict[yaml.Node | None, int]()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        before = self._values
        node = super().compose_node(parent, index)
        self._values += self._within.get(node, 1)
        self._within[node] = self._values - before
        if self._values > _MAX_VALUES:
            raise yaml.YAMLError(f"more than {_MAX_VALUES:,} values, aliases written out")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise InputError(
                    f"{key.start_mark.name}: line {key.start_mark.line + 1}: {key.value} is there twice; keep one"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def load(path: Path = Path("params.yaml")) -> Params:
    """The parameters in `path`.

    Raises:
        InputError: a key is unknown, missing or twice, or a value is not allowed; every such key is named.
    """
    content = read(path)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(in_words(error, content, path, Params)) from error


def read(path: Path) -> dict[Any, Any]:
    """What stands in `path`, whether or not it is allowed there.

    Raises:
        InputError: it is too large, or no YAML of a mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; run this in the project's folder")
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise InputError(f"{path}: has {size:,} bytes, at most {_MAX_BYTES:,} are read; take out what is no parameter")
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader)
    # The last three: no number or date, a moment that is none, nested too deeply.
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no parameters; restore it with `git checkout {path}`")
    return content


if __name__ == "__main__":  # before what DVC puts into a command
    run(load)
