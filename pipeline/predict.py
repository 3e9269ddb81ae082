"""All faces and one trained network -> its logits for every face and view, and the hash of its weights."""

import argparse
from pathlib import Path

from fer.core.files import write_json
from fer.core.labels import member_name
from fer.core.store import open_faces
from fer.nn import distributed, weights
from fer.nn.devices import to_device
from fer.nn.inference import view_names
from fer.nn.pool import predict_pool
from fer.nn.shards import parse_shard
from fer.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help=".npy file to write; metadata go into a .json beside it"
    )
    parser.add_argument("--shard", help="compute part i of n only, from 1/n to n/n; a run without this takes all parts")
    args = parser.parse_args()
    params, shard = load_params(), None if args.shard is None else parse_shard(args.shard)

    size = open_faces(args.faces).shape[1]
    network, config = weights.load_model(args.model, params.emotions, size)
    manifest: dict[str, object] = {"network": config.network, "replica": config.replica}
    manifest |= {"weights_sha256": weights.hash_weights(args.model)}
    manifest |= {"views": view_names(params.predict.views), "emotions": params.emotions}
    predict_pool(
        to_device(network),
        args.faces,
        args.out,
        manifest,
        views=params.predict.views,
        batch=params.predict.batch,
        precision=params.precision,
        progress=member_name(config.network, config.replica),
        shard=shard,
    )
    if not shard and distributed.is_main_process():
        write_json(args.out.with_suffix(".json"), manifest)


if __name__ == "__main__":
    distributed.run_distributed_stage(main)
