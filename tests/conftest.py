import os
import signal

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # of the stages that tests run: their sets are too small to share
# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine is no failure, and what fails once must fail again; `--hypothesis-profile=default` draws new examples.
settings.register_profile("ours", deadline=None, derandomize=True)
settings.load_profile("ours")
