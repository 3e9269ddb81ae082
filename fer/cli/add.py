"""`fer add`: a dataset, photographs or videos, in whatever form they came -> a source of the pipeline."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fer.cli.paths import PARAMS_FILE, RAW_FOLDER
from fer.data.ingest.add_source import (
    SOURCE_NAME,
    default_source_name,
    dvc_file,
    format_bytes,
    import_files,
    link_or_copy,
    total_bytes,
)
from fer.experiments.dvc_experiments import run_dvc
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
        parser.epilog = "\n".join(["readers:", *format_readers()])


def format_readers() -> Iterator[str]:
    from fer.data.ingest.detect import EXPLICIT_READERS, READERS, get_reader_name

    for reader in (*READERS, *EXPLICIT_READERS):
        yield f"  {get_reader_name(reader):18} {reader.LAYOUT}"


def add(args: argparse.Namespace) -> None:
    import tempfile

    from fer.core.files import atomic_write
    from fer.data.ingest.detect import READERS, detect_layout, find_reader
    from fer.data.ingest.ingest import ingest
    from fer.data.ingest.report import format_native_sizes
    from fer.runtime.errors import InputError

    if not args.path.exists():
        raise InputError(f"{args.path}: no such file or folder")
    chosen = load_params(PARAMS_FILE)
    place = args.path.resolve()
    name = default_source_name(place) if args.name is None else args.name
    if not re.fullmatch(SOURCE_NAME, name):
        raise InputError(f"--name {name}: allowed are letters, digits, _ and -, the first a letter or digit")
    home = RAW_FOLDER / name
    stays = place == home.resolve()
    if RAW_FOLDER.resolve().is_relative_to(place):
        raise InputError(f"{args.path}: holds the project itself; name a folder inside it, or one elsewhere")
    for taken in (home, dvc_file(home)):
        if os.path.lexists(taken) and not stays:
            raise InputError(f"{taken} is there already; choose another --name, or `fer remove {name}` first")
    size = total_bytes(place)
    RAW_FOLDER.mkdir(parents=True, exist_ok=True)
    is_linked = args.move and place.stat().st_dev == RAW_FOLDER.stat().st_dev
    if not (stays or is_linked) and size > shutil.disk_usage(RAW_FOLDER).free:
        raise InputError(f"{place}: a copy needs {size / 1e9:.1f} GB, more than is free; --move it within one disk")

    with tempfile.TemporaryDirectory(dir=RAW_FOLDER, prefix=".adding-") as folder:
        root, out = place, Path(folder, "out")
        out.mkdir()
        if place.is_file():  # readers read folders
            root = Path(folder, name)
            root.mkdir()
            link_or_copy(place, root / place.name, args.move)
        named = args.reader or chosen.ingest.readers.get(name)
        rules = chosen.ingest.model_copy(update={"max_dropped": 1.0})
        try:
            reader, found = detect_layout(root, [find_reader(named)] if named else READERS)
            report = ingest(name, reader, found, rules, out)
        except InputError as error:  # the user knows nothing of a folder that is gone
            raise InputError(str(error).replace(str(root), str(args.path))) from error
        disk = (
            f"{format_bytes(size)} in {home}, as much in DVC's cache, {format_bytes(total_bytes(out))} in data/sources"
        )
        native = format_native_sizes(reader, found, chosen.ingest)
        print(*format_source_report(report, getattr(reader, "PIXELS", None), native, disk), sep="\n")
        lost = sum(told["count"] for told in report["dropped"].values())
        if lost > chosen.ingest.max_dropped * (report["faces"] + lost):
            share = lost / (report["faces"] + lost)
            print(f"warning: {share:.1%} can't be used, more than ingest.max_dropped allows: `dvc repro` will stop")
        if beyond := [e for e in report["emotions"] if e not in (*chosen.emotions, "unlabelled")]:
            print(f"note: {', '.join(beyond)} is not in `emotions` of params.yaml; such faces will be excluded")

        text = insert_source(PARAMS_FILE.read_bytes().decode(), name, args, chosen)
        with atomic_write(PARAMS_FILE) as part:
            part.write_bytes(text.encode())
            sources = load_params(part).sources
            with import_files(root, home, args.move):
                if not (stays and name.startswith("sample_")):  # those are versioned as what `sample` draws
                    run_dvc("add", str(home))
    if args.move and not stays:
        place.unlink() if place.is_file() else shutil.rmtree(place)
    if name in chosen.sources:
        print(f"{name} was a source already; its files are versioned as they are now")
    else:
        print(f"added {name}: {home}, versioned by DVC, and its name in params.yaml; now run `dvc repro`")
    drawn = [source for source in sources if source.startswith("sample_")]
    if drawn and name not in drawn:
        print(f"note: drawn faces ({', '.join(drawn)}) are still sources; `fer remove` them, or add with --replace")


def insert_source(text: str, name: str, args: argparse.Namespace, chosen: Any) -> str:
    """Return the text of params.yaml with the source in it."""
    from fer.params.edit import with_values

    sources = [] if args.replace else chosen.sources
    if args.first or name not in sources:
        others = [source for source in sources if source != name]
        sources = [name, *others] if args.first else [*others, name]
    readers = chosen.ingest.readers | ({name: args.reader} if args.reader else {})
    readers = {source: reader for source, reader in readers.items() if source in sources}
    return with_values(text, {"sources": sources, "ingest.readers": readers})


def format_source_report(
    report: Mapping[str, Any], published_stats: tuple[float, float] | None, native_sizes: str, disk_use: str
) -> Iterator[str]:
    """What was found, for people."""
    folds = list(report["folds"])
    yield f"{report['source']}: {report['faces']:,} faces, read as {report['reader']}"
    yield f"  terms       {report['terms']}"
    yield f"  pictures    {report['pictures']:,}, {report['pictures_with_a_face']:,} of them with a face; {native_sizes}"
    owners = f"; the owner's have {published_stats[0]} and {published_stats[1]}" if published_stats else ""
    yield f"  grey        mean {report['mean']:.1f}, standard deviation {report['std']:.1f}{owners}"
    yield f"  disk        {disk_use}"
    yield f"  {'faces':12}" + "".join(f"{'no fold' if fold == 'none' else fold:>12}" for fold in folds)
    for emotion, of_folds in report["emotions"].items():
        yield f"  {emotion:12}" + "".join(f"{of_folds.get(fold, 0):>12,}" for fold in folds)
    for kind, words in (("dropped", "can't be used"), ("left_out", "left out")):
        for reason, told in report[kind].items():
            yield f"  {words}: {told['count']:,} {reason}, such as {told['examples'][0]}"
    for note in report["notes"]:
        yield f"  note: {note}"
