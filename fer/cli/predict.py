"""`fer predict`: pictures and videos -> a row for each face."""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fer.runtime.errors import InputError, escape_unprintable
from fer.serving.statuses import FAILED_STATUSES, STATUS_MEANINGS

OUTPUT_SUFFIXES = (".csv", ".jsonl")
MAX_PRINTED_FAILURES = 10  # failures; the rest are counted


def add_to(commands: Any) -> None:
    statuses = "\n".join(f"  {status:<11}{meaning}" for status, meaning in STATUS_MEANINGS.items())
    parser = commands.add_parser(
        "predict",
        help="name the apparent expression of faces in pictures and videos",
        description="Name the apparent expression of faces. Writes a row for each face, with calibrated probabilities; "
        "one below the threshold of its emotion is not accepted. A picture or frame without a face has a row, too.",
        epilog=f"status of a row:\n{statuses}\n\nexit code: 0; 1 if a source failed; 2 if the command is wrong",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a picture, video, folder, archive (zip, tar, tar.gz) or pattern; the number of a camera, until Ctrl-C; "
        "or -, for a list of such, one a line, on standard input",
    )
    parser.add_argument("-o", "--out", type=_parse_out, help="file to write, .csv or .jsonl (default: standard output)")
    parser.add_argument(
        "--faces",
        choices=("auto", "whole", "detect"),
        default="auto",
        help="whole: each picture is a face; detect: faces are looked for; auto (default): a square picture of at most "
        "120 pixels is a face, in others faces are looked for",
    )
    parser.add_argument("--fps", type=_parse_rate, help="frames to look at in a second of a video (default: every one)")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="folder for copies with boxes and labels")
    parser.add_argument("--model", type=Path, default=Path("data/package"), help="a package (default: %(default)s)")
    parser.add_argument("--detector", default="haar", help="haar (default), or the path of a YuNet model (.onnx)")
    parser.add_argument(
        "--format",
        choices=("tidy", "fer", "deepface"),
        default="tidy",
        help="fer, deepface: JSON, a line for each picture or frame, its faces in the shape of that package",
    )
    parser.set_defaults(call=predict, parser=parser)


def predict(args: argparse.Namespace) -> None:
    _check_arguments(args)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it ends as by Ctrl-C, with nothing left
    try:
        counts = predict_sources(args)
        print(end="", flush=True)  # also where standard output is closed
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is not None:
            raise
        raise InputError(f"{args.out or 'standard output'}: {error.strerror}") from error
    else:
        if any(counts[status] for status in FAILED_STATUSES):
            sys.exit(1)


def predict_sources(args: argparse.Namespace) -> Counter[str]:
    """Look at everything and write what is seen; how many pictures had each status."""
    # torch takes seconds to import: `fer --help` must not wait for it
    from tqdm import tqdm

    from fer.serving.annotate import annotation_writer
    from fer.serving.inputs import InputLoader
    from fer.serving.outputs import results_writer
    from fer.serving.predictor import Predictor

    predictor = Predictor.load(args.model, args.faces, args.detector)
    about = predictor.package.manifest
    inputs = InputLoader(args.fps)
    items = (item for source in _expand_stdin(args.sources) for item in inputs.load(source))
    sheet = args.out.suffix == ".csv" if args.out else args.format == "tidy"
    began = time.monotonic()
    counts: Counter[str] = Counter()
    faces = accepted = 0
    with (
        results_writer(args.out, sheet, args.format, about.emotions, about.id) as write,
        annotation_writer(args.annotate, args.fps) as annotate,
        tqdm(unit=" pictures", unit_scale=True, disable=None) as bar,
    ):
        for seen in predictor.stream(items, keep_images=args.annotate is not None):
            write(seen)
            annotate(seen)
            counts[seen.status] += 1
            faces += len(seen.faces)
            accepted += sum(face.accepted for face in seen.faces)
            if (
                seen.status in FAILED_STATUSES
                and sum(counts[status] for status in FAILED_STATUSES) <= MAX_PRINTED_FAILURES
            ):
                bar.write(escape_unprintable(f"{seen.input.source:.1000}: {seen.detail}"), file=sys.stderr)
            bar.update()
    _print_summary(inputs.notes, counts, faces, accepted, time.monotonic() - began)
    return counts


def _print_summary(notes: list[str], counts: Counter[str], faces: int, accepted: int, seconds: float) -> None:
    pictures = counts["ok"] + counts["no_face"]
    failures = ", ".join(
        f"{counts[status]:,} {status}" for status in STATUS_MEANINGS if status in FAILED_STATUSES and counts[status]
    )
    rate = f"{pictures / seconds:,.1f} a second"
    lines = [*notes, f"{faces:,} faces ({accepted:,} accepted) in {pictures:,} pictures and frames, {rate}"]
    if counts["no_face"]:
        hint = "; if these are faces cut out, use --faces whole" if not counts["ok"] else ""
        lines.append(f"{counts['no_face']:,} of them without a face{hint}")
    if failures:
        lines.append(f"failed: {failures}")
    print(*map(escape_unprintable, lines), sep="\n", file=sys.stderr)


def _check_arguments(args: argparse.Namespace) -> None:
    if args.format != "tidy" and args.out and args.out.suffix != ".jsonl":
        args.parser.error(f"--format {args.format} writes .jsonl, not {args.out.name}")
    if args.annotate and args.annotate.exists() and not args.annotate.is_dir():
        args.parser.error(f"--annotate: {args.annotate} is there, and is no folder")
    if args.annotate and args.out and args.annotate.resolve() == args.out.resolve():
        args.parser.error(f"--out and --annotate: both are {args.out}; name two places")
    if args.out is None and sys.stdout is None:
        args.parser.error("standard output is closed; name a file with --out")
    if "-" in args.sources and sys.stdin is None:
        args.parser.error("standard input is closed, and - is to be read from it")
    for source in args.sources:
        if args.annotate and os.path.isdir(source) and args.annotate.resolve().is_relative_to(Path(source).resolve()):
            args.parser.error(f"--annotate: {args.annotate} lies in {source}, which is searched; name another folder")


def _expand_stdin(sources: list[str]) -> Iterator[str]:
    """The sources, with the lines of standard input in place of -."""
    for source in sources:
        if source == "-":
            yield from (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer if line.strip())
        else:
            yield source


def _parse_out(text: str) -> Path:
    path = Path(text)
    if path.suffix not in OUTPUT_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} ends in neither {' nor '.join(OUTPUT_SUFFIXES)}")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is there, and is no file")
    return path


def _parse_rate(text: str) -> float:
    if not 0 < (rate := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no rate above 0")
    return rate
