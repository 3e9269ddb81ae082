"""`fer predict`: predict the expression of each face in images and videos."""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from fer.cli.paths import PACKAGE_FOLDER
from fer.runtime.errors import InputError, escape_unprintable
from fer.serving.statuses import FAILED_STATUSES, STATUS_MEANINGS

OUTPUT_SUFFIXES = (".csv", ".jsonl")
MAX_PRINTED_FAILURES = 10  # further failures are only counted


def add_to(commands: Any) -> None:
    statuses = "\n".join(f"  {status:<11}{meaning}" for status, meaning in STATUS_MEANINGS.items())
    parser = commands.add_parser(
        "predict",
        help="name the apparent expression of faces in images and videos",
        description="Name the apparent expression of faces. Writes a row for each face, with calibrated probabilities. "
        "A prediction below its emotion's threshold is not accepted. An image or frame without a face gets a row too.",
        epilog=f"status of a row:\n{statuses}\n\nexit code: 0; 1 if a source failed; 2 if the command is wrong",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="an image, video, folder, archive (zip, tar, tar.gz) or pattern; the number of a camera, which is read "
        "until Ctrl-C; or - to read sources from standard input, one a line",
    )
    parser.add_argument("-o", "--out", type=_parse_out, help="file to write, .csv or .jsonl (default: standard output)")
    parser.add_argument(
        "--faces",
        choices=("auto", "whole", "detect"),
        default="auto",
        help="whole: treat each image as a face crop; detect: detect faces; auto (default): treat a square image of at "
        "most 120 pixels as a face crop, and detect faces in larger images",
    )
    parser.add_argument("--fps", type=_parse_rate, help="frames to read per second of a video (default: all)")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="folder for copies with boxes and labels")
    parser.add_argument("--model", type=Path, default=PACKAGE_FOLDER, help="package folder (default: %(default)s)")
    parser.add_argument("--detector", default="haar", help="haar (default) or the path of a YuNet model (.onnx)")
    parser.add_argument(
        "--format",
        choices=("tidy", "fer", "deepface"),
        default="tidy",
        help="fer, deepface: a JSON line for each image or frame, with its faces in the format of that package",
    )
    parser.set_defaults(call=predict, parser=parser)


def predict(args: argparse.Namespace) -> None:
    _check_arguments(args)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM cleans up as Ctrl-C does
    try:
        counts = predict_sources(args)
        print(end="", flush=True)  # raises here if standard output is closed
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is not None:
            raise
        raise InputError(f"{args.out or 'standard output'}: {error.strerror}") from error
    else:
        if any(counts[status] for status in FAILED_STATUSES):
            sys.exit(1)


def predict_sources(args: argparse.Namespace) -> Counter[str]:
    """Predict all sources and write the results; return the number of images of each status."""
    from tqdm import tqdm

    from fer.serving.inputs import InputLoader
    from fer.serving.outputs import ImageResult, results_writer
    from fer.serving.predictor import Predictor

    annotation: AbstractContextManager[Callable[[ImageResult], None]] = nullcontext(lambda result: None)
    if args.annotate:
        from fer.serving.annotate import annotation_writer  # loads matplotlib

        annotation = annotation_writer(args.annotate, args.fps)
    predictor = Predictor.load(args.model, args.faces, args.detector)
    manifest = predictor.package.manifest
    inputs = InputLoader(args.fps)
    items = (item for source in _expand_stdin(args.sources) for item in inputs.load(source))
    as_csv = args.out.suffix == ".csv" if args.out else args.format == "tidy"
    start = time.monotonic()
    counts: Counter[str] = Counter()
    n_faces = n_accepted = 0
    with (
        results_writer(args.out, as_csv, args.format, manifest.emotions, manifest.id) as write,
        annotation as annotate,
        tqdm(unit=" images", unit_scale=True, disable=None) as bar,
    ):
        for result in predictor.stream(items, keep_images=args.annotate is not None):
            write(result)
            annotate(result)
            counts[result.status] += 1
            n_faces += len(result.faces)
            n_accepted += sum(face.accepted for face in result.faces)
            if (
                result.status in FAILED_STATUSES
                and sum(counts[status] for status in FAILED_STATUSES) <= MAX_PRINTED_FAILURES
            ):
                bar.write(escape_unprintable(f"{result.input.source:.1000}: {result.detail}"), file=sys.stderr)
            bar.update()
    _print_summary(inputs.notes, counts, n_faces, n_accepted, time.monotonic() - start)
    return counts


def _print_summary(notes: list[str], counts: Counter[str], n_faces: int, n_accepted: int, seconds: float) -> None:
    n_images = counts["ok"] + counts["no_face"]
    failures = ", ".join(
        f"{counts[status]:,} {status}" for status in STATUS_MEANINGS if status in FAILED_STATUSES and counts[status]
    )
    rate = f"{n_images / seconds:,.1f} a second"
    lines = [*notes, f"{n_faces:,} faces ({n_accepted:,} accepted) in {n_images:,} images and frames, {rate}"]
    if counts["no_face"]:
        hint = "; if they are face crops, use --faces whole" if not counts["ok"] else ""
        lines.append(f"{counts['no_face']:,} of them without a face{hint}")
    if failures:
        lines.append(f"failed: {failures}")
    print(*map(escape_unprintable, lines), sep="\n", file=sys.stderr)


def _check_arguments(args: argparse.Namespace) -> None:
    if args.format != "tidy" and args.out and args.out.suffix != ".jsonl":
        args.parser.error(f"--format {args.format} writes .jsonl, not {args.out.name}")
    if args.annotate and args.annotate.exists() and not args.annotate.is_dir():
        args.parser.error(f"--annotate: {args.annotate} exists and is not a folder")
    if args.annotate and args.out and args.annotate.resolve() == args.out.resolve():
        args.parser.error(f"--out and --annotate are both {args.out}; use two different paths")
    if args.out is None and sys.stdout is None:
        args.parser.error("standard output is closed; write to a file with --out")
    if "-" in args.sources and sys.stdin is None:
        args.parser.error("standard input is closed, but the source - reads from it")
    for source in args.sources:
        if args.annotate and os.path.isdir(source) and args.annotate.resolve().is_relative_to(Path(source).resolve()):
            args.parser.error(f"--annotate: {args.annotate} is inside the source {source}; use another folder")


def _expand_stdin(sources: list[str]) -> Iterator[str]:
    """Yield the sources, with the lines of standard input in place of -."""
    for source in sources:
        if source == "-":
            yield from (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer if line.strip())
        else:
            yield source


def _parse_out(text: str) -> Path:
    path = Path(text)
    if path.suffix not in OUTPUT_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} must end in {' or '.join(OUTPUT_SUFFIXES)}")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} exists and is not a file")
    return path


def _parse_rate(text: str) -> float:
    with suppress(ValueError):
        if 0 < (rate := float(text)) < float("inf"):
            return rate
    raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
