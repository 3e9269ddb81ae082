"""All faces and one trained network -> its logits for every face and view, and which weights gave them."""

import argparse
from pathlib import Path

import numpy as np

from fer import models, params
from fer.errors import run
from fer.faces import open_faces
from fer.inference import device, logits, view_names
from fer.tables import replacing, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="an .npy file; a .json of the same name goes beside it")
    args = parser.parse_args()
    chosen = params.load()

    faces = open_faces(args.faces)
    network, facts = models.load(args.model, chosen.emotions, faces.shape[1])
    answers = logits(
        network.to(device()),
        faces,
        views=chosen.predict.views,
        batch=chosen.predict.batch,
        precision=chosen.precision,
        progress=facts.network,
    )
    with replacing(args.out) as path, path.open("wb") as file:
        np.save(file, answers)
    about = {"network": facts.network, "weights_sha256": models.weights_sha256(args.model)}
    shown = {"views": view_names(chosen.predict.views), "emotions": chosen.emotions}
    write_json(args.out.with_suffix(".json"), about | shown)


if __name__ == "__main__":
    run(main)
