"""tests/robustness/large.py in a short form: too short to say whether memory grows, long enough to lose a row."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.robustness import large
from tests.robustness.large import measure_job, run_fer_predict, run_predict, run_pseudo_label

Job = Callable[[Path, int], tuple[dict[str, float], list[str]]]


@pytest.mark.parametrize(("job", "count"), [(run_predict, 40_000), (run_pseudo_label, 5_000), (run_fer_predict, 60)])
@pytest.mark.harden
def test_every_row_is_accounted_for(job: Job, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MAX_GROWTH", 100)
    figures, lost = job(tmp_path, count)
    assert lost == []
    assert figures["second_half_megabytes"] > 100


def test_memory_that_grows_and_a_failure_are_lost(tmp_path: Path) -> None:
    growing = "import time; time.sleep(1.5); kept = bytearray(30_000_000); time.sleep(0.5)"
    assert "memory grows" in measure_job([sys.executable, "-c", growing], tmp_path)[1][0]
    assert (
        "ends with 1: error: no"
        in measure_job([sys.executable, "-c", "import sys; sys.exit('error: no')"], tmp_path)[1][0]
    )
