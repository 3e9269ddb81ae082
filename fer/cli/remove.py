"""`fer remove`: remove a source from the pipeline and delete its files."""

import argparse
import os
import re
import shutil
from typing import Any

from fer.cli.paths import PARAMS_FILE, RAW_FOLDER, SOURCES_FOLDER
from fer.data.ingest.add_source import SOURCE_NAME, dvc_file
from fer.experiments.dvc import run_dvc


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "remove",
        help="remove a source from the pipeline and delete its files",
        description="Remove a source from params.yaml and delete its files and faces. Without --yes, only list them.",
    )
    parser.add_argument("name", metavar="SOURCE_NAME", help="a source of params.yaml or a folder in data/raw")
    parser.add_argument("--yes", action="store_true", help="delete the files")
    parser.set_defaults(call=remove)


def remove(args: argparse.Namespace) -> None:
    from fer.core.files import atomic_write
    from fer.params import load_params
    from fer.params.edit import with_values
    from fer.runtime.errors import InputError

    params, name = load_params(PARAMS_FILE), args.name
    sources = params.sources
    if not re.fullmatch(SOURCE_NAME, name):
        raise InputError(f"{name!r}: must be the name of a source; use {', '.join(sources)}")
    raw, faces = RAW_FOLDER / name, SOURCES_FOLDER / name
    pointer = dvc_file(raw)
    existing = [path for path in (raw, pointer, faces) if os.path.lexists(path)]
    if name not in sources and not existing:
        raise InputError(f"{name}: no such source; use {', '.join(sources)}")
    if sources == [name]:
        raise InputError(f"{name} is the only source; add another one with `fer add` first")
    entry = "its name in params.yaml" if name in sources else "nothing in params.yaml"
    if not args.yes:
        raise InputError(f"would delete {', '.join(map(str, existing)) or 'no file'} and {entry}; confirm with --yes")
    with atomic_write(PARAMS_FILE) as part:
        values = {
            "sources": [source for source in sources if source != name],
            "ingest.readers": {source: reader for source, reader in params.ingest.readers.items() if source != name},
        }
        part.write_bytes(with_values(PARAMS_FILE.read_bytes().decode(), values).encode())
        load_params(part)
        if pointer.exists():
            run_dvc("remove", str(pointer))
    for folder in (raw, faces):
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    print(f"removed {name}; run `dvc repro`")
    print("copies stay in DVC's cache until `dvc gc --workspace`, on its remote until `dvc gc --workspace --cloud`;")
    print("both delete every older version of all data: read docs/deleting_faces.md first")
