"""`fer add`: a dataset, photographs or videos, in whatever form they came -> a source of the pipeline."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

RAW, PARAMS = Path("data/raw"), Path("params.yaml")
NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"


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
    from fer.datasets.detect import NAMED, READERS, name_of

    for reader in (*READERS, *NAMED):
        yield f"  {name_of(reader):18} {reader.LAYOUT}"


def add(args: argparse.Namespace) -> None:
    import tempfile

    from fer import params
    from fer.datasets.detect import READERS, reader_named, recognise
    from fer.datasets.ingesting import ingest
    from fer.errors import InputError
    from fer.tables import replacing

    if not args.path.exists():
        raise InputError(f"{args.path}: no such file or folder")
    chosen = params.load(PARAMS)
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
            sources = params.load(part).sources
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


@contextmanager
def brought(place: Path, home: Path, move: bool) -> Iterator[None]:
    """The files of `place` are in `home`, too; after an exception they are not."""
    if place.resolve() == home.resolve():
        yield
        return
    try:
        shutil.copytree(place, home, symlinks=True, copy_function=lambda one, other: bring(one, other, move))
        yield
    except BaseException:  # also Ctrl-C
        shutil.rmtree(home, ignore_errors=True)
        pointer_of(home).unlink(missing_ok=True)
        raise


def bring(one: str | Path, other: str | Path, move: bool) -> None:
    """The file is at `other`, too: what is moved is deleted last, so that nothing is ever lost halfway."""
    if move:
        try:
            os.link(one, other)
            return
        except OSError:  # another disk, or one without hard links
            pass
    shutil.copy2(one, other)


def edited(text: str, name: str, args: argparse.Namespace, chosen: Any) -> str:
    """Return the text of params.yaml with the source in it."""
    from fer.editing import with_values

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


def sizes(reader: Any, root: Any, rules: Any) -> str:
    """The sides of the first pictures, as they are."""
    from itertools import islice

    from PIL import Image

    from fer.datasets import Digits, Record
    from fer.datasets.files import VIDEOS, File

    found = set()
    for record in islice((item for item in reader.read(root, rules) if isinstance(item, Record)), 20):
        if isinstance(record.picture, Digits):
            found.add((record.picture.side, record.picture.side))
        elif isinstance(record.picture, File) and record.picture.suffix not in VIDEOS:
            try:
                with record.picture.open() as file, Image.open(cast(IO[bytes], file)) as image:
                    found.add(image.size)
            except Exception:  # what is wrong with it was told by the report
                continue
    if not found:
        return "sizes not looked at"
    (width, height), (widest, highest) = min(found), max(found)
    same = len(found) == 1
    return f"{width} x {height} pixels" if same else f"{width} x {height} to {widest} x {highest} pixels"


def legal_name(place: Path) -> str:
    """A source's name from a path: that of the folder, or of the file without its suffixes."""
    stem = place.name.split(".")[0] if place.is_file() else place.name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).lstrip("_-") or "source"


def pointer_of(home: Path) -> Path:
    """DVC's file on a folder."""
    return home.with_name(f"{home.name}.dvc")


def size_of(place: Path) -> int:
    """Bytes."""
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())


def in_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def dvc(*arguments: str) -> str:
    """What DVC prints.

    Raises:
        InputError: it fails; its first line about an error is told, or its last.
    """
    from fer.errors import InputError

    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        why = next((line for line in said if line.startswith("ERROR")), (said or ["it says nothing"])[-1])
        raise InputError(f"`dvc {' '.join(arguments)}` failed: {why.removeprefix('ERROR: ')}")
    return done.stdout
