"""`fer profile`: set precision and batch sizes for a kind of device in params.yaml."""

import argparse
from typing import Any

from fer.cli.paths import PARAMS_FILE

NAMES = ("gpu", "cpu-bf16", "cpu")


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "profile",
        help="set precision and batch sizes for a GPU or a CPU",
        description="Write precision and batch sizes for a kind of device into params.yaml, and scale learning rates "
        "and EMA decays with the batch. Print every change.",
    )
    parser.add_argument("name", choices=NAMES, help="cpu-bf16: a processor with avx512_bf16 or amx_bf16")
    parser.set_defaults(call=profile)


def profile(args: argparse.Namespace) -> None:
    from fer.params import load_params
    from fer.params.edit import write_changes
    from fer.params.profiles import profile_changes
    from fer.runtime.yaml_files import read_yaml

    load_params(PARAMS_FILE)
    print(*write_changes(PARAMS_FILE, profile_changes(read_yaml(PARAMS_FILE), args.name)), sep="\n")
