"""Semi-supervised facial expression recognition: the library behind the stages in `pipeline/`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fer.serving.predictor import Predictor

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    if name == "Predictor":  # torch takes seconds to import: `fer --help` must not wait for it
        from fer.serving.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
