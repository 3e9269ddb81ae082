"""Schema of `params.yaml` about training: `train`, `networks`, `augment`, `transform_sets`, `retrain`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, create_model, model_validator
from pydantic.fields import FieldInfo

from fer.core.schema import Count, Fraction, FractionBelowOne, NonNegativeNumber, PositiveNumber, Section
from fer.runtime.errors import InputError


class SGD(Section):
    kind: Literal["sgd"]
    lr: PositiveNumber
    momentum: FractionBelowOne
    nesterov: bool
    weight_decay: NonNegativeNumber

    @model_validator(mode="after")
    def _check_momentum(self) -> "SGD":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdaptiveOptimizer(Section):
    kind: Literal["adam", "adamw", "rmsprop", "adagrad", "adadelta"]
    lr: PositiveNumber
    weight_decay: NonNegativeNumber


class SmoothSchedule(Section):
    kind: Literal["constant", "cosine", "one_cycle"]
    warmup: FractionBelowOne


class StepSchedule(Section):
    kind: Literal["step"]
    warmup: FractionBelowOne
    every: Annotated[float, Field(gt=0, le=1)]
    factor: FractionBelowOne


class RestartSchedule(Section):
    kind: Literal["restarts"]
    warmup: FractionBelowOne
    cycles: Count


class PlateauSchedule(Section):
    kind: Literal["plateau"]
    factor: FractionBelowOne
    patience: Count


OptimizerParams = Annotated[SGD | AdaptiveOptimizer, Field(discriminator="kind")]
ScheduleParams = Annotated[
    SmoothSchedule | StepSchedule | RestartSchedule | PlateauSchedule, Field(discriminator="kind")
]


class Train(Section):
    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    optimizer: OptimizerParams
    schedule: ScheduleParams
    dropout: FractionBelowOne
    targets: Literal["labels", "votes"]
    label_smoothing: FractionBelowOne
    mixup: NonNegativeNumber
    class_weights: Literal["none", "balanced"]
    ema: FractionBelowOne
    patience: Count | None

    def with_overrides(self, overrides: "RecipeOverrides") -> "Recipe":
        """Return the recipe of a network: each key of its row in `networks` replaces the whole key of `train`."""
        return Recipe.model_validate({"transfer": None} | self.model_dump() | overrides.model_dump(exclude_unset=True))


class Phase(Section):
    layers: Literal["head", "all"]
    epochs: Count
    lr: PositiveNumber
    class_weights: Literal["none", "balanced"]


class Transfer(Section):
    pretrained: bool | Annotated[str, Field(min_length=1)]
    input_px: Annotated[int, Field(ge=32, le=512)]
    phases: Annotated[list[Phase], Field(min_length=1)]


class Recipe(Train):
    transfer: Transfer | None

    def phases(self) -> list["Recipe"]:
        """Return the recipe of each phase of a transfer network, or this recipe alone."""
        if self.transfer is None:
            return [self]
        return [
            self.model_copy(
                update={
                    "epochs": phase.epochs,
                    "class_weights": phase.class_weights,
                    "optimizer": self.optimizer.model_copy(update={"lr": phase.lr}),
                    "transfer": self.transfer.model_copy(update={"phases": [phase]}),
                }
            )
            for phase in self.transfer.phases
        ]


if TYPE_CHECKING:
    RecipeOverrides = Recipe
else:  # the keys of a recipe, all optional
    RecipeOverrides = create_model(
        "RecipeOverrides",
        __base__=Section,
        **{
            name: (field.annotation, FieldInfo.merge_field_infos(field, default=None))
            for name, field in Recipe.model_fields.items()
        },
    )


def resolve_recipe(network: str, networks: Mapping[str, RecipeOverrides], train: Train) -> Recipe:
    """Return the recipe of `network`, given the sections `networks` and `train`.

    Raises:
        InputError: The network has no row in `networks`.
    """
    if network not in networks:
        raise InputError(
            f"params.yaml: network {network!r} has no row in `networks`; add one, or choose from {', '.join(networks)}"
        )
    return train.with_overrides(networks[network])


class Augment(Section):
    balance: Fraction
    max_copies: Annotated[int, Field(ge=0)]


class Camera(Section):
    share: Fraction
    min_side: Annotated[float, Field(gt=0, le=1)]
    max_blur: NonNegativeNumber
    min_gamma: PositiveNumber
    max_gamma: PositiveNumber
    min_gain: Annotated[float, Field(gt=0, le=1)]
    max_noise: Fraction
    min_quality: Annotated[int, Field(ge=1, le=95)]

    @model_validator(mode="after")
    def _check_gamma(self) -> "Camera":
        if self.min_gamma > self.max_gamma:
            raise ValueError("min_gamma is above max_gamma")
        return self


class Transforms(Section):
    flip: Fraction
    rotation_degrees: Annotated[float, Field(ge=0, le=180)]
    shift: FractionBelowOne
    zoom: FractionBelowOne
    shear_degrees: Annotated[float, Field(ge=0, le=45)]
    brightness: FractionBelowOne
    contrast: FractionBelowOne
    erasing: Fraction
    erased_area: Fraction
    camera: Camera | None


class Online(Section):
    policy: Literal["none", "fixmatch", "freematch", "softmatch"]
    threshold: Fraction
    share: Annotated[float, Field(gt=0, lt=1)]
    alignment: Literal["none", "valid", "uniform"]


class Retrain(Section):
    start: Literal["scratch", "teacher"]
    labels: Literal["soft", "hard"]
    weight: NonNegativeNumber
    logit_adjustment: NonNegativeNumber
    steps: PositiveNumber
    online: Online
