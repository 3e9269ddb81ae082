"""All faces and one trained network -> its logits for every face and view, and which weights gave them."""

import argparse
from pathlib import Path

from fer.core.files import write_json
from fer.core.store import open_faces
from fer.nn import distributed, weights
from fer.nn.inference import to_device, view_names
from fer.nn.pool import predict_pool
from fer.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="an .npy file; a .json of the same name goes beside it")
    args = parser.parse_args()
    chosen = load_params()

    size = open_faces(args.faces).shape[1]
    network, about = weights.load_model(args.model, chosen.emotions, size)
    of_weights = {"network": about.network, "weights_sha256": weights.hash_weights(args.model)}
    facts = of_weights | {"views": view_names(chosen.predict.views), "emotions": chosen.emotions}
    predict_pool(
        to_device(network),
        args.faces,
        args.out,
        facts,
        views=chosen.predict.views,
        batch=chosen.predict.batch,
        precision=chosen.precision,
        progress=about.network,
    )
    if distributed.is_main_process():
        write_json(args.out.with_suffix(".json"), facts)


if __name__ == "__main__":
    distributed.run_distributed_stage(main)
