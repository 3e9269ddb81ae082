from pathlib import Path

import pytest

from fer import params


@pytest.fixture
def rules() -> params.Ingest:
    """`ingest` of params.yaml with the values that the tests of readers count on."""
    path = Path(__file__).parents[2] / "params.yaml"
    fixed = {
        "ferplus": "majority",
        "ckplus_frames": 3,
        "kdef_views": ["straight"],
        "disfa_rules": False,
        "frames_per_second": 1.0,
    }
    return params.load(path).ingest.model_copy(update=fixed)
