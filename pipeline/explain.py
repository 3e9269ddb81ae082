"""Package, faces, predictions, pseudo-labels -> pictures of what the network looks at and of what it was taught."""

import argparse
from pathlib import Path

import numpy as np

from fer.core.files import atomic_write_folder, read_array, write_json
from fer.core.labels import encode_labels, read_table
from fer.core.store import open_faces
from fer.nn.inference import default_device
from fer.params import load_params
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import average_probs, read_stored_logits
from fer.reporting.explanation import selection
from fer.reporting.explanation.gallery import (
    write_feature_maps_page,
    write_methods_page,
    write_pseudo_label_pages,
    write_test_pages,
)
from fer.runtime.stage import run_stage
from fer.serving.package import bundle
from fer.serving.package.bundle import strongest_member


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("faces", "table", "package", "predictions", "pseudo-labels", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    rounds = load_params().rounds.retrain

    table, faces, package = (
        read_table(args.table),
        open_faces(args.faces),
        bundle.load_package(args.package, default_device()),
    )
    about = package.manifest
    said = read_stored_logits(args.predictions / str(about.round), about.vote, about.emotions, len(table))
    test = np.flatnonzero(table["fold"] == "test")
    temperatures = about.temperatures
    each = {name: compute_probs(of.logits[test], temperatures[name]) for name, of in said.items()}
    probs, tested, of_test = average_probs(each, about.vote), faces[test], table.iloc[test]
    labels = encode_labels(of_test["emotion"], about.emotions)
    voter = strongest_member(package)

    with atomic_write_folder(args.out) as out:
        pages = write_test_pages(out, voter, tested, probs, labels, of_test)
        surest = selection.select_most_confident(probs, labels, of_test)
        if len(surest):
            pages += [
                write_methods_page(out, voter, tested[surest], labels[surest]),
                write_feature_maps_page(out, voter, tested[surest[0]]),
            ]
        for round_ in rounds[-1:]:
            folder = args.pseudo_labels / str(round_)
            names = ("accepted", "reviewed", "probs")
            accepted, reviewed, learnt = (read_array(folder / f"{name}.npy") for name in names)
            pool = (table["fold"] == "unlabelled").to_numpy() & ~reviewed
            pages += write_pseudo_label_pages(out, round_, about.emotions, faces, learnt, accepted, pool, table)
        facts = {"network": voter.name, "voters": list(about.vote), "round": about.round, "pages": pages}
        write_json(out / "pages.json", facts)
    print(f"{args.out}: {len(pages)} pictures of what {voter.name} looks at and was taught")


if __name__ == "__main__":
    run_stage(main)
