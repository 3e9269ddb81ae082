"""Package, faces, predictions, pseudo-labels -> pictures of what the network looks at and of what it was taught."""

import argparse
from pathlib import Path

import numpy as np

from fer.core.files import read_array, replacing_folder, write_json
from fer.core.labels import codes, read_table
from fer.core.store import open_faces
from fer.nn.inference import device
from fer.params import load_params
from fer.predictions.calibration import probabilities
from fer.predictions.ensembles import read_predictions, vote
from fer.reporting.explanation import selection
from fer.reporting.explanation.gallery import maps_page, pseudo_label_pages, test_pages, ways_page
from fer.runtime.stage import run
from fer.serving.package import bundle
from fer.serving.package.bundle import strongest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("faces", "table", "package", "predictions", "pseudo-labels", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    rounds = load_params().rounds.retrain

    table, faces, package = read_table(args.table), open_faces(args.faces), bundle.load(args.package, device())
    about = package.about
    said = read_predictions(args.predictions / str(about.round), about.vote, about.emotions, len(table))
    test = np.flatnonzero(table["fold"] == "test")
    temperatures = about.temperatures
    each = {name: probabilities(of.logits[test], temperatures[name]) for name, of in said.items()}
    probs, tested, of_test = vote(each, about.vote), faces[test], table.iloc[test]
    labels = codes(of_test["emotion"], about.emotions)
    voter = strongest(package)

    with replacing_folder(args.out) as out:
        pages = test_pages(out, voter, tested, probs, labels, of_test)
        surest = selection.surest(probs, labels, of_test)
        if len(surest):
            pages += [ways_page(out, voter, tested[surest], labels[surest]), maps_page(out, voter, tested[surest[0]])]
        for round_ in rounds[-1:]:
            folder = args.pseudo_labels / str(round_)
            names = ("accepted", "reviewed", "probs")
            accepted, reviewed, learnt = (read_array(folder / f"{name}.npy") for name in names)
            pool = (table["fold"] == "unlabelled").to_numpy() & ~reviewed
            pages += pseudo_label_pages(out, round_, about.emotions, faces, learnt, accepted, pool, table)
        facts = {"network": voter.name, "voters": list(about.vote), "round": about.round, "pages": pages}
        write_json(out / "pages.json", facts)
    print(f"{args.out}: {len(pages)} pictures of what {voter.name} looks at and was taught")


if __name__ == "__main__":
    run(main)
