import os

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # of the stages that tests run: their sets are too small to share
settings.register_profile("ours", deadline=None)  # a busy machine is no failure
settings.load_profile("ours")
