"""The recipe by which a network is trained: the schema of `train` and `networks` in `params.yaml`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, create_model, model_validator
from pydantic.fields import FieldInfo

from fer.core.schema import BelowOne, Count, NotNegative, Positive, Section, Share
from fer.runtime.errors import InputError


class SGD(Section):
    kind: Literal["sgd"]
    lr: Positive
    momentum: BelowOne
    nesterov: bool
    weight_decay: NotNegative

    @model_validator(mode="after")
    def _agree(self) -> "SGD":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Adaptive(Section):
    kind: Literal["adam", "adamw", "rmsprop", "adagrad", "adadelta"]
    lr: Positive
    weight_decay: NotNegative


class Smooth(Section):
    kind: Literal["constant", "cosine", "one_cycle"]
    warmup: BelowOne


class Steps(Section):
    kind: Literal["step"]
    warmup: BelowOne
    every: Annotated[float, Field(gt=0, le=1)]
    factor: BelowOne


class Restarts(Section):
    kind: Literal["restarts"]
    warmup: BelowOne
    cycles: Count


class Plateau(Section):
    kind: Literal["plateau"]
    factor: BelowOne
    patience: Count


OptimizerParams = Annotated[SGD | Adaptive, Field(discriminator="kind")]
ScheduleParams = Annotated[Smooth | Steps | Restarts | Plateau, Field(discriminator="kind")]


class Train(Section):
    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    optimizer: OptimizerParams
    schedule: ScheduleParams
    dropout: BelowOne
    targets: Literal["labels", "votes"]
    label_smoothing: BelowOne
    mixup: NotNegative
    class_weights: Literal["none", "balanced"]
    ema: BelowOne
    patience: Count | None

    def changed(self, changes: "Changes") -> "Recipe":
        """The recipe of a network, by its row in `networks`: a key that is there replaces the whole key of `train`."""
        return Recipe.model_validate({"transfer": None} | self.model_dump() | changes.model_dump(exclude_unset=True))


class Phase(Section):
    layers: Literal["head", "all"]
    epochs: Count
    lr: Positive
    class_weights: Literal["none", "balanced"]


class Transfer(Section):
    pretrained: bool | Annotated[str, Field(min_length=1)]
    input_px: Annotated[int, Field(ge=32, le=512)]
    phases: Annotated[list[Phase], Field(min_length=1)]


class Recipe(Train):
    transfer: Transfer | None

    def phases(self) -> list["Recipe"]:
        """The recipe of each phase of a transfer network; of others the recipe itself."""
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
    Changes = Recipe
else:  # the keys of a recipe, each of which may be left out
    Changes = create_model(
        "Changes",
        __base__=Section,
        **{
            name: (field.annotation, FieldInfo.merge_field_infos(field, default=None))
            for name, field in Recipe.model_fields.items()
        },
    )


def recipe_of(network: str, networks: Mapping[str, Changes], train: Train) -> Recipe:
    """The recipe of `network`, by the rows of all and what they share.

    Raises:
        InputError: it has no row.
    """
    if network not in networks:
        raise InputError(
            f"network {network!r} has no row in `networks` of params.yaml, which has {', '.join(networks)}"
        )
    return train.changed(networks[network])


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
