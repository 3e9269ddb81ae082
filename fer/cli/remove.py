"""`fer remove`: a source is taken out of the pipeline, and its files are deleted."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from fer.cli.add import PARAMS, RAW, dvc


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "remove",
        help="take a source out of the pipeline and delete its files",
        description="Take a source out of params.yaml and delete its files and what was made of them. "
        "Without --yes it only says what it would delete.",
    )
    parser.add_argument("name", metavar="NAME", help="of a source in params.yaml or a folder in data/raw")
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.set_defaults(call=remove)


def remove(args: argparse.Namespace) -> None:
    from fer import params
    from fer.editing import without_entry
    from fer.errors import InputError
    from fer.tables import replacing

    sources, name = params.load(PARAMS).sources, args.name
    home, pointer, made = RAW / name, RAW / f"{name}.dvc", Path("data/sources") / name
    if "/" in name or "\\" in name or name in (".", ".."):
        raise InputError(f"{name}: must be the name of a source, not a path")
    if name not in sources and not home.exists() and not pointer.exists():
        raise InputError(f"{name}: no such source; there are {', '.join(sources)}")
    if sources == [name]:
        raise InputError(f"{name} is the only source; `fer add` another one first")
    there = [path for path in (home, pointer, made) if path.exists()]
    listed = "its name in params.yaml" if name in sources else "nothing in params.yaml"
    if not args.yes:
        raise InputError(f"would delete {', '.join(map(str, there)) or 'no file'} and {listed}; add --yes to do it")
    with replacing(PARAMS) as part:
        text = PARAMS.read_bytes().decode()
        for key in ("sources", "ingest.readers"):
            text = without_entry(text, key, name)
        part.write_bytes(text.encode())
        params.load(part)
        if pointer.exists():
            dvc("remove", "--quiet", str(pointer))
    for folder in (home, made):
        shutil.rmtree(folder, ignore_errors=True)
    print(f"removed {name}; run `dvc repro`")
    print(
        "copies stay in DVC's cache until `dvc gc --workspace`; docs/deleting_faces.md says how to delete all of them"
    )
