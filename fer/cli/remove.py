"""`fer remove`: a source is taken out of the pipeline, and its files are deleted."""

import argparse
import os
import re
import shutil
from pathlib import Path
from typing import Any

from fer.cli.paths import PARAMS_FILE, RAW_FOLDER
from fer.data.ingest.add_source import SOURCE_NAME, dvc_file
from fer.experiments.dvc_experiments import run_dvc
from fer.params import load_params


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "remove",
        help="take a source out of the pipeline and delete its files",
        description="Take a source out of params.yaml and delete its files and what was made of them. "
        "Without --yes it only says what it would delete.",
    )
    parser.add_argument("name", metavar="SOURCE_NAME", help="of a source in params.yaml or a folder in data/raw")
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.set_defaults(call=remove)


def remove(args: argparse.Namespace) -> None:

    from fer.core.files import atomic_write
    from fer.params.edit import with_values
    from fer.runtime.errors import InputError

    chosen, name = load_params(PARAMS_FILE), args.name
    sources = chosen.sources
    if not re.fullmatch(SOURCE_NAME, name):
        raise InputError(f"{name!r}: must be the name of a source; there are {', '.join(sources)}")
    home, made = RAW_FOLDER / name, Path("data/sources") / name
    pointer = dvc_file(home)
    there = [path for path in (home, pointer, made) if os.path.lexists(path)]
    if name not in sources and not there:
        raise InputError(f"{name}: no such source; there are {', '.join(sources)}")
    if sources == [name]:
        raise InputError(f"{name} is the only source; `fer add` another one first")
    listed = "its name in params.yaml" if name in sources else "nothing in params.yaml"
    if not args.yes:
        raise InputError(f"would delete {', '.join(map(str, there)) or 'no file'} and {listed}; add --yes to do it")
    with atomic_write(PARAMS_FILE) as part:
        values = {
            "sources": [source for source in sources if source != name],
            "ingest.readers": {source: reader for source, reader in chosen.ingest.readers.items() if source != name},
        }
        part.write_bytes(with_values(PARAMS_FILE.read_bytes().decode(), values).encode())
        load_params(part)
        if pointer.exists():
            run_dvc("remove", str(pointer))
    for folder in (home, made):
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    print(f"removed {name}; run `dvc repro`")
    print("copies stay in DVC's cache until `dvc gc --workspace`, on its remote until `dvc gc --workspace --cloud`;")
    print("both delete every older version of everything: read docs/deleting_faces.md first")
