"""`fer review`: the faces that people should look at -> a sheet to correct; corrected sheets -> `data/reviews.csv`."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli.arguments import int_at_least
from fer.params import load_params

DATA_FOLDER = Path("data")
REVIEWS_FILE = DATA_FOLDER / "reviews.csv"


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "review",
        help="let people correct the most doubtful and the most influential labels",
        description="Write a sheet of unlabelled faces that were not reviewed yet: those whose two likeliest emotions "
        "are closest, and those pseudo-labels that pull the most on the network that learnt them. With --read, check "
        "corrected sheets and put their answers into data/reviews.csv, from which every round learns.",
    )
    parser.add_argument("--round", type=int, help="whose pseudo-labels to look at (default: the last)")
    parser.add_argument("--faces", type=int_at_least(1), default=100, help="of each kind (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=DATA_FOLDER / "review", help="folder (default: %(default)s)")
    parser.add_argument(
        "--read",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="corrections.csv of the page, faces.csv with corrections filled in, or Label Studio's export as JSON; "
        "a later file replaces the answers of an earlier one",
    )
    parser.set_defaults(call=review)


def review(args: argparse.Namespace) -> None:
    import_reviews(args.read) if args.read else write_review_questions(args)


def write_review_questions(args: argparse.Namespace) -> None:
    """Write the review sheet of one round."""
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
        DATA_FOLDER / "unified",
        DATA_FOLDER / "pseudo_labels" / str(round_),
        predictions,
        reviews,
        params.ensemble,
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
    """Refuse to write over answers that were not read yet."""
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
                f"{sheet}: has {len(unread)} corrections that were not read; `fer review --read {sheet}` first, "
                "or choose another --out"
            )


def import_reviews(files: list[Path]) -> None:
    """Put the answers of all files into data/reviews.csv, or none."""

    from fer.core.labels import read_table
    from fer.pseudo_labels.review.answers import match_reviews, read_reviews, write_reviews
    from fer.pseudo_labels.review.corrections import merge_reviews, read_corrections

    emotions, table = load_params().emotions, read_table(DATA_FOLDER / "unified/table.csv")
    reviews = before = read_reviews(REVIEWS_FILE)
    for file in files:
        found = read_corrections(file, emotions, table)
        reviews, changed = merge_reviews(reviews, found.reviews)
        print(f"{file}: {len(found.reviews)} answers, {found.n_unanswered} faces without one")
        if changed:
            print(f"  {len(changed)} replace an earlier answer, such as: {changed[0]}")
    for note in match_reviews(reviews, table, emotions).notes:
        print(f"note: {note}")
    write_reviews(REVIEWS_FILE, reviews)
    print(
        f"{REVIEWS_FILE}: {len(reviews)} faces, {len(reviews) - len(before)} of them new; commit it and run `dvc repro`"
    )
