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
    """Write the sheet."""
    import numpy as np

    from fer.core.files import read_array
    from fer.core.labels import read_table
    from fer.core.store import open_faces
    from fer.predictions.calibration import compute_probs
    from fer.predictions.ensembles import average_probs, read_stored_logits
    from fer.predictions.uncertainty import el2n, lowest_scores, margin
    from fer.pseudo_labels.review.answers import match_reviews, read_reviews
    from fer.pseudo_labels.review.sheet import make_doubtful_section, make_influential_section, write_review_sheet
    from fer.runtime.errors import InputError

    chosen = load_params()
    rounds, emotions = chosen.rounds.retrain, chosen.emotions
    if not rounds:
        raise InputError("no round learns from pseudo-labels; follow the comment at `rounds` in params.yaml")
    round_ = rounds[-1] if args.round is None else args.round
    if round_ not in rounds:
        raise InputError(f"--round {round_}: pseudo-labels are for the rounds {', '.join(map(str, rounds))}")
    table, faces = read_table(DATA_FOLDER / "unified/table.csv"), open_faces(DATA_FOLDER / "unified/faces.npy")
    reviews = read_reviews(REVIEWS_FILE)
    fail_if_unread(args.out / "faces.csv", reviews)
    labels = DATA_FOLDER / "pseudo_labels" / str(round_)
    probs, accepted, weights = (read_array(labels / f"{name}.npy") for name in ("probs", "accepted", "weights"))
    if not len(table) == len(faces) == len(probs):
        raise InputError(f"{labels}: not of today's {len(table)} faces; label again with `dvc repro`")

    asked = (table["fold"] == "unlabelled").to_numpy() & ~match_reviews(reviews, table, emotions).reviewed
    if not asked.any():
        raise InputError(
            "there is no unlabelled face that was not reviewed yet; add an unlabelled source with `fer add`"
        )
    rows = lowest_scores(margin(probs), asked, table, args.faces)
    sections = [make_doubtful_section(rows, probs, table, faces, emotions)]
    predictions = DATA_FOLDER / "predictions" / str(round_)
    if predictions.is_dir():
        learnt = (
            np.eye(len(emotions), dtype=np.float32)[probs.argmax(axis=1)] if chosen.retrain.labels == "hard" else probs
        )
        networks = read_stored_logits(predictions, chosen.ensemble, emotions, len(table))
        said = average_probs({name: compute_probs(of.logits, 1.0) for name, of in networks.items()}, chosen.ensemble)
        asked[rows] = False
        rows = lowest_scores(-el2n(learnt, weights, said), asked & accepted, table, args.faces)
        sections.append(make_influential_section(rows, learnt, said, table, faces, emotions))
    else:
        print(f"note: {predictions} is not there: which labels pull the most is known once round {round_} was trained")
    write_review_sheet(args.out, sections, emotions, round_)
    counts = " and ".join(f"{len(section.questions)} {section.title.casefold()}" for section in sections)
    print(f"{args.out}: {counts} faces of round {round_}")
    print(f"open {args.out / 'index.html'} in a browser, or fill in the column correction of faces.csv")
    print("or use Label Studio: label_studio.json are the tasks, label_studio.xml is the labelling interface")
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
