"""Package, faces, table, predictions and pseudo-labels -> images of saliency and of pseudo-labelled faces."""

import numpy as np

from fer.core.files import atomic_write_folder, read_array, write_json
from fer.core.labels import encode_labels
from fer.core.store import open_faces
from fer.core.table import read_table
from fer.nn.devices import default_device
from fer.params import load_params
from fer.predictions.ensembles import read_stored_logits
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
from pipeline import parse_paths


def main() -> None:
    args = parse_paths(__doc__, "faces", "table", "package", "predictions", "pseudo-labels", "out")
    rounds = load_params().rounds.retrain

    table, faces = read_table(args.table), open_faces(args.faces)
    package = bundle.load_package(args.package, default_device())
    manifest = package.manifest
    folder = args.predictions / str(manifest.round)
    predictions = read_stored_logits(folder, manifest.vote, manifest.emotions, len(table))
    rows = np.flatnonzero(table["fold"] == "test")
    probs = manifest.combine_logits({name: predictions[name].logits[rows] for name in predictions})
    test_faces, test_table = faces[rows], table.iloc[rows]
    labels = encode_labels(test_table["emotion"], manifest.emotions)
    member = strongest_member(package)

    with atomic_write_folder(args.out) as out:
        pages = write_test_pages(out, member, test_faces, probs, labels, test_table)
        examples = selection.select_most_confident(probs, labels, test_table)
        if len(examples):
            pages += [
                write_methods_page(out, member, test_faces[examples], labels[examples]),
                write_feature_maps_page(out, member, test_faces[examples[0]]),
            ]
        for round_ in rounds[-1:]:
            folder = args.pseudo_labels / str(round_)
            names = ("accepted", "reviewed", "probs")
            accepted, reviewed, targets = (read_array(folder / f"{name}.npy") for name in names)
            pool = (table["fold"] == "unlabelled").to_numpy() & ~reviewed
            pages += write_pseudo_label_pages(out, round_, manifest.emotions, faces, targets, accepted, pool, table)
        index = {"network": member.name, "voters": list(manifest.vote), "round": manifest.round, "pages": pages}
        write_json(out / "pages.json", index)
    print(f"{args.out}: {len(pages)} images that explain {member.name}, and its pseudo-labels")


if __name__ == "__main__":
    run_stage(main)
