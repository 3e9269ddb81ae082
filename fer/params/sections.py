"""The schema of `params.yaml`, which every stage checks as a whole. The defaults are in the file, not here."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from fer.core.labels import EMOTIONS, Emotion, member_name
from fer.core.schema import Count, Name, NonNegativeNumber, Section, format_errors
from fer.data.curation.params import Unify
from fer.data.readers.params import Ingest
from fer.nn.names import NETWORKS
from fer.pseudo_labels.params import PseudoLabel
from fer.runtime.errors import InputError
from fer.runtime.yaml_files import read_yaml
from fer.training.params import Augment, RecipeOverrides, Retrain, Train, Transforms


class Rounds(Section):
    predict: list[int]
    retrain: list[int]
    teacher: dict[str, int]

    @model_validator(mode="after")
    def _check_consistency(self) -> "Rounds":
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


class Predict(Section):
    views: Annotated[list[Literal["plain", "flip", "ten_crop"]], Field(min_length=1)]
    batch: Count


class Evaluate(Section):
    bins: Annotated[int, Field(ge=2, le=100)]


class Package(Section):
    round: Literal["best"] | Annotated[int, Field(ge=0)]
    prior: Literal["none", "valid"]


def _expand_ensemble(ensemble: Any) -> Any:
    """Return a mapping of names to weights; a list of networks gives each the weight 1."""
    if not isinstance(ensemble, list):
        return ensemble
    if not all(isinstance(name, str) for name in ensemble):
        raise ValueError("must be a list of names, or a mapping of names to weights: {improved_se: 2, shallow: 1}")
    if duplicates := sorted({str(name) for name in ensemble if ensemble.count(name) > 1}):
        raise ValueError(f"names {', '.join(duplicates)} twice; remove the duplicates")
    return dict.fromkeys(ensemble, 1.0)


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    emotions: Annotated[list[Emotion], Field(min_length=2)]
    sources: Annotated[list[Name], Field(min_length=1)]
    networks: dict[Name, Annotated[RecipeOverrides, BeforeValidator(lambda row: {} if row is None else row)]]
    ensemble: Annotated[dict[Name, NonNegativeNumber], BeforeValidator(_expand_ensemble), Field(min_length=1)]
    replicas: Annotated[list[Annotated[int, Field(ge=0, lt=1000)]], Field(min_length=1)]
    precision: Literal["fp32", "bf16"]
    rounds: Rounds
    sample: Sample
    ingest: Ingest
    unify: Unify
    augment: Augment
    transforms: Name
    transform_sets: Annotated[dict[Name, Transforms], Field(min_length=1)]
    train: Train
    predict: Predict
    pseudo_label: PseudoLabel
    retrain: Retrain
    evaluate: Evaluate
    package: Package

    @property
    def members(self) -> dict[str, float]:
        """The weight of each member of the ensemble; all replicas of a network have its weight."""
        return {
            member_name(network, replica): weight
            for network, weight in self.ensemble.items()
            for replica in self.replicas
        }

    def members_of(self, replica: int) -> dict[str, float]:
        """Return the weight of each member with the number `replica`: one for each network."""
        return {member_name(network, replica): weight for network, weight in self.ensemble.items()}

    @model_validator(mode="after")
    def _check_consistency(self) -> "Params":
        lists: dict[str, list[Any]] = {
            "sources": self.sources,
            "replicas": self.replicas,
            "emotions": self.emotions,
            "predict.views": self.predict.views,
        }
        for key, names in lists.items():
            if duplicates := sorted({str(name) for name in names if names.count(name) > 1}):
                raise ValueError(f"{key} names {', '.join(duplicates)} twice; remove the duplicates")
        if self.emotions != [emotion for emotion in EMOTIONS if emotion in self.emotions]:
            raise ValueError(f"emotions must keep the order {', '.join(EMOTIONS)}")
        if numbered := [name for name in self.networks if re.search(r"-\d+$", name)]:
            raise ValueError(f"networks names {', '.join(numbered)}, but a hyphen and digits mark a replica; rename it")
        if unknown := [name for name in self.networks if name not in NETWORKS]:
            raise ValueError(f"networks names {', '.join(unknown)}, but fer/models has {', '.join(NETWORKS)}")
        for name, row in self.networks.items():
            if row.transfer and (overridden_keys := {"epochs", "class_weights"} & row.model_fields_set):
                raise ValueError(
                    f"networks.{name} has {', '.join(sorted(overridden_keys))}, but each phase of transfer has its own"
                )
        if self.transforms not in self.transform_sets:
            raise ValueError(
                f"transforms is {self.transforms}, but transform_sets has {', '.join(self.transform_sets)}"
            )
        if unknown := [name for name in self.ensemble if name not in self.networks]:
            raise ValueError(f"ensemble names {', '.join(unknown)}, but networks has {', '.join(self.networks)}")
        if not any(self.ensemble.values()):
            raise ValueError("ensemble gives every network the weight 0; give at least one a weight above 0")
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


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Return the parameters in `path`.

    Raises:
        InputError: A key is unknown, missing or duplicate, or a value is not allowed. The message names every such key.
    """
    content = read_yaml(path)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(format_errors(error, content, path, Params)) from error
