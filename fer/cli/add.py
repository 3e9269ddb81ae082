"""`fer add`: a dataset, photographs or videos, in whatever form they came -> a source of the pipeline."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fer.cli.paths import PARAMS, RAW
from fer.data.ingest.add_source import NAME, bring, brought, in_bytes, legal_name, pointer_of, size_of, sizes
from fer.experiments.dvc_experiments import dvc
from fer.params import load_params


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "add",
        help="add a dataset, photographs or videos as a source",
        description="Recognise what PATH holds, print what is in it, put it into data/raw and into params.yaml, and "
        "let DVC version it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a folder, an archive, a csv, a video")
    parser.add_argument("--name", help="of the source (default: from the path)")
    parser.add_argument("--reader", help="how to read it, where its layout is not recognised")
    parser.add_argument("--first", action="store_true", help="before the other sources: its labels are preferred")
    parser.add_argument("--replace", action="store_true", help="instead of the other sources")
    parser.add_argument("--move", action="store_true", help="move the files into data/raw (default: copy them)")
    parser.set_defaults(call=add)
    if {"-h", "--help"} & set(sys.argv) and "add" in sys.argv:  # the readers take half a second to import
        parser.epilog = "\n".join(["readers:", *layouts()])


def layouts() -> Iterator[str]:
    from fer.data.ingest.detect import NAMED, READERS, name_of

    for reader in (*READERS, *NAMED):
        yield f"  {name_of(reader):18} {reader.LAYOUT}"


def add(args: argparse.Namespace) -> None:
    import tempfile

    from fer.core.files import replacing
    from fer.data.ingest.detect import READERS, reader_named, recognise
    from fer.data.ingest.ingest import ingest
    from fer.runtime.errors import InputError

    if not args.path.exists():
        raise InputError(f"{args.path}: no such file or folder")
    chosen = load_params(PARAMS)
    place = args.path.resolve()
    name = legal_name(place) if args.name is None else args.name
    if not re.fullmatch(NAME, name):
        raise InputError(f"--name {name}: allowed are letters, digits, _ and -, the first a letter or digit")
    home = RAW / name
    stays = place == home.resolve()
    if RAW.resolve().is_relative_to(place):
        raise InputError(f"{args.path}: holds the project itself; name a folder inside it, or one elsewhere")
    for taken in (home, pointer_of(home)):
        if os.path.lexists(taken) and not stays:
            raise InputError(f"{taken} is there already; choose another --name, or `fer remove {name}` first")
    size = size_of(place)
    RAW.mkdir(parents=True, exist_ok=True)
    is_linked = args.move and place.stat().st_dev == RAW.stat().st_dev
    if not (stays or is_linked) and size > shutil.disk_usage(RAW).free:
        raise InputError(f"{place}: a copy needs {size / 1e9:.1f} GB, more than is free; --move it within one disk")

    with tempfile.TemporaryDirectory(dir=RAW, prefix=".adding-") as folder:
        root, out = place, Path(folder, "out")
        out.mkdir()
        if place.is_file():  # readers read folders
            root = Path(folder, name)
            root.mkdir()
            bring(place, root / place.name, args.move)
        named = args.reader or chosen.ingest.readers.get(name)
        rules = chosen.ingest.model_copy(update={"max_dropped": 1.0})
        try:
            reader, found = recognise(root, [reader_named(named)] if named else READERS)
            report = ingest(name, reader, found, rules, out)
        except InputError as error:  # the user knows nothing of a folder that is gone
            raise InputError(str(error).replace(str(root), str(args.path))) from error
        disk = f"{in_bytes(size)} in {home}, as much in DVC's cache, {in_bytes(size_of(out))} in data/sources"
        native = sizes(reader, found, chosen.ingest)
        print(*described(report, getattr(reader, "PIXELS", None), native, disk), sep="\n")
        lost = sum(told["count"] for told in report["dropped"].values())
        if lost > chosen.ingest.max_dropped * (report["faces"] + lost):
            share = lost / (report["faces"] + lost)
            print(f"warning: {share:.1%} can't be used, more than ingest.max_dropped allows: `dvc repro` will stop")
        if beyond := [e for e in report["emotions"] if e not in (*chosen.emotions, "unlabelled")]:
            print(f"note: {', '.join(beyond)} is not in `emotions` of params.yaml; such faces will be excluded")

        text = edited(PARAMS.read_bytes().decode(), name, args, chosen)
        with replacing(PARAMS) as part:
            part.write_bytes(text.encode())
            sources = load_params(part).sources
            with brought(root, home, args.move):
                if not (stays and name.startswith("sample_")):  # those are versioned as what `sample` draws
                    dvc("add", str(home))
    if args.move and not stays:
        place.unlink() if place.is_file() else shutil.rmtree(place)
    if name in chosen.sources:
        print(f"{name} was a source already; its files are versioned as they are now")
    else:
        print(f"added {name}: {home}, versioned by DVC, and its name in params.yaml; now run `dvc repro`")
    drawn = [source for source in sources if source.startswith("sample_")]
    if drawn and name not in drawn:
        print(f"note: drawn faces ({', '.join(drawn)}) are still sources; `fer remove` them, or add with --replace")


def edited(text: str, name: str, args: argparse.Namespace, chosen: Any) -> str:
    """Return the text of params.yaml with the source in it."""
    from fer.params.edit import with_values

    sources = [] if args.replace else chosen.sources
    if args.first or name not in sources:
        others = [source for source in sources if source != name]
        sources = [name, *others] if args.first else [*others, name]
    readers = chosen.ingest.readers | ({name: args.reader} if args.reader else {})
    readers = {source: reader for source, reader in readers.items() if source in sources}
    return with_values(text, {"sources": sources, "ingest.readers": readers})


def described(report: Mapping[str, Any], genuine: tuple[float, float] | None, native: str, disk: str) -> Iterator[str]:
    """What was found, for people."""
    folds = list(report["folds"])
    yield f"{report['source']}: {report['faces']:,} faces, read as {report['reader']}"
    yield f"  terms       {report['terms']}"
    yield f"  pictures    {report['pictures']:,}, {report['pictures_with_a_face']:,} of them with a face; {native}"
    owners = f"; the owner's have {genuine[0]} and {genuine[1]}" if genuine else ""
    yield f"  grey        mean {report['mean']:.1f}, standard deviation {report['std']:.1f}{owners}"
    yield f"  disk        {disk}"
    yield f"  {'faces':12}" + "".join(f"{'no fold' if fold == 'none' else fold:>12}" for fold in folds)
    for emotion, of_folds in report["emotions"].items():
        yield f"  {emotion:12}" + "".join(f"{of_folds.get(fold, 0):>12,}" for fold in folds)
    for kind, words in (("dropped", "can't be used"), ("left_out", "left out")):
        for reason, told in report[kind].items():
            yield f"  {words}: {told['count']:,} {reason}, such as {told['examples'][0]}"
    for note in report["notes"]:
        yield f"  note: {note}"
