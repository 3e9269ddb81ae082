"""The section `ingest` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from fer.core.schema import Fraction, Name, PositiveNumber, Section


class Ingest(Section):
    section_key = "ingest"
    size: Annotated[int, Field(ge=16, le=512)]
    readers: dict[Name, str]
    max_dropped: Fraction
    detector: str
    align: bool
    min_face_px: Annotated[int, Field(ge=8)]
    min_brightness: Annotated[float, Field(ge=0, le=255)]
    frames_per_second: PositiveNumber
    ferplus: Literal["majority", "probability", "argmax"]
    ckplus_frames: Annotated[int, Field(ge=1, le=5)]
    kdef_views: Annotated[list[Literal["straight", "half", "profile"]], Field(min_length=1)]
    disfa_rules: bool
