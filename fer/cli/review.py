"""`fer review`: write a sheet of faces for people to label, or import their answers into `data/reviews.csv`."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli import int_at_least
from fer.cli.paths import DATA_FOLDER, REVIEWS_FILE, UNIFIED_FOLDER


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "review",
        help="let people correct the most doubtful and the most influential labels",
        description="Write a sheet of unlabelled faces without a review: the faces whose two likeliest emotions are "
        "closest, and the pseudo-labels that influence the student most. With --read, check completed sheets and add "
        "their answers to data/reviews.csv, which every round learns from.",
    )
    parser.add_argument("--round", type=int, help="round of the pseudo-labels to review (default: the last)")
    parser.add_argument("--faces", type=int_at_least(1), default=100, help="faces of each kind (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=DATA_FOLDER / "review", help="folder (default: %(default)s)")
    parser.add_argument(
        "--read",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="corrections.csv saved from the page, a completed faces.csv, or a JSON export of Label Studio; answers of "
        "later files replace earlier ones",
    )
    parser.set_defaults(call=review)


def review(args: argparse.Namespace) -> None:
    import_reviews(args.read) if args.read else write_review_questions(args)


def write_review_questions(args: argparse.Namespace) -> None:
    """Write the review sheet of one round."""
    from fer.params import load_params
    from fer.pseudo_labels.review.answers import read_reviews
    from fer.pseudo_labels.review.questions import choose_questions
    from fer.pseudo_labels.review.sheet import write_review_sheet
    from fer.runtime.errors import InputError

    params = load_params()
    rounds = params.rounds.retrain
    if not rounds:
        raise InputError("no round learns from pseudo-labels; see the comment at `rounds` in params.yaml")
    round_ = rounds[-1] if args.round is None else args.round
    if round_ not in rounds:
        raise InputError(f"--round {round_}: only the rounds {', '.join(map(str, rounds))} have pseudo-labels")
    reviews = read_reviews(REVIEWS_FILE)
    fail_if_unread(args.out / "faces.csv", reviews)
    predictions = DATA_FOLDER / "predictions" / str(round_)
    sections = choose_questions(
        UNIFIED_FOLDER,
        DATA_FOLDER / "pseudo_labels" / str(round_),
        predictions,
        reviews,
        params.members,
        params.emotions,
        hard_labels=params.retrain.labels == "hard",
        count=args.faces,
    )
    if not predictions.is_dir():
        print(f"note: {predictions} does not exist; influential labels are known once round {round_} is trained")
    write_review_sheet(args.out, sections, params.emotions, round_)
    counts = " and ".join(f"{len(section.questions)} {section.title.casefold()}" for section in sections)
    print(f"{args.out}: {counts} faces of round {round_}")
    print(f"open {args.out / 'index.html'} in a browser, or fill in the column correction of faces.csv,")
    print("or import label_studio.json (tasks) and label_studio.xml (labelling interface) into Label Studio")
    print("then run `fer review --read FILE`")


def fail_if_unread(sheet: Path, reviews: dict[tuple[str, str], str]) -> None:
    """Raise an InputError if the file `sheet` has answers that are not in `reviews`: they would be overwritten."""
    from fer.pseudo_labels.review.answers import parse_answer
    from fer.pseudo_labels.review.corrections import CORRECTION_COLUMNS
    from fer.pseudo_labels.review.spreadsheets import read_spreadsheet
    from fer.runtime.errors import InputError

    if sheet.is_file():
        rows = [row for _, row in read_spreadsheet(sheet, CORRECTION_COLUMNS) if row["correction"].strip()]
        if unread := [
            row for row in rows if reviews.get((row["source"], row["id"])) != parse_answer(row["correction"])
        ]:
            raise InputError(
                f"{sheet}: has {len(unread)} corrections that were not read; run `fer review --read {sheet}` first, "
                "or use another --out"
            )


def import_reviews(files: list[Path]) -> None:
    """Add the answers of all files to data/reviews.csv; change nothing if one file is wrong."""
    from fer.core.table import read_table
    from fer.params import load_params
    from fer.pseudo_labels.review.answers import match_reviews, read_reviews, write_reviews
    from fer.pseudo_labels.review.corrections import merge_reviews, read_corrections

    emotions, table = load_params().emotions, read_table(UNIFIED_FOLDER / "table.csv")
    reviews = earlier_reviews = read_reviews(REVIEWS_FILE)
    for file in files:
        corrections = read_corrections(file, emotions, table)
        reviews, changes = merge_reviews(reviews, corrections.reviews)
        print(f"{file}: {len(corrections.reviews)} answers, {corrections.n_unanswered} faces without an answer")
        if changes:
            print(f"  {len(changes)} replace an earlier answer, such as: {changes[0]}")
    for note in match_reviews(reviews, table, emotions).notes:
        print(f"note: {note}")
    write_reviews(REVIEWS_FILE, reviews)
    n_new = len(reviews) - len(earlier_reviews)
    print(f"{REVIEWS_FILE}: {len(reviews)} faces, {n_new} of them new; commit it and run `dvc repro`")
