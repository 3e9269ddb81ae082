from pathlib import Path

import pytest

from fer.data.readers.params import Ingest
from fer.params import load_params


@pytest.fixture
def rules() -> Ingest:
    """The section `ingest` of params.yaml, with fixed values for the tests of readers."""
    path = Path(__file__).parents[2] / "params.yaml"
    fixed_values = {
        "ferplus": "majority",
        "ckplus_frames": 3,
        "kdef_views": ["straight"],
        "disfa_rules": False,
        "frames_per_second": 1.0,
    }
    return load_params(path).ingest.model_copy(update=fixed_values)
