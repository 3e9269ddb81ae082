"""Prediction over stored faces: ours against a loop over a DataLoader.

    python -m benchmarks.prediction [--faces 1024] [--repeats 5] [--out benchmarks/results]

The loop opens each face as a PIL picture in worker processes, normalises it, and calls the same network in fp32. First
the logits of both are compared: ours in fp32 must not differ by more than a thousandth of the largest.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch

from benchmarks import measuring, ordinary
from fer.nn.inference import CPU_BATCH, default_device, predict_logits, to_device
from fer.params import load_params

LOGIT_TOLERANCE = 1e-3  # of the largest logit, in fp32


def main() -> None:
    parser = measuring.make_parser(__doc__)
    parser.add_argument("--faces", type=int, default=1024)
    args = parser.parse_args()
    batch, where = load_params().predict.batch, default_device()
    pixels = np.random.default_rng(0).integers(0, 256, (args.faces, measuring.SIZE, measuring.SIZE), dtype=np.uint8)
    network = measuring.build_network(seed=0).eval()
    quick = to_device(deepcopy(network))
    faces = ordinary.FaceDataset(pixels, np.zeros(len(pixels)), ordinary.UNCHANGED)

    def by_loader(at_once: int) -> Callable[[], np.ndarray]:
        loader = ordinary.make_loader(faces, at_once)

        @torch.no_grad()
        def predicted() -> np.ndarray:
            return torch.cat([network(some.to(where)).cpu() for some, _ in loader]).numpy()

        return predicted

    theirs, theirs_in_small_batches = by_loader(batch), by_loader(CPU_BATCH)

    def ours(precision: str) -> np.ndarray:
        return predict_logits(quick, pixels, views=["plain"], batch=batch, precision=precision)[:, 0]

    said = theirs()
    largest = float(np.abs(said).max())
    apart = {precision: float(np.abs(said - ours(precision)).max()) / largest for precision in ("fp32", "bf16")}
    assert apart["fp32"] < LOGIT_TOLERANCE, f"the logits of both differ by {apart['fp32']:.2%} of the largest"
    found = measuring.measure_rates(
        {
            "DataLoader, fp32": lambda: len(theirs()),
            f"DataLoader, fp32, batches of {CPU_BATCH}": lambda: len(theirs_in_small_batches()),
            "ours, fp32": lambda: len(ours("fp32")),
            "ours, bf16": lambda: len(ours("bf16")),
        },
        args.repeats,
    )
    facts = {
        "faces": args.faces,
        "batch": batch,
        "parameters": measuring.EXPECTED_PARAMETERS,
        "logits_apart_of_largest": apart,
    }
    rows = measuring.summarize_rates(found, "DataLoader, fp32")
    gain = measuring.median_ratio(found["ours, bf16"], found["DataLoader, fp32"])
    measuring.write_results(
        args.out,
        "prediction",
        f"Prediction by {measuring.NETWORK}",
        facts,
        {f"faces a second, batches of {batch}": rows},
        measuring.check_target("prediction: ours, bf16 ÷ DataLoader, fp32", gain, least=3),
    )


if __name__ == "__main__":
    main()
