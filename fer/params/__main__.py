"""Check `params.yaml` before DVC inserts names from it into a shell command."""

from fer.params import load_params
from fer.runtime.errors import run_main

if __name__ == "__main__":
    run_main(load_params)
