"""Semi-supervised facial expression recognition with pseudo-labels. docs/api.md documents the public names."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fer.runtime.public_api import DISTRIBUTION, lazy_exports

if TYPE_CHECKING:
    from fer.params import load_params as load_params
    from fer.serving.predictor import Predictor as Predictor

try:
    __version__ = version(DISTRIBUTION)
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "unknown"

__all__ = ["Predictor", "__version__", "load_params"]
__getattr__, _ = lazy_exports(__name__, {"Predictor": "fer.serving.predictor", "load_params": "fer.params.sections"})


def __dir__() -> list[str]:
    return __all__
