"""The whole of `params.yaml`: its schema, reading and editing."""

from fer.params.sections import Params, load_params

__all__ = ["Params", "load_params"]
