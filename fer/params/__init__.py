"""`params.yaml` as a whole: its schema, how it is read and how it is edited."""

from fer.params.sections import Params, load_params

__all__ = ["Params", "load_params"]
