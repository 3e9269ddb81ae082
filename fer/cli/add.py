"""`fer add`: make a dataset, photos or videos a source of the pipeline."""

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
from fer.experiments.dvc import run_dvc


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "add",
        help="add a dataset, photos or videos as a source",
        description="Detect the layout of PATH, print a report, copy the files into data/raw, version them with DVC "
        "and list the source in params.yaml.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a folder, an archive, a CSV file or a video")
    parser.add_argument("--name", help="name of the source (default: from PATH)")
    parser.add_argument("--reader", help="reader to use if the layout is not recognised")
    parser.add_argument("--first", action="store_true", help="list the source first: its labels take precedence")
    parser.add_argument("--replace", action="store_true", help="remove the other sources from params.yaml")
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
    from fer.params import load_params
    from fer.runtime.errors import InputError

    if not args.path.exists():
        raise InputError(f"{args.path}: no such file or folder")
    params = load_params(PARAMS_FILE)
    src = args.path.resolve()
    name = default_source_name(src) if args.name is None else args.name
    if not re.fullmatch(SOURCE_NAME, name):
        raise InputError(f"--name {name}: use letters, digits, _ and -, beginning with a letter or digit")
    dst = RAW_FOLDER / name
    in_place = src == dst.resolve()
    if RAW_FOLDER.resolve().is_relative_to(src):
        raise InputError(f"{args.path}: contains the project itself; name a folder inside the project, or elsewhere")
    for path in (dst, dvc_file(dst)):
        if os.path.lexists(path) and not in_place:
            raise InputError(f"{path} exists already; choose another --name, or run `fer remove {name}` first")
    size = total_bytes(src)
    RAW_FOLDER.mkdir(parents=True, exist_ok=True)
    is_linked = args.move and src.stat().st_dev == RAW_FOLDER.stat().st_dev
    if not (in_place or is_linked) and size > shutil.disk_usage(RAW_FOLDER).free:
        raise InputError(f"{src}: a copy needs {size / 1e9:.1f} GB, more than is free; use --move from the same disk")

    with tempfile.TemporaryDirectory(dir=RAW_FOLDER, prefix=".adding-") as folder:
        root, out = src, Path(folder, "out")
        out.mkdir()
        if src.is_file():  # readers read folders
            root = Path(folder, name)
            root.mkdir()
            link_or_copy(src, root / src.name, args.move)
        reader_name = args.reader or params.ingest.readers.get(name)
        lenient_params = params.ingest.model_copy(update={"max_dropped": 1.0})
        try:
            reader, files = detect_layout(root, [find_reader(reader_name)] if reader_name else READERS)
            report = ingest(name, reader, files, lenient_params, out)
        except InputError as error:  # the temporary folder would mean nothing to the user
            raise InputError(str(error).replace(str(root), str(args.path))) from error
        disk_use = f"{format_bytes(size)} in {dst} and in DVC's cache, {format_bytes(total_bytes(out))} in data/sources"
        native_sizes = format_native_sizes(reader, files, params.ingest)
        print(*format_source_report(report, getattr(reader, "PIXELS", None), native_sizes, disk_use), sep="\n")
        n_dropped = sum(row["count"] for row in report["dropped"].values())
        if n_dropped > params.ingest.max_dropped * (report["faces"] + n_dropped):
            share = n_dropped / (report["faces"] + n_dropped)
            print(f"warning: {share:.1%} can't be used, more than ingest.max_dropped allows; `dvc repro` will stop")
        if excluded := [e for e in report["emotions"] if e not in (*params.emotions, "unlabelled")]:
            print(f"note: {', '.join(excluded)} is not in `emotions` of params.yaml; these faces will be excluded")

        text = insert_source(PARAMS_FILE.read_bytes().decode(), name, args, params)
        with atomic_write(PARAMS_FILE) as part:
            part.write_bytes(text.encode())
            sources = load_params(part).sources
            with import_files(root, dst, args.move):
                if not (in_place and name.startswith("sample_")):  # DVC versions these as outputs of `sample`
                    run_dvc("add", str(dst))
    if args.move and not in_place:
        src.unlink() if src.is_file() else shutil.rmtree(src)
    if name in params.sources:
        print(f"{name} was a source already; DVC now versions its current files")
    else:
        print(f"added {name}: {dst}, versioned by DVC and listed in params.yaml; now run `dvc repro`")
    drawn_sources = [source for source in sources if source.startswith("sample_")]
    if drawn_sources and name not in drawn_sources:
        print(f"note: drawn faces ({', '.join(drawn_sources)}) are still sources; remove them, or use --replace")


def insert_source(text: str, name: str, args: argparse.Namespace, params: Any) -> str:
    """Return the text of params.yaml with the source `name` and its reader added."""
    from fer.params.edit import with_values

    sources = [] if args.replace else params.sources
    if args.first or name not in sources:
        remaining = [source for source in sources if source != name]
        sources = [name, *remaining] if args.first else [*remaining, name]
    readers = params.ingest.readers | ({name: args.reader} if args.reader else {})
    readers = {source: reader for source, reader in readers.items() if source in sources}
    return with_values(text, {"sources": sources, "ingest.readers": readers})


def format_source_report(
    report: Mapping[str, Any], published_stats: tuple[float, float] | None, native_sizes: str, disk_use: str
) -> Iterator[str]:
    """Yield the lines of a source's report; `published_stats` are the owner's grey mean and standard deviation."""
    folds = list(report["folds"])
    yield f"{report['source']}: {report['faces']:,} faces, read as {report['reader']}"
    yield f"  terms       {report['terms']}"
    yield f"  images      {report['pictures']:,}, {report['pictures_with_a_face']:,} with a face; {native_sizes}"
    published = f"; published: {published_stats[0]} and {published_stats[1]}" if published_stats else ""
    yield f"  grey        mean {report['mean']:.1f}, standard deviation {report['std']:.1f}{published}"
    yield f"  disk        {disk_use}"
    yield f"  {'faces':12}" + "".join(f"{'no fold' if fold == 'none' else fold:>12}" for fold in folds)
    for emotion, counts in report["emotions"].items():
        yield f"  {emotion:12}" + "".join(f"{counts.get(fold, 0):>12,}" for fold in folds)
    for key, words in (("dropped", "can't be used"), ("left_out", "left out")):
        for reason, row in report[key].items():
            yield f"  {words}: {row['count']:,} {reason}, such as {row['examples'][0]}"
    for note in report["notes"]:
        yield f"  note: {note}"
