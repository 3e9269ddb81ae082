"""`fer add`: a dataset, photographs or videos, in whatever form they came -> a source of the pipeline."""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

RAW, PARAMS = Path("data/raw"), Path("params.yaml")


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
    name = args.name or legal_name(place, (RAW / "x").resolve().parent)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InputError(f"--name {name}: allowed are letters, digits, _ and -, the first a letter or digit")
    home = RAW / name
    stays = place == home.resolve()
    if home.exists() and not stays:
        raise InputError(f"{home} is there already; choose another --name, or `fer remove {name}` first")
    needed = size_of(place)
    if not (stays or args.move) and needed > shutil.disk_usage(".").free:
        raise InputError(f"{place}: a copy needs {needed / 1e9:.1f} GB, more than is free; --move it instead")

    RAW.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RAW, prefix=".adding-") as folder:
        root = place
        if place.is_file():  # readers read folders
            root = Path(folder) / name
            root.mkdir()
            shutil.copy2(place, root / place.name)
        reader, found = recognise(root, [reader_named(args.reader)] if args.reader else READERS)
        report = ingest(name, reader, found, chosen.ingest.model_copy(update={"max_dropped": 1.0}), Path(folder))
        print(*described(report, getattr(reader, "PIXELS", None), sizes(reader, found, chosen.ingest)), sep="\n")
        share = sum(told["count"] for told in report["dropped"].values()) / max(report["pictures"], 1)
        if share > chosen.ingest.max_dropped:
            print(f"warning: {share:.1%} can't be used, more than ingest.max_dropped allows: `dvc repro` will stop")
        if beyond := [e for e in report["emotions"] if e not in (*chosen.emotions, "unlabelled")]:
            print(f"note: {', '.join(beyond)} is not in `emotions` of params.yaml; such faces will be excluded")

        text = edited(PARAMS.read_bytes().decode(), name, args, chosen.sources)
        with replacing(PARAMS) as part:
            part.write_bytes(text.encode())
            params.load(part)
            if not stays:
                if place.is_file():
                    shutil.move(root, home)
                elif args.move:
                    shutil.move(place, home)
                else:
                    shutil.copytree(place, home, symlinks=True)
            try:
                dvc("add", "--quiet", str(home))
            except InputError:
                if not place.exists():  # it was moved
                    shutil.move(home, place)
                elif not stays:
                    shutil.rmtree(home)
                raise
    others = [source for source in params.load(PARAMS).sources if source.startswith("sample_")]
    if args.move and place.is_file():
        place.unlink()
    print(f"added {name}: {home}, {home}.dvc and a name in params.yaml; now run `dvc repro`")
    if others and name not in others:
        print(f"note: drawn faces ({', '.join(others)}) are still sources; `fer remove` them, or add with --replace")


def edited(text: str, name: str, args: argparse.Namespace, sources: list[str]) -> str:
    """params.yaml with the source in it."""
    from fer.editing import with_entry, with_only, without_entry

    if args.replace:
        text = with_only(text, "sources", [name])
        for other in sources:
            text = without_entry(text, "ingest.readers", other)
    elif name not in sources:
        text = with_entry(text, "sources", name, first=args.first)
    if args.reader:
        text = with_entry(without_entry(text, "ingest.readers", name), "ingest.readers", f"{name}: {args.reader}")
    return text


def described(report: Mapping[str, Any], genuine: tuple[float, float] | None, native: str) -> Iterator[str]:
    """What was found, for people."""
    folds = list(report["folds"])
    yield f"{report['source']}: {report['faces']:,} faces, read as {report['reader']}"
    yield f"  terms       {report['terms']}"
    yield f"  pictures    {report['pictures']:,}, {report['pictures_with_a_face']:,} of them with a face; {native}"
    owners = f"; the owner's have {genuine[0]} and {genuine[1]}" if genuine else ""
    yield f"  grey        mean {report['mean']:.1f}, standard deviation {report['std']:.1f}{owners}"
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


def legal_name(place: Path, raw: Path) -> str:
    """A source's name from a path: that of the folder in data/raw, or of the file without its suffixes."""
    if place.parent == raw:
        return place.name
    stem = place.name.split(".")[0] if place.is_file() else place.name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or "source"


def size_of(place: Path) -> int:
    """Bytes."""
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())


def dvc(*arguments: str) -> None:
    """Run DVC.

    Raises:
        InputError: it fails; the last line of what it says is told.
    """
    from fer.errors import InputError

    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise InputError(f"`dvc {' '.join(arguments)}` failed: {said[-1] if said else 'it says nothing'}")
