import os
import signal

import pytest
from hypothesis import settings

# The slowest files run first, so that no worker is still busy with one of them at the end.
SLOW = ("test_smoke.py", "test_distributed.py", "test_evaluate_stage.py", "test_benchmarks.py", "test_checkpoint.py")

os.environ["OMP_NUM_THREADS"] = "1"  # Stages inherit it; their test data are too small for several threads.
# Background jobs of a shell ignore Ctrl-C, and so would the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Slow examples are no failures, and failures are repeatable. `--hypothesis-profile=default` draws new examples.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))
