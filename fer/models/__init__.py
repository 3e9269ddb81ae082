"""One file for each network architecture."""

from typing import TYPE_CHECKING

from fer.runtime.public_api import lazy_exports

if TYPE_CHECKING:
    from fer.nn.weights import build_model as build_model
    from fer.nn.weights import list_models as list_models

__getattr__, __dir__ = lazy_exports(__name__, {"build_model": "fer.nn.weights", "list_models": "fer.nn.weights"})
__all__ = ["build_model", "list_models"]
