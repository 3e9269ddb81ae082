import os
import signal

import pytest
from hypothesis import settings

# The slowest files: a worker that begins one of them last would keep the others waiting.
FIRST = ("test_smoke.py", "test_distributed.py", "test_evaluate_stage.py", "test_benchmarks.py", "test_checkpoint.py")

os.environ["OMP_NUM_THREADS"] = "1"  # of the stages that tests run: their sets are too small to share
# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine is no failure, and what fails once must fail again; `--hypothesis-profile=default` draws new examples.
settings.register_profile("ours", deadline=None, derandomize=True)
settings.load_profile("ours")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))
