"""Prediction of stored faces: ours against a loop over a DataLoader.

    python -m benchmarks.prediction [--faces 1024] [--repeats 5] [--out benchmarks/results]

The loop opens each face as a PIL image in worker processes, normalises it and calls the same network in fp32. The
logits of both must not differ by more than a thousandth of the largest logit in fp32.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch

from benchmarks import measuring, ordinary
from fer.nn.devices import default_device, to_device
from fer.nn.inference import CPU_BATCH, predict_logits
from fer.params import load_params

LOGIT_TOLERANCE = 1e-3  # as a fraction of the largest logit, in fp32


def main() -> None:
    parser = measuring.make_parser(__doc__)
    parser.add_argument("--faces", type=int, default=1024)
    args = parser.parse_args()
    batch, device = load_params().predict.batch, default_device()
    pixels = np.random.default_rng(0).integers(0, 256, (args.faces, measuring.SIZE, measuring.SIZE), dtype=np.uint8)
    network = measuring.build_network(seed=0).eval()
    our_network = to_device(deepcopy(network))
    faces = ordinary.FaceDataset(pixels, np.zeros(len(pixels)), ordinary.UNCHANGED)

    def loader_prediction(batch: int) -> Callable[[], np.ndarray]:
        loader = ordinary.make_loader(faces, batch)

        @torch.no_grad()
        def predict() -> np.ndarray:
            return torch.cat([network(pixels.to(device)).cpu() for pixels, _ in loader]).numpy()

        return predict

    predict_with_loader, predict_in_small_batches = loader_prediction(batch), loader_prediction(CPU_BATCH)

    def predict_with_fer(precision: str) -> np.ndarray:
        return predict_logits(our_network, pixels, views=["plain"], batch=batch, precision=precision)[:, 0]

    logits = predict_with_loader()
    largest = float(np.abs(logits).max())
    differences = {
        precision: float(np.abs(logits - predict_with_fer(precision)).max()) / largest for precision in ("fp32", "bf16")
    }
    assert differences["fp32"] < LOGIT_TOLERANCE, f"the logits differ by {differences['fp32']:.2%} of the largest"
    rates = measuring.measure_rates(
        {
            "DataLoader, fp32": lambda: len(predict_with_loader()),
            f"DataLoader, fp32, batches of {CPU_BATCH}": lambda: len(predict_in_small_batches()),
            "ours, fp32": lambda: len(predict_with_fer("fp32")),
            "ours, bf16": lambda: len(predict_with_fer("bf16")),
        },
        args.repeats,
    )
    facts = {
        "faces": args.faces,
        "batch": batch,
        "parameters": measuring.EXPECTED_PARAMETERS,
        "logits_apart_of_largest": differences,
    }
    rows = measuring.summarize_rates(rates, "DataLoader, fp32")
    speedup = measuring.median_ratio(rates["ours, bf16"], rates["DataLoader, fp32"])
    measuring.write_results(
        args.out,
        "prediction",
        f"Prediction by {measuring.NETWORK}",
        facts,
        {f"faces a second, batches of {batch}": rows},
        measuring.check_target("prediction: ours, bf16 ÷ DataLoader, fp32", speedup, minimum=3),
    )


if __name__ == "__main__":
    main()
